// Fitted weights on zmm registers, for AVX-512 without VNNI: a panel is one register, so tiles are
// 8 x 16. What is done with the excess stays on ymm registers.
#pragma once

#include "kernels/gemm/fitted_avx2-inl.h"

namespace pyrt {
namespace {

struct FittedZmm {
  using Sum = __m512i;
  using Bytes = __m512i;
  static constexpr int kRegisters = 1;  // of a panel
  static constexpr int kRows = 8;
  static constexpr bool kQuantizes = false;

  PYRT_INLINE static Sum load_sum(const int32_t* from) { return _mm512_loadu_si512(from); }
  PYRT_INLINE static void store_sum(int32_t* to, Sum sum) { _mm512_storeu_si512(to, sum); }
  PYRT_INLINE static Bytes load(const int8_t* from) { return _mm512_loadu_si512(from); }
  PYRT_INLINE static Bytes broadcast(int32_t four) { return _mm512_set1_epi32(four); }
  PYRT_INLINE static Bytes ones() { return _mm512_set1_epi16(1); }
  // Pairs of u8 * s8 to s16, two of them added.
  PYRT_INLINE static Bytes products(Bytes a0, Bytes w0, Bytes a1, Bytes w1) {
    return _mm512_add_epi16(_mm512_maddubs_epi16(a0, w0), _mm512_maddubs_epi16(a1, w1));
  }
  PYRT_INLINE static Bytes products(Bytes a, Bytes w) { return _mm512_maddubs_epi16(a, w); }
  PYRT_INLINE static Sum add_pairs(Sum sum, Bytes a, Bytes w) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, w));
  }
  PYRT_INLINE static Bytes even_s8(Bytes w) {
    return _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8);
  }
  PYRT_INLINE static Bytes odd_s8(Bytes w) { return _mm512_srai_epi16(w, 8); }
  PYRT_INLINE static Bytes even_u8(Bytes a) {
    return _mm512_srli_epi16(_mm512_slli_epi16(a, 8), 8);
  }
  PYRT_INLINE static Bytes odd_u8(Bytes a) { return _mm512_srli_epi16(a, 8); }
};
using Avx512U8 = FittedU8<FittedZmm>;

// Of the time on ymm registers: 0.96 on Zen 4, whose zmm registers are two halves; not measured on
// others.
inline constexpr double kFittedZmmTime = 0.9;

}  // namespace
}  // namespace pyrt
