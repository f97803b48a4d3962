// Stands before the compiler's header of this name when AVX-512 kernels are built for a CPU without
// AVX-512 (PYRT_EMULATE_AVX512): SIMDe's portable functions take the intrinsics' names, so that the
// kernels can run and be tested. Speed means nothing in such a build.
#pragma once

#include_next <immintrin.h>

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>
#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "supplement.h"
