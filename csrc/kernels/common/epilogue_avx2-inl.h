// The epilogue of common/epilogue-inl.h on 8-float vectors, for 16 columns at a time; the same
// bytes as its scalar form for integers. Include only from files compiled with AVX2.
#pragma once

#include <immintrin.h>

#include "kernels/common/epilogue-inl.h"

namespace pyrt {
namespace {

// The first `columns` of 16, as two masks for maskload and as counts for stores.
struct ColumnMask {
  __m256i half[2];
  int inside[2];
};

PYRT_INLINE ColumnMask column_mask(int columns) {
  alignas(32) static constexpr int32_t kOnes[24] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                                    -1, -1, -1, -1, 0,  0,  0,  0,  0,  0,  0,  0};
  ColumnMask mask;
  for (int h = 0; h < 2; ++h) {
    const int inside = columns - 8 * h < 0 ? 0 : (columns - 8 * h > 8 ? 8 : columns - 8 * h);
    mask.inside[h] = inside;
    mask.half[h] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kOnes + 16 - inside));
  }
  return mask;
}

PYRT_INLINE __m256 load_columns(const float* from, const ColumnMask& mask, int h) {
  return _mm256_maskload_ps(from + 8 * h, mask.half[h]);
}
PYRT_INLINE __m256i load_columns(const int32_t* from, const ColumnMask& mask, int h) {
  return _mm256_maskload_epi32(from + 8 * h, mask.half[h]);
}
// Not by maskstore, which is microcode on AMD: 20 cycles.
PYRT_INLINE void store_columns(float* to, __m256 value, const ColumnMask& mask, int h) {
  const int inside = mask.inside[h];
  to += 8 * h;
  if (inside == 8) return _mm256_storeu_ps(to, value);
  __m128 rest = _mm256_castps256_ps128(value);
  if ((inside & 4) != 0) {
    _mm_storeu_ps(to, rest);
    rest = _mm256_extractf128_ps(value, 1);
    to += 4;
  }
  if ((inside & 2) != 0) {
    _mm_storel_pi(reinterpret_cast<__m64*>(to), rest);
    rest = _mm_movehl_ps(rest, rest);
    to += 2;
  }
  if ((inside & 1) != 0) _mm_store_ss(to, rest);
}

// What depends on the channel only: loaded once for a tile.
struct ChannelVectors {
  __m256i base[2];  // bias - zero point * column sums
  __m256 bias[2];   // f32 accumulators
  __m256 scale[2];
};

PYRT_INLINE ChannelVectors load_channels(const Epilogue& e, int64_t n, const ColumnMask& mask) {
  ChannelVectors v;
  for (int h = 0; h < 2; ++h) {
    v.base[h] = _mm256_setzero_si256();
    v.bias[h] = _mm256_setzero_ps();
    v.scale[h] = _mm256_setzero_ps();
    if (!e.params.integer) {
      if (e.bias != nullptr)
        v.bias[h] = load_columns(static_cast<const float*>(e.bias) + n, mask, h);
      continue;
    }
    if (e.bias != nullptr)
      v.base[h] = load_columns(static_cast<const int32_t*>(e.bias) + n, mask, h);
    if (e.column_sums != nullptr && e.x_zero_point != 0) {
      const __m256i sums = load_columns(e.column_sums + n, mask, h);
      const __m256i share = _mm256_mullo_epi32(sums, _mm256_set1_epi32(e.x_zero_point));
      v.base[h] = _mm256_sub_epi32(v.base[h], share);
    }
    if (e.params.has_scale) {
      v.scale[h] =
          e.params.per_channel ? load_columns(e.scale + n, mask, h) : _mm256_set1_ps(e.scale[0]);
    }
  }
  return v;
}

