// Rows of gemm and conv that skip zero weights. They are no families of their own: any constant
// weights with enough zeros are served, whoever put them there, and choose.h compares the predicted
// times with those of the dense rows. Those of sparse_planes/ work on copies of the activations,
// these on the activations themselves.
//
// List rows, s8 only: activations row-major, as the dense rows read them. Per panel of 16 columns a
// list of pieces, each some weights and the place of their activations:
//
//   blocks  64 bytes: 4 k, from a multiple of 4, of 16 columns; those that are all zeros are left
//           out. [16][4] as in a dense panel, or [2][16][2] for s16 pairs (AVX2).
//   sell    64 bytes [16][4] of positions, then 64 of weights: each column's next up to 4 non-zeros
//           that lie within a window of 64 activations, which begins where the column furthest
//           behind is. One byte permutation puts a row's activations in place. Zeros at random fill
//           94, 85, 71, 53 % of the slots at 50, 80, 90, 95 %; N:M fills all. Without VBMI: 8
//           columns and windows of 32, so a panel has two lists: 81, 68, 54, 36 %.
//
// Packed: column sums [N/16 * 16] s32, starts [lists + 1, padded to 16] u32, places [pieces, padded
// to 16] SparsePlace, pieces. A place is relative to a tap (Segments in gemm/gemm-inl.h), so that
// one packing serves images of all sizes.
#pragma once

#include <cstdint>

namespace pyrt {

struct SparsePlace {
  uint16_t tap, k;
};

inline constexpr int64_t kSparseMaxK = 65535;

}  // namespace pyrt
