// Values that only the dims of the model's inputs decide: attributes of a step are expressions over
// them, and bind evaluates these. No inputs.
//
//   sizes   y = values, one per element
//   range   y[i] = start + i * step
//
// y is s32, s64, f32 or f64.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

inline constexpr int kMaxSizes = 32;  // values of a step

struct SizesParams {
  int64_t values[kMaxSizes] = {};
};

struct RangeParams {
  int64_t start = 0;
  int64_t step = 1;
};

}  // namespace pyrt
