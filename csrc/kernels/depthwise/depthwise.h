// Depthwise convolution: the conv family with one input and one output channel per group (group = C
// = O), where a product engine would multiply with panels that are 15/16 padding. Channels lie side
// by side (channels-last), so 16 of them are computed at once, for any kernel, strides and
// dilations:
//
//   y[pixel, c] = epilogue(sum over taps t of x[tap pixel(t), c] * w[c, t])
//
// Taps outside the image point to a row of x_zero_point, so that kernels see the same number of
// taps everywhere.
//
// Packed, for blocks of 16 channels; the last block starts at C - 16 (its first channels are
// computed twice, to the same values) or, if C < 16, is padded with zeros:
//
//   f32  [block, tap, 16]
//   s8   column sums [block, 16] s32, then [block, tap pair, 2, 16] s16: pairs (w[c, t], w[c, t+1])
//   in the channel order
//        that unpacking two vectors of s16 gives, c = 0-3 and 8-11, then 4-7 and 12-15. An odd last
//        tap is paired with 0.
//
// Exactness as conv.
#pragma once

#include "kernels/conv/conv.h"

namespace pyrt {

inline constexpr int64_t kDepthwiseBlock = 16;
inline constexpr int64_t kDepthwisePixels = 8;  // output pixels whose taps are looked up together

PYRT_INLINE int64_t depthwise_blocks(int64_t C) {
  return (C + kDepthwiseBlock - 1) / kDepthwiseBlock;
}

// First channel of a block.
PYRT_INLINE int64_t depthwise_channel(int64_t C, int64_t block) {
  const int64_t c = block * kDepthwiseBlock;
  if (c + kDepthwiseBlock <= C || C < kDepthwiseBlock) return c;
  return C - kDepthwiseBlock;
}

}  // namespace pyrt
