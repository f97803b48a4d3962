// pool: y[b, c, p] = the maximum or average of x[b, c, p * stride - pad + t * dilation] over the
// taps t of the kernel.
//
// x [B, C, (H,) W] and y [B, C, (OH,) OW] f32 or s8, channels-last in rows; sequences are images of
// height 1. Output dims are given (ceil_mode reaches past the input). Taps outside x do not take
// part in a maximum; in an average they are zero, and are counted only with count_include_pad and
// inside the declared padding.
//
//   max                y = max, NaN if a tap is NaN; -inf or -128 where no tap lies inside
//   average, f32       y = sum / float(max(count, 1)), the sum of row sums, each ascending:
//   canonical (class D) average, s8        f = float(sum(x - x_zero_point)) / float(max(count, 1))
//   * scale[0];
//                      y = round_half_even(min(max(f, -128 - y_zero_point), 127 - y_zero_point)) +
//                      y_zero_point
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

struct PoolParams {
  int64_t B = 0, C = 0, H = 1, W = 0;
  int64_t OH = 1, OW = 0;
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;          // before
  int64_t pad_end_h = 0, pad_end_w = 0;  // after; only count_include_pad looks at it
  int64_t dilation_h = 1, dilation_w = 1;
  bool average = false;
  bool integer = false;  // s8
  bool count_include_pad = false;
  int32_t x_zero_point = 0, y_zero_point = 0;
};

inline constexpr size_t kPoolX = 0;
inline constexpr size_t kPoolScale = 1;

}  // namespace pyrt
