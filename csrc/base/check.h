// PYRT_ASSERT is for our own bugs. Input errors are Status values and are always checked.
#pragma once

#include <cassert>

#define PYRT_ASSERT(condition) assert(condition)
