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
//
// List rows, s8 only: activations row-major, as the dense rows read them. Per panel of 16 columns a
// list of pieces, each some weights and the place of their activations:
//
//   blocks  64 bytes [16][4], as in a dense panel: 4 k from a multiple of 4, of 16 columns. Those
//           that are all zeros are left out. 1 instruction a row.
//   sell    64 bytes [16][4] of positions, then 64 of weights: each column's next up to 4 non-zeros
//           that lie within the 64 k from a multiple of 16 that the column furthest behind needs.
//           A row's 64 activations are put in place by one byte permutation. Scattered zeros fill
//           94, 85, 71, 53 % of the slots at 50, 80, 90, 95 % zeros; N:M fills all.
//
// Packed: column sums [N/16 * 16] s32, starts [N/16 + 1, padded to 16] u32, places [pieces, padded
// to 16] SparsePlace, pieces. A place is relative to a tap (Segments in gemm/gemm-inl.h), so that
// one packing serves images of all sizes.
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
struct SparsePlace {
  uint16_t tap, k;
};

inline constexpr int64_t kSparseMaxK = 65535;

}  // namespace pyrt
