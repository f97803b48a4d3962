// quantize_group() for whole groups on ymm registers; the same bytes.
#pragma once

#include <immintrin.h>

#include "kernels/groups/quantize_groups-inl.h"

namespace pyrt {
namespace {

PYRT_INLINE __m256 magnitudes(__m256 x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }

PYRT_INLINE float largest_of(__m256 x) {
  __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
  half = _mm_max_ps(half, _mm_movehl_ps(half, half));
  return _mm_cvtss_f32(_mm_max_ss(half, _mm_shuffle_ps(half, half, 1)));
}

PYRT_INLINE int32_t sum_of_lanes(__m256i x) {
  __m128i half = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
  half = _mm_add_epi32(half, _mm_shuffle_epi32(half, 0x4e));
  return _mm_cvtsi128_si32(_mm_add_epi32(half, _mm_shuffle_epi32(half, 0xb1)));
}

// Rounded, 0 for a NaN.
PYRT_INLINE __m256i quantized(__m256 x, __m256 inverse) {
  const __m256 f = _mm256_mul_ps(x, inverse);
  const __m256 number = _mm256_cmp_ps(f, f, _CMP_ORD_Q);
  return _mm256_cvtps_epi32(_mm256_and_ps(f, number));
}

[[maybe_unused]] void quantize_group_avx2(const float* x, int64_t count, int64_t, int8_t* q,
                                          float* scale, int32_t* total) {
  __m256 largest[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  for (int64_t i = 0; i < count; i += 16) {  // a NaN leaves the second operand
    largest[0] = _mm256_max_ps(magnitudes(_mm256_loadu_ps(x + i)), largest[0]);
    largest[1] = _mm256_max_ps(magnitudes(_mm256_loadu_ps(x + i + 8)), largest[1]);
  }
  *scale = scale_of_group(largest_of(_mm256_max_ps(largest[0], largest[1])));
  const __m256 inverse = _mm256_set1_ps(1.0f / *scale);
  __m256i sum = _mm256_setzero_si256();
  for (int64_t i = 0; i < count; i += 16) {
    const __m256i a = quantized(_mm256_loadu_ps(x + i), inverse);
    const __m256i b = quantized(_mm256_loadu_ps(x + i + 8), inverse);
    sum = _mm256_add_epi32(sum, _mm256_add_epi32(a, b));
    const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
    const __m128i bytes =
        _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), bytes);
  }
  *total = sum_of_lanes(sum);
}

}  // namespace
}  // namespace pyrt
