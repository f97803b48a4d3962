// gemm: y[.., m, n] = epilogue(sum over k of a[.., m, k] * w[.., k, n]), the epilogue of
// common/epilogue.h.
//
// a [.., M, K] or, with trans_a, [.., K, M]; w [.., K, N] or, with trans_b, [.., N, K]; batch dims
// broadcast; y [.., M, N]. f32 * f32 -> f32, or s8 * s8 -> s32 (no scale), s8 or f32. The operands
// of a step are those of ProductInput.
//
// Packed weights, written once at bind (or per task into scratch when w is an activation): panels
// of 16 columns. K is padded with zeros to a multiple of kr, N to a multiple of 16, so kernels have
// no tails in their loops.
//
//   column_sums [N/16 * 16] s32                       (s8 only; padded to 64 bytes by its size)
//   panel 0: k = 0..kr-1 of column 0, the same of column 1, .. 15; then k = kr..2kr-1 of column 0,
//   ... panel 1: ...                                      = [N/16, K/kr, 16, kr]
//
//   kr = 1  f32                          one broadcast of a[m, k] times 16 columns
//   kr = 2  s8, AVX2 (vpmaddwd)          a pair of widened a times 16 pairs
//   kr = 4  s8, VNNI (vpdpbusd)          four bytes of a + 128 times 16 quads
//
// Exactness: s8 rows E, for every weight including -128. f32 rows F: K is never split between
// threads, so the bytes do not depend on their number. y must not overlap a or w.
#pragma once

#include <cstdint>

#include "kernels/common/epilogue.h"

namespace pyrt {

inline constexpr int kMaxBatchRank = kMaxRank - 2;

struct GemmParams {
  // When w has no batch dims (all 1) and a is not transposed, the batch dims are folded into M and
  // batch is 1.
  int64_t M = 0, N = 0, K = 0;
  bool trans_a = false, trans_b = false;
  int64_t batch = 1;  // number of products: those of the y batch dims
  int batch_rank = 0;
  int64_t batch_dims[kMaxBatchRank] = {};
  int64_t a_step[kMaxBatchRank] =
      {};  // elements between neighbours along each batch dim; 0 where broadcast
  int64_t w_step[kMaxBatchRank] = {};
  EpilogueParams epilogue;

  // Elements before the a and the w of product `b`.
  PYRT_INLINE void offsets(int64_t b, int64_t* a_offset, int64_t* w_offset) const {
    *a_offset = *w_offset = 0;
    for (int i = batch_rank - 1; i >= 0; --i) {
      const int64_t index = b % batch_dims[i];
      b /= batch_dims[i];
      *a_offset += index * a_step[i];
      *w_offset += index * w_step[i];
    }
  }
};

}  // namespace pyrt
