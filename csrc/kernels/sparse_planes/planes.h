// Rows of gemm and conv that skip zero weights, on copies of the activations that lie channel by
// channel. They are no families of their own: any constant weights with enough zeros are served,
// whoever put them there, and choose.h compares the predicted times with those of the dense rows.
//
// Matrix rows. A task takes a rectangle of output pixels of one image, or T rows of a matrix (an
// image of height 1 and kernel 1x1), and copies what they read, padding included, to scratch:
//
//   plane [C/c, phases, lines, columns][c]  phases = stride_h * stride_w: pixel (i, j) of the
//                                           padded input lies in phase (i % stride_h, j % stride_w)
//
// so that for every k = (tap, channels) the values that T neighbouring output pixels need are T
// neighbours in memory at plane + offset(k) + pixel. Each entry of weights is then a broadcast
// times T values; nothing is multiplied by zero and no im2col exists. c is 1, or 2 or 4 for blocks.
//
// Vector rows, for few rows of a: each entry is one or two scalar multiply-adds, in the order of k.
//
// Packed: column sums [N/16 * 16] s32 (s8 only), starts [N * blocks + 1, padded to 16] u32, entries
// in the order of (group of columns, block of k, column); where there is one block, of columns.
#pragma once

#include <cstdint>

namespace pyrt {

// Two non-zeros of a column; an odd last one is paired with weight 0.
struct SparsePair {
  uint16_t k[2];
  int16_t w[2];
};
struct SparseEntry {
  uint32_t k;
  float w;
};
// Any four non-zeros of a column; the last of a column is filled with zeros.
struct SparseQuad {
  uint16_t k[4];
  int8_t w[4];
};
// Two neighbouring channels, not both zero.
struct SparseDuo {
  uint32_t k;
  int16_t w[2];
};
// Four neighbouring channels, not all zero.
struct SparseBlock {
  uint32_t k;
  int8_t w[4];
};

}  // namespace pyrt
