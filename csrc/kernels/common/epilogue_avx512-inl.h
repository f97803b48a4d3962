// The epilogue of common/epilogue-inl.h on 16-float vectors with masks; the same bytes as its
// scalar form for integers. Include only from files compiled with AVX-512 F, BW and VL.
#pragma once

#include <immintrin.h>

#include "kernels/common/epilogue-inl.h"

namespace pyrt {
namespace {

struct ChannelVectors512 {
  __mmask16 mask;  // of the columns
  __m512i base;    // s32: bias - zero point * column sums
  __m512 bias;     // f32 accumulators
  __m512 scale;
};

PYRT_INLINE ChannelVectors512 load_channels_avx512(const Epilogue& e, int64_t n, int columns) {
  ChannelVectors512 v;
  v.mask = static_cast<__mmask16>((1u << columns) - 1);
  v.base = _mm512_setzero_si512();
  v.bias = _mm512_setzero_ps();
  v.scale = _mm512_setzero_ps();
  if (!e.params.integer) {
    if (e.bias != nullptr) {
      v.bias = _mm512_maskz_loadu_ps(v.mask, static_cast<const float*>(e.bias) + n);
    }
    return v;
  }
  if (e.bias != nullptr) {
    v.base = _mm512_maskz_loadu_epi32(v.mask, static_cast<const int32_t*>(e.bias) + n);
  }
  if (e.column_sums != nullptr && e.x_zero_point != 0) {
    const __m512i sums = _mm512_maskz_loadu_epi32(v.mask, e.column_sums + n);
    const __m512i share = _mm512_mullo_epi32(sums, _mm512_set1_epi32(e.x_zero_point));
    v.base = _mm512_sub_epi32(v.base, share);
  }
  if (e.params.has_scale) {
    v.scale = e.params.per_channel ? _mm512_maskz_loadu_ps(v.mask, e.scale + n)
                                   : _mm512_set1_ps(e.scale[0]);
  }
  return v;
}

PYRT_INLINE __m512 residual_avx512(const Epilogue& e, int64_t at, __mmask16 mask) {
  if (e.params.residual == DType::kF32) {
    return _mm512_maskz_loadu_ps(mask, static_cast<const float*>(e.residual) + at);
  }
  __m128i bytes = _mm_maskz_loadu_epi8(mask, static_cast<const uint8_t*>(e.residual) + at);
  bytes = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(e.residual_mask)));
  const __m512i r = _mm512_sub_epi32(_mm512_cvtepi8_epi32(bytes),
                                     _mm512_set1_epi32(e.params.residual_zero_point));
  return _mm512_mul_ps(_mm512_cvtepi32_ps(r), _mm512_set1_ps(e.residual_scale));
}

// The operand order of max and min lets a NaN through, as clamp_real does.
PYRT_INLINE void store_real_avx512(const Epilogue& e, int64_t at, __mmask16 mask, __m512 f) {
  f = _mm512_max_ps(_mm512_set1_ps(e.params.lo), f);
  f = _mm512_min_ps(_mm512_set1_ps(e.params.hi), f);
  _mm512_mask_storeu_ps(static_cast<float*>(e.y) + at, mask, f);
}

// And here a NaN becomes lo, as in clamp_quantized.
PYRT_INLINE void store_quantized_avx512(const Epilogue& e, int64_t at, __mmask16 mask, __m512 f) {
  f = _mm512_max_ps(f, _mm512_set1_ps(e.params.q_lo));
  f = _mm512_min_ps(f, _mm512_set1_ps(e.params.q_hi));
  const __m512i q =
      _mm512_add_epi32(_mm512_cvtps_epi32(f), _mm512_set1_epi32(e.params.y_zero_point));
  const __m128i bytes =
      _mm_xor_si128(_mm512_cvtepi32_epi8(q), _mm_set1_epi8(static_cast<char>(e.y_mask)));
  _mm_mask_storeu_epi8(static_cast<uint8_t*>(e.y) + at, mask, bytes);
}

// Rows of s32 accumulators; see Isa::finish in gemm/gemm-inl.h.
[[maybe_unused]] void finish_s32_avx512(const Epilogue& e, const int32_t* acc, int ldacc, int rows,
                                        int columns, int64_t n, int64_t at, int64_t ldy) {
  const ChannelVectors512 v = load_channels_avx512(e, n, columns);
  for (int m = 0; m < rows; ++m, acc += ldacc, at += ldy) {
    const __m512i sum = _mm512_add_epi32(_mm512_loadu_si512(acc), v.base);
    if (!e.params.has_scale) {
      _mm512_mask_storeu_epi32(static_cast<int32_t*>(e.y) + at, v.mask, sum);
      continue;
    }
    __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), v.scale);
    if (e.residual != nullptr) f = _mm512_add_ps(f, residual_avx512(e, at, v.mask));
    if (e.params.output == DType::kF32) {
      store_real_avx512(e, at, v.mask, f);
    } else {
      store_quantized_avx512(e, at, v.mask, f);
    }
  }
}

// Rows of f32 accumulators.
[[maybe_unused]] void finish_f32_avx512(const Epilogue& e, const float* acc, int ldacc, int rows,
                                        int columns, int64_t n, int64_t at, int64_t ldy) {
  const ChannelVectors512 v = load_channels_avx512(e, n, columns);
  for (int m = 0; m < rows; ++m, acc += ldacc, at += ldy) {
    __m512 f = _mm512_add_ps(_mm512_loadu_ps(acc), v.bias);
    if (e.residual != nullptr) f = _mm512_add_ps(f, residual_avx512(e, at, v.mask));
    store_real_avx512(e, at, v.mask, f);
  }
}

}  // namespace
}  // namespace pyrt
