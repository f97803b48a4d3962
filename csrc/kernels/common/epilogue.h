// What gemm, conv and conv_transpose do to an accumulator before it is stored: bias, scale,
// residual, clamp, rounding. The formula is the numerics contract (docs/design/0002): with acc an
// s32 accumulator (modulo 2^32)
//
//   acc += bias[n] - x_zero_point * sum_k w[k, n]
//   no scale      y = acc                                                          (s32)
//   scale         f = float(acc) * scale[n];  f += residual term
//                 f32 output:  y = min(max(f, lo), hi)
//                 s8 output:   y = round_half_even(min(max(f, q_lo), q_hi)) + y_zero_point (q_lo,
//                 q_hi less zero point)
//   residual      s8: float(r - residual_zero_point) * residual_scale;  f32 (f32 outputs only): r
//
// and for float accumulators y = min(max(acc + bias[n] + residual, lo), hi), where a NaN passes
// through. prepare() of a family fills EpilogueParams by prepare-inl.h; kernels apply them with
// epilogue-inl.h.
#pragma once

#include <cstdint>

#include "kernels/kernel.h"

namespace pyrt {

// The operands of gemm, conv and conv_transpose, in the order of their schemas (conv_transpose has
// the first three).
enum ProductInput : size_t {
  kInputX = 0,
  kInputW = 1,
  kInputBias = 2,
  kInputScale = 3,
  kInputResidual = 4,
  kInputResidualScale = 5,
};

struct EpilogueParams {
  bool integer = false;      // s8 operands and s32 accumulators; else all f32
  bool has_scale = false;    // integer only; without it the output is s32
  bool per_channel = false;  // scale has one element per output channel
  DType output = DType::kF32;
  DType residual = DType::kF32;  // meaningful when the operand is present: s8 or f32
  bool has_residual = false;
  int32_t x_zero_point = 0;
  int32_t y_zero_point = 0;
  int32_t residual_zero_point = 0;
  float q_lo = 0, q_hi = 0;  // bounds of f for s8 outputs: attribute - y_zero_point
  float lo = 0, hi = 0;      // bounds for f32 outputs
};

}  // namespace pyrt
