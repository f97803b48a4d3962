// Vectors of 16 floats for quantize_run-inl.h.
#pragma once

#include <immintrin.h>

#include "kernels/quantize/quantize_run-inl.h"

namespace pyrt {
namespace {

struct QuantizeAvx512 {
  using Float = __m512;
  using Int = __m512i;
  static constexpr int64_t kLanes = 16;

  PYRT_INLINE static Float load(const float* x) { return _mm512_loadu_ps(x); }
  PYRT_INLINE static Float splat(float x) { return _mm512_set1_ps(x); }
  PYRT_INLINE static Float multiply(Float a, Float b) { return _mm512_mul_ps(a, b); }
  PYRT_INLINE static Int rounded(Float x) { return _mm512_cvtps_epi32(x); }
  // Within +-512; 0 for a NaN.
  PYRT_INLINE static Int quotients(Float x, Float scale) {
    const Float q = _mm512_div_ps(x, scale);
    const __mmask16 number = _mm512_cmp_ps_mask(q, q, _CMP_ORD_Q);
    const Float limited = _mm512_max_ps(_mm512_min_ps(q, splat(512.0f)), splat(-512.0f));
    return _mm512_maskz_mov_epi32(number, rounded(limited));
  }

  using Mask = __mmask16;
  PYRT_INLINE static Mask all_ones() { return 0xffff; }
  PYRT_INLINE static Mask and_near(Mask mask, Float q, Int whole) {
    const Float distance = _mm512_abs_ps(_mm512_sub_ps(q, _mm512_cvtepi32_ps(whole)));
    const Mask near = _mm512_cmp_ps_mask(distance, splat(kMostDistance), _CMP_LT_OQ);
    return static_cast<Mask>(mask & near);
  }
  PYRT_INLINE static bool all(Mask mask) { return mask == 0xffff; }

  PYRT_INLINE static Int bounded(Int low, Int high, QuantizeBounds bounds) {
    const Int q =
        _mm512_adds_epi16(_mm512_packs_epi32(low, high), _mm512_set1_epi16(bounds.zero_point));
    return _mm512_min_epi16(_mm512_max_epi16(q, _mm512_set1_epi16(bounds.lo)),
                            _mm512_set1_epi16(bounds.hi));
  }
  template <class T>
  PYRT_INLINE static void store_bytes(T* y, const Int part[4], QuantizeBounds bounds) {
    const Int low = bounded(part[0], part[1], bounds), high = bounded(part[2], part[3], bounds);
    const Int bytes = T(-1) < T(0) ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
    // Packing works on quarters: their own quarters lie [quarter][vector].
    const Int order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    _mm512_storeu_si512(y, _mm512_permutexvar_epi32(order, bytes));
  }
};

}  // namespace
}  // namespace pyrt
