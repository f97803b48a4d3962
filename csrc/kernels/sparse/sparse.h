// Rows of gemm and conv that skip zero weights. They are no families of their own: any constant
// weights with enough zeros are served, whoever put them there, and choose.h compares the predicted
// times with those of the dense rows.
//
// Matrix rows. A task takes a rectangle of output pixels of one image (or a run of rows of a
// matrix, an image of height 1 and kernel 1x1) and copies what they read, padding included, to
// scratch channel by channel:
//
//   plane [C, phases, lines, columns]    phases = stride_h * stride_w: pixel (i, j) of the padded
//                                        input lies in phase (i % stride_h, j % stride_w)
//
// so that for every k = (tap, channel) the values that T neighbouring output pixels need are T
// neighbours in memory at plane + offset(k) + pixel. Each non-zero weight is then a broadcast times
// T values; nothing is multiplied by zero and no im2col exists.
//
// Vector rows, for few rows of a: each non-zero is one scalar multiply-add, in the order of k.
//
// Packed (both): column sums [N/16 * 16] s32 (s8 only), starts [N + 1, padded to 16] u32, entries.
//   s8   pairs of non-zeros of a column: {u16 k0, u16 k1, s16 w0, s16 w1}; an odd last one is
//        paired with weight 0
//   f32  {u32 k, f32 w}
#pragma once

#include <cstdint>

namespace pyrt {

struct SparsePair {
  uint16_t k[2];
  int16_t w[2];
};
struct SparseEntry {
  uint32_t k;
  float w;
};

inline constexpr int64_t kSparseMaxK = 65535;

}  // namespace pyrt
