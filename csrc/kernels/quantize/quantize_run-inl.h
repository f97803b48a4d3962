// Runs of f32 to 8 bits with one scale, in vectors V of the ISA, with the bytes of a division but
// nearly always without one. x times the reciprocal is off by less than 2.5 ulp, 1e-4 where it lies
// within the bounds of the result (512 or less), so it rounds as the quotient does unless it is
// that near to a tie. A group of four vectors with such an element (3 in 100 groups of 64 random
// ones), or with a NaN or a value beyond 32 bits, is divided.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {
namespace {

// Of the result: q = min(max(rounded + zero_point, lo), hi); NaN becomes the zero point.
struct QuantizeBounds {
  int16_t zero_point, lo, hi;
};

// Whether quantize_run() takes the scale.
PYRT_INLINE bool fits_quantize_run(float scale) { return scale >= 0x1p-90f && scale <= 0x1p90f; }

// How far from a whole number a product may lie.
constexpr float kMostDistance = 0.4998f;

// Elements of the run that were done: whole groups of four vectors. T is int8_t or uint8_t.
template <class V, class T>
PYRT_INLINE int64_t quantize_run(T* y, const float* x, int64_t n, float scale,
                                 QuantizeBounds bounds) {
  const auto divisor = V::splat(scale), inverse = V::splat(1.0f / scale);
  int64_t i = 0;
  for (; i + 4 * V::kLanes <= n; i += 4 * V::kLanes) {
    typename V::Int part[4];
    typename V::Mask certain = V::all_ones();
    for (int k = 0; k < 4; ++k) {
      const auto q = V::multiply(V::load(x + i + k * V::kLanes), inverse);
      part[k] = V::rounded(q);
      certain = V::and_near(certain, q, part[k]);
    }
    if (!V::all(certain)) [[unlikely]] {
      for (int k = 0; k < 4; ++k) part[k] = V::quotients(V::load(x + i + k * V::kLanes), divisor);
    }
    V::store_bytes(y + i, part, bounds);
  }
  return i;
}

}  // namespace
}  // namespace pyrt
