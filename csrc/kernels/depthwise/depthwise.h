// Depthwise convolution: the conv family with one input channel per group (group = C), where a
// product engine would multiply with panels that are 15/16 padding. Channels lie side by side
// (channels-last), so 16 of them are computed at once, for any kernel, strides and dilations:
//
//   y[pixel, o] = epilogue(sum over taps t of x[tap pixel(t), o / (O / C)] * w[o, t])
//
// f32 kernels multiply straight from the image and leave out taps outside it
// (depthwise_f32-inl.h); int8 kernels widen lines of the image first, pairs of taps side by side
// (depthwise_s8-inl.h). Both take several output channels per input channel too. With VNNI int8
// kernels interleave four rows of the image instead (depthwise_quads-inl.h).
//
// Packed in blocks of 16 output channels (f32: of 8 if O < 16); the last block starts at O - 16
// (its first channels are computed twice, to the same values) or, if O is less, is padded with
// zeros.
//
// Exactness as conv.
#pragma once

#include "kernels/conv/conv.h"

namespace pyrt {

inline constexpr int64_t kDepthwiseBlock = 16;

PYRT_INLINE int64_t depthwise_blocks(int64_t O) {
  return (O + kDepthwiseBlock - 1) / kDepthwiseBlock;
}

// First channel of a block of `width` channels.
PYRT_INLINE int64_t depthwise_channel(int64_t O, int64_t width, int64_t block) {
  const int64_t c = block * width;
  return c + width <= O || O < width ? c : O - width;
}

}  // namespace pyrt
