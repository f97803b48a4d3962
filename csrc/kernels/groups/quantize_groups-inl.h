// Rows of activations to s8 by groups (groups.h), in plain loops: the specification, and what the
// vector rows do with a last, shorter group.
#pragma once

#include "kernels/common/epilogue-inl.h"
#include "kernels/groups/groups.h"

namespace pyrt {
namespace {

// Rows of activations, quantised.
struct QuantizedRows {
  int8_t* q;       // [rows][G * group]
  float* scale;    // [rows][G]
  int32_t* total;  // [rows][G], sums of q
};

// The scale of a group whose largest magnitude is `largest`.
PYRT_INLINE float scale_of_group(float largest) {
  const float step = largest / 127.0f;
  return step < 0x1p-126f ? 1.0f : step;
}

// One group from `count` <= group values, zeros beyond.
[[maybe_unused]] void quantize_group(const float* x, int64_t count, int64_t group, int8_t* q,
                                     float* scale, int32_t* total) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = x[i] < 0 ? -x[i] : x[i];
    largest = magnitude > largest ? magnitude : largest;  // false for a NaN
  }
  *scale = scale_of_group(largest);
  const float inverse = 1.0f / *scale;
  *total = 0;
  for (int64_t i = 0; i < group; ++i) {
    const float f = i < count ? x[i] * inverse : 0.0f;
    q[i] = static_cast<int8_t>(f == f ? round_half_even(f) : 0);
    *total += q[i];
  }
}

// Rows [0, rows) of x [rows][K]. Quantize is quantize_group or a faster one for whole groups.
template <class Quantize>
void quantize_rows_by_group(const GroupsParams& p, const float* x, int64_t rows,
                            const QuantizedRows& out, const Quantize& whole_group) {
  for (int64_t m = 0; m < rows; ++m) {
    for (int64_t g = 0; g < p.G; ++g) {
      const int64_t k = g * p.group, at = m * p.G + g;
      const float* from = x + m * p.K + k;
      int8_t* q = out.q + at * p.group;
      if (p.K - k >= p.group) {
        whole_group(from, p.group, p.group, q, out.scale + at, out.total + at);
      } else {
        quantize_group(from, p.K - k, p.group, q, out.scale + at, out.total + at);
      }
    }
  }
}

}  // namespace
}  // namespace pyrt