PYRT_INLINE __m128i load_bytes(const uint8_t* from, int columns) {
  if (columns == 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  alignas(16) uint8_t bytes[16] = {};
  memcpy(bytes, from, static_cast<size_t>(columns));
  return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

PYRT_INLINE void add_residual(const Epilogue& e, int64_t at, int columns, const ColumnMask& mask,
                              __m256 f[2]) {
  if (e.params.residual == DType::kF32) {
    const float* residual = static_cast<const float*>(e.residual) + at;
    for (int h = 0; h < 2; ++h) f[h] = _mm256_add_ps(f[h], load_columns(residual, mask, h));
    return;
  }
  __m128i bytes = load_bytes(static_cast<const uint8_t*>(e.residual) + at, columns);
  bytes = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(e.residual_mask)));
  const __m256i zero_point = _mm256_set1_epi32(e.params.residual_zero_point);
  const __m256 scale = _mm256_set1_ps(e.residual_scale);
  for (int h = 0; h < 2; ++h) {
    const __m256i r = _mm256_cvtepi8_epi32(h == 0 ? bytes : _mm_srli_si128(bytes, 8));
    const __m256 term = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(r, zero_point)), scale);
    f[h] = _mm256_add_ps(f[h], term);
  }
}

// The operand order of max and min lets a NaN through, as clamp_real does.
PYRT_INLINE void store_real(const Epilogue& e, int64_t at, const ColumnMask& mask,
                            const __m256 f[2]) {
  const __m256 lo = _mm256_set1_ps(e.params.lo);
  const __m256 hi = _mm256_set1_ps(e.params.hi);
  for (int h = 0; h < 2; ++h) {
    const __m256 y = _mm256_min_ps(hi, _mm256_max_ps(lo, f[h]));
    store_columns(static_cast<float*>(e.y) + at, y, mask, h);
  }
}

// And here a NaN becomes lo, as in clamp_quantized.
PYRT_INLINE void store_quantized(const Epilogue& e, int64_t at, int columns, const __m256 f[2]) {
  const __m256 lo = _mm256_set1_ps(e.params.q_lo);
  const __m256 hi = _mm256_set1_ps(e.params.q_hi);
  const __m256i zero_point = _mm256_set1_epi32(e.params.y_zero_point);
  __m256i q[2];
  for (int h = 0; h < 2; ++h) {
    const __m256 clamped = _mm256_min_ps(_mm256_max_ps(f[h], lo), hi);
    q[h] = _mm256_add_epi32(_mm256_cvtps_epi32(clamped), zero_point);
  }
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(q[0], q[1]), 0xd8);
  __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  bytes = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(e.y_mask)));
  uint8_t* to = static_cast<uint8_t*>(e.y) + at;
  if (columns == 16) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
    return;
  }
  alignas(16) uint8_t buffer[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(buffer), bytes);
  memcpy(to, buffer, static_cast<size_t>(columns));
}

// Two rows of 16 s32 accumulators to s8, the common case: the bytes of store_quantized() with half
// its instructions. Only the upper bound has to be applied before the conversion: what is below the
// range of s32, or NaN, becomes its least value, and packing saturates that and all below lo.
struct QuantizeVectors {
  __m256 hi;
  __m256i zero_point;  // s16
  __m256i lo;          // s8, zero point included
  __m256i mask;
};

PYRT_INLINE QuantizeVectors quantize_vectors(const Epilogue& e) {
  const auto lo = static_cast<int32_t>(e.params.q_lo) + e.params.y_zero_point;
  return {_mm256_set1_ps(e.params.q_hi),
          _mm256_set1_epi16(static_cast<int16_t>(e.params.y_zero_point)),
          _mm256_set1_epi8(static_cast<char>(lo)), _mm256_set1_epi8(static_cast<char>(e.y_mask))};
}

PYRT_INLINE __m256i quantize_row(const int32_t* acc, const ChannelVectors& v,
                                 const QuantizeVectors& q) {
  __m256i words[2];
  for (int h = 0; h < 2; ++h) {
    const __m256i sum = _mm256_add_epi32(
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc + 8 * h)), v.base[h]);
    const __m256 f = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), v.scale[h]);
    words[h] = _mm256_cvtps_epi32(_mm256_min_ps(q.hi, f));  // a NaN passes
  }
  return _mm256_adds_epi16(_mm256_packs_epi32(words[0], words[1]), q.zero_point);
}

