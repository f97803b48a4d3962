// Tiles of zmm accumulators to bytes: what quantized_avx2-inl.h does, four registers at once.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/quantized_avx2-inl.h"

namespace pyrt {
namespace {

// A GNU vector: g++ 12 spills arrays of __m512i that share a function with an epilogue.
using S32x16 [[gnu::may_alias]] = int32_t __attribute__((vector_size(64)));

PYRT_INLINE __m512i load_twice(const void* from) {
  return _mm512_broadcast_i64x4(_mm256_load_si256(static_cast<const __m256i*>(from)));
}

// Accumulators of a panel's row, scaled and rounded; with the bytes at `residual` unless it is
// null, of which only `columns` are read.
template <bool kResidual>
PYRT_INLINE __m512i scaled_sums(S32x16 c, const QuantizedPanel& q, const uint8_t* residual,
                                __mmask16 columns) {
  __m512 f = _mm512_cvtepi32_ps(reinterpret_cast<__m512i>(c));
  f = _mm512_mul_ps(f, _mm512_loadu_ps(q.scale));
  if constexpr (kResidual) {
    const __m128i mask = _mm_load_si128(reinterpret_cast<const __m128i*>(q.residual_mask));
    const __m128i bytes = _mm_xor_si128(_mm_maskz_loadu_epi8(columns, residual), mask);
    const __m512i zero_point = _mm512_set1_epi32(q.residual_zero_point[0]);
    const __m512i r = _mm512_sub_epi32(_mm512_cvtepi8_epi32(bytes), zero_point);
    const __m512 scale = _mm512_set1_ps(q.residual_scale[0]);
    f = _mm512_add_ps(f, _mm512_mul_ps(_mm512_cvtepi32_ps(r), scale));
  }
  return _mm512_cvtps_epi32(f);
}

// Rows of 4 / kRows panels to bytes at y; kHave of them are there. Only `columns` are written:
// stores under a mask are as fast as others.
template <int kRows, int kHave>
PYRT_INLINE void store_bytes_of(__m512i bytes, __mmask64 columns, uint8_t* y, int64_t ldy) {
  if constexpr (kRows == 1) {
    _mm512_mask_storeu_epi8(y, columns, bytes);
  } else if constexpr (kRows == 2) {
    const auto mask = static_cast<__mmask32>(columns);
    _mm256_mask_storeu_epi8(y, mask, _mm512_castsi512_si256(bytes));
    if (kHave > 1) {
      _mm256_mask_storeu_epi8(y + ldy, mask, _mm512_extracti64x4_epi64(bytes, 1));
    }
  } else {
    const auto mask = static_cast<__mmask16>(columns);
    _mm_mask_storeu_epi8(y, mask, _mm512_castsi512_si128(bytes));
    if (kHave > 1) {
      _mm_mask_storeu_epi8(y + ldy, mask, _mm512_extracti32x4_epi32(bytes, 1));
    }
    if (kHave > 2) {
      _mm_mask_storeu_epi8(y + 2 * ldy, mask, _mm512_extracti32x4_epi32(bytes, 2));
    }
    if (kHave > 3) {
      _mm_mask_storeu_epi8(y + 3 * ldy, mask, _mm512_extracti32x4_epi32(bytes, 3));
    }
  }
}

// Rows [kFirst, kRows) of a tile of 1, 2 or 4 panels.
template <bool kResidual, int kFirst = 0, int kRows, int kPanels>
PYRT_INLINE void store_quantized_rows(const S32x16 (&c)[kRows][kPanels], const QuantizedPanel* q,
                                      int last_columns, const uint8_t* residual, uint8_t* y,
                                      int64_t ldy) {
  constexpr int kTogether = 4 / kPanels;  // rows
  alignas(64) static constexpr int32_t kInOrder[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                       2, 6, 10, 14, 3, 7, 11, 15};
  const auto last_mask = static_cast<__mmask16>((1u << last_columns) - 1);
  __m512i sums[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const int row = kFirst + i / kPanels < kRows ? kFirst + i / kPanels : kRows - 1;
    const int p = i % kPanels;
    const uint8_t* from = kResidual ? residual + row * ldy + p * kPanel : nullptr;
    const auto columns = p + 1 < kPanels ? __mmask16{0xffff} : last_mask;
    sums[i] = scaled_sums<kResidual>(c[row][p], q[p], from, columns);
  }
  const __m512i zero_point = load_twice(q->zero_point);
  __m512i bytes =
      _mm512_packs_epi16(_mm512_adds_epi16(_mm512_packs_epi32(sums[0], sums[1]), zero_point),
                         _mm512_adds_epi16(_mm512_packs_epi32(sums[2], sums[3]), zero_point));
  bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, load_twice(q->lo)), load_twice(q->hi));
  bytes = _mm512_xor_si512(bytes, load_twice(q->mask));
  // Fours of bytes of the four registers, in turn.
  bytes = _mm512_permutexvar_epi32(_mm512_load_si512(kInOrder), bytes);
  const int in_row = (kPanels - 1) * kPanel + last_columns;
  const __mmask64 columns = ~uint64_t{0} >> (64 - in_row);
  constexpr int kLeft = kRows - kFirst;
  store_bytes_of < kTogether,
      kLeft<kTogether ? kLeft : kTogether>(bytes, columns, y + kFirst * ldy, ldy);
  if constexpr (kLeft > kTogether) {
    store_quantized_rows<kResidual, kFirst + kTogether>(c, q, last_columns, residual, y, ldy);
  }
}

}  // namespace
}  // namespace pyrt
