// Vectors of 8 floats for quantize_run-inl.h.
#pragma once

#include <immintrin.h>

#include "kernels/quantize/quantize_run-inl.h"

namespace pyrt {
namespace {

struct QuantizeAvx2 {
  using Float = __m256;
  using Int = __m256i;
  static constexpr int64_t kLanes = 8;

  PYRT_INLINE static Float load(const float* x) { return _mm256_loadu_ps(x); }
  PYRT_INLINE static Float splat(float x) { return _mm256_set1_ps(x); }
  PYRT_INLINE static Float multiply(Float a, Float b) { return _mm256_mul_ps(a, b); }
  PYRT_INLINE static Int rounded(Float x) { return _mm256_cvtps_epi32(x); }
  // Within +-512; 0 for a NaN.
  PYRT_INLINE static Int quotients(Float x, Float scale) {
    const Float q = _mm256_div_ps(x, scale);
    const Float number = _mm256_and_ps(q, _mm256_cmp_ps(q, q, _CMP_ORD_Q));
    return rounded(_mm256_max_ps(_mm256_min_ps(number, splat(512.0f)), splat(-512.0f)));
  }

  using Mask = __m256;
  PYRT_INLINE static Mask all_ones() { return _mm256_castsi256_ps(_mm256_set1_epi32(-1)); }
  PYRT_INLINE static Mask and_near(Mask mask, Float q, Int whole) {
    const Float distance = _mm256_sub_ps(q, _mm256_cvtepi32_ps(whole));
    const Float magnitude = _mm256_andnot_ps(splat(-0.0f), distance);
    return _mm256_and_ps(mask, _mm256_cmp_ps(magnitude, splat(kMostDistance), _CMP_LT_OQ));
  }
  PYRT_INLINE static bool all(Mask mask) { return _mm256_movemask_ps(mask) == 0xff; }

  PYRT_INLINE static Int bounded(Int low, Int high, QuantizeBounds bounds) {
    const Int q =
        _mm256_adds_epi16(_mm256_packs_epi32(low, high), _mm256_set1_epi16(bounds.zero_point));
    return _mm256_min_epi16(_mm256_max_epi16(q, _mm256_set1_epi16(bounds.lo)),
                            _mm256_set1_epi16(bounds.hi));
  }
  template <class T>
  PYRT_INLINE static void store_bytes(T* y, const Int part[4], QuantizeBounds bounds) {
    const Int low = bounded(part[0], part[1], bounds), high = bounded(part[2], part[3], bounds);
    const Int bytes = T(-1) < T(0) ? _mm256_packs_epi16(low, high) : _mm256_packus_epi16(low, high);
    // Packing works on halves: their quarters lie [half][vector].
    const Int order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    const Int sorted = _mm256_permutevar8x32_epi32(bytes, order);
    __builtin_memcpy(y, &sorted, sizeof(sorted));
  }
};

}  // namespace
}  // namespace pyrt