PYRT_INLINE __m256i quantize_pair(const int32_t* acc0, const int32_t* acc1, const ChannelVectors& v,
                                  const QuantizeVectors& q) {
  __m256i bytes = _mm256_packs_epi16(quantize_row(acc0, v, q), quantize_row(acc1, v, q));
  bytes = _mm256_xor_si256(_mm256_max_epi8(bytes, q.lo), q.mask);
  return _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

[[maybe_unused]] void quantize_rows(const Epilogue& e, const ChannelVectors& channels,
                                    const int32_t* acc, int ldacc, int rows, int64_t at,
                                    int64_t ldy) {
  const ChannelVectors v = channels;
  const QuantizeVectors q = quantize_vectors(e);
  uint8_t* y = static_cast<uint8_t*>(e.y) + at;
  int m = 0;
  for (; m + 2 <= rows; m += 2, acc += 2 * ldacc, y += 2 * ldy) {
    const __m256i bytes = quantize_pair(acc, acc + ldacc, v, q);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + ldy), _mm256_extracti128_si256(bytes, 1));
  }
  if (m < rows) {
    const __m256i bytes = quantize_pair(acc, acc, v, q);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm256_castsi256_si128(bytes));
  }
}

// Rows of s32 accumulators whose channels are loaded.
[[maybe_unused]] void finish_rows_avx2(const Epilogue& e, const ChannelVectors& v,
                                       const int32_t* acc, int ldacc, int rows, int columns,
                                       int64_t at, int64_t ldy) {
  if (columns == 16 && e.params.has_scale && e.residual == nullptr &&
      e.params.output == DType::kS8) {
    quantize_rows(e, v, acc, ldacc, rows, at, ldy);
    return;
  }
  const ColumnMask mask = column_mask(columns);
  for (int m = 0; m < rows; ++m, acc += ldacc, at += ldy) {
    __m256 f[2] = {};
    for (int h = 0; h < 2; ++h) {
      const __m256i sum = _mm256_add_epi32(
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(acc + 8 * h)), v.base[h]);
      if (e.params.has_scale) {
        f[h] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), v.scale[h]);
      } else {
        store_columns(static_cast<float*>(e.y) + at, _mm256_castsi256_ps(sum), mask, h);
      }
    }
    if (!e.params.has_scale) continue;
    if (e.residual != nullptr) add_residual(e, at, columns, mask, f);
    if (e.params.output == DType::kF32) {
      store_real(e, at, mask, f);
    } else {
      store_quantized(e, at, columns, f);
    }
  }
}

// Rows of s32 accumulators; see Isa::finish in gemm/gemm-inl.h.
[[maybe_unused]] void finish_s32_avx2(const Epilogue& e, const int32_t* acc, int ldacc, int rows,
                                      int columns, int64_t n, int64_t at, int64_t ldy) {
  const ChannelVectors v = load_channels(e, n, column_mask(columns));
  finish_rows_avx2(e, v, acc, ldacc, rows, columns, at, ldy);
}

// Rows of f32 accumulators.
[[maybe_unused]] void finish_f32_avx2(const Epilogue& e, const float* acc, int ldacc, int rows,
                                      int columns, int64_t n, int64_t at, int64_t ldy) {
  const ColumnMask mask = column_mask(columns);
  const ChannelVectors v = load_channels(e, n, mask);
  for (int m = 0; m < rows; ++m, acc += ldacc, at += ldy) {
    __m256 f[2];
    for (int h = 0; h < 2; ++h) f[h] = _mm256_add_ps(_mm256_loadu_ps(acc + 8 * h), v.bias[h]);
    if (e.residual != nullptr) add_residual(e, at, columns, mask, f);
    store_real(e, at, mask, f);
  }
}

}  // namespace
}  // namespace pyrt
