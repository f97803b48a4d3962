// Transposition for the plane rows of AVX-512.
#pragma once

#include <immintrin.h>

#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/sparse_planes/planes-inl.h"
#include "kernels/sparse_planes/vector_column-inl.h"

namespace pyrt {
namespace {

// Rows r[0..16) of 16 elements of 4 bytes become columns.
PYRT_INLINE void transpose16(__m512 r[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  // r[4 g + j]: column j of every four, of rows 4 g .. 4 g + 3.
#pragma GCC unroll 4
  for (int g = 0; g < 16; g += 4) {
    r[g] = _mm512_shuffle_ps(t[g], t[g + 2], 0x44);
    r[g + 1] = _mm512_shuffle_ps(t[g], t[g + 2], 0xee);
    r[g + 2] = _mm512_shuffle_ps(t[g + 1], t[g + 3], 0x44);
    r[g + 3] = _mm512_shuffle_ps(t[g + 1], t[g + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    t[j] = _mm512_shuffle_f32x4(r[j], r[4 + j], 0x88);
    t[4 + j] = _mm512_shuffle_f32x4(r[j], r[4 + j], 0xdd);
    t[8 + j] = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0x88);
    t[12 + j] = _mm512_shuffle_f32x4(r[8 + j], r[12 + j], 0xdd);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    r[j] = _mm512_shuffle_f32x4(t[j], t[8 + j], 0x88);
    r[8 + j] = _mm512_shuffle_f32x4(t[j], t[8 + j], 0xdd);
    r[4 + j] = _mm512_shuffle_f32x4(t[4 + j], t[12 + j], 0x88);
    r[12 + j] = _mm512_shuffle_f32x4(t[4 + j], t[12 + j], 0xdd);
  }
}

// Sixteen columns acc[i * step + 0..16) to out[row(t)][16]; row(t) may permute.
template <class RowOf>
PYRT_INLINE void transpose_columns(const float* acc, int64_t step, int columns, float* out,
                                   const RowOf& row_of) {
  __m512 r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    r[i] = i < columns ? _mm512_load_ps(acc + i * step) : _mm512_setzero_ps();
  }
  transpose16(r);
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) _mm512_store_ps(out + row_of(t) * kPanel, r[t]);
}

// plane[c * channel_step + j] = dword c of x + j * row_bytes for j < count, c < C.
[[maybe_unused, gnu::noinline]] void spread_dwords(const char* x, int64_t row_bytes, int64_t count,
                                                   int64_t C, float* plane, int64_t channel_step) {
  for (int64_t j = 0; j < count; j += 16) {
    const int64_t rows = smaller(16, count - j);
    const auto pixels = static_cast<__mmask16>((1u << rows) - 1);
    for (int64_t c = 0; c < C; c += 16) {
      const int64_t channels = smaller(16, C - c);
      const auto mask = static_cast<__mmask16>((1u << channels) - 1);
      __m512 r[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        const char* from = x + (j + smaller(i, rows - 1)) * row_bytes + c * 4;
        r[i] = _mm512_maskz_loadu_ps(mask, from);
      }
      transpose16(r);
      float* to = plane + c * channel_step + j;
      if (rows == 16 && channels == 16) {
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) _mm512_storeu_ps(to + i * channel_step, r[i]);
        continue;
      }
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        if (i < channels) _mm512_mask_storeu_ps(to + i * channel_step, pixels, r[i]);
      }
    }
  }
}

// Sixteen vectors that hold 16 rows of 16 bytes in each lane of 128 bits: rows become columns.
PYRT_INLINE void transpose_bytes(__m512i r[16]) {
  __m512i t[16];
#pragma GCC unroll 4
  for (int level = 0; level < 4; ++level) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      t[2 * i] = _mm512_unpacklo_epi8(r[i], r[i + 8]);
      t[2 * i + 1] = _mm512_unpackhi_epi8(r[i], r[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) r[i] = t[i];
  }
}

// The epilogue of s8 outputs without a residual on whole columns of 64 pixels: a quarter of the
// transposition, as it moves bytes. acc [16][64], out [64][16]; the same bytes as finish_s32().
// Order::load(acc, j) gives vector j of a column, Order::arrange() puts 64 packed bytes in order.
template <class Order>
PYRT_INLINE void quantize_columns(const Epilogue& e, const int32_t* acc, int columns, int64_t n,
                                  uint8_t* out) {
  const __m512 lo = _mm512_set1_ps(e.params.q_lo), hi = _mm512_set1_ps(e.params.q_hi);
  const __m512i zero_point = _mm512_set1_epi16(static_cast<int16_t>(e.params.y_zero_point));
  const __m512i mask = _mm512_set1_epi8(static_cast<char>(e.y_mask));
  alignas(64) uint8_t bytes[kPanel][64];
  for (int i = 0; i < columns; ++i) {
    uint32_t base = e.bias != nullptr ? static_cast<const uint32_t*>(e.bias)[n + i] : 0;
    base -= static_cast<uint32_t>(e.x_zero_point) * static_cast<uint32_t>(e.column_sums[n + i]);
    const __m512i bias = _mm512_set1_epi32(static_cast<int32_t>(base));
    const __m512 scale = _mm512_set1_ps(e.scale[e.params.per_channel ? n + i : 0]);
    __m512i q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const __m512i sum = _mm512_add_epi32(Order::load(acc + i * 64, j), bias);
      __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
      f = _mm512_min_ps(_mm512_max_ps(f, lo), hi);
      q[j] = _mm512_cvtps_epi32(f);
    }
    const __m512i a = _mm512_add_epi16(_mm512_packs_epi32(q[0], q[1]), zero_point);
    const __m512i b = _mm512_add_epi16(_mm512_packs_epi32(q[2], q[3]), zero_point);
    const __m512i packed = _mm512_xor_si512(_mm512_packs_epi16(a, b), mask);
    _mm512_store_si512(bytes[i], Order::arrange(packed));
  }
  __m512i r[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    r[i] = i < columns ? _mm512_load_si512(bytes[i]) : _mm512_setzero_si512();
  }
  transpose_bytes(r);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) {
    auto* to = reinterpret_cast<__m128i*>(out + i * kPanel);
    _mm_store_si128(to, _mm512_castsi512_si128(r[i]));
    _mm_store_si128(to + 16, _mm512_extracti32x4_epi32(r[i], 1));
    _mm_store_si128(to + 32, _mm512_extracti32x4_epi32(r[i], 2));
    _mm_store_si128(to + 48, _mm512_extracti32x4_epi32(r[i], 3));
  }
}

PYRT_INLINE void copy_bytes(const uint8_t* from, int64_t rows, int columns, uint8_t* to,
                            int64_t step) {
  if (columns == kPanel) {
    for (int64_t m = 0; m < rows; ++m) memcpy(to + m * step, from + m * kPanel, kPanel);
    return;
  }
  const auto mask = static_cast<__mmask16>((1u << columns) - 1);
  for (int64_t m = 0; m < rows; ++m) {
    const auto* row = reinterpret_cast<const __m128i*>(from + m * kPanel);
    _mm_mask_storeu_epi8(to + m * step, mask, _mm_load_si128(row));
  }
}

}  // namespace
}  // namespace pyrt
