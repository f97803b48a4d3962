// The AVX-512 intrinsics that SIMDe 0.8.2 lacks and kernels use, as plain loops: see immintrin.h
// beside this file. A kernel that needs another one gets the compiler's "target specific option
// mismatch" and adds it here.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace pyrt_emulate {

template <class To, class From>
inline To bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class T, int N>
struct Lanes {
  T at[N];
};

// Element i of the result is f(i); T and the vector type say how many there are.
template <class V, class T, class F>
inline V make(F f) {
  Lanes<T, sizeof(V) / sizeof(T)> out;
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(T)); ++i) out.at[i] = f(i);
  return bits<V>(out);
}

template <class T, class V>
inline auto lanes(const V& v) {
  return bits<Lanes<T, sizeof(V) / sizeof(T)>>(v);
}

inline bool on(uint64_t mask, int i) { return ((mask >> i) & 1) != 0; }

template <class V, class T>
inline V maskz_loadu(uint64_t mask, const void* p) {
  return make<V, T>([&](int i) {
    T value{};
    if (on(mask, i)) std::memcpy(&value, static_cast<const char*>(p) + i * sizeof(T), sizeof(T));
    return value;
  });
}

template <class T, class V>
inline void mask_storeu(void* p, uint64_t mask, const V& v) {
  const auto in = lanes<T>(v);
  for (int i = 0; i < static_cast<int>(sizeof(V) / sizeof(T)); ++i) {
    if (on(mask, i)) std::memcpy(static_cast<char*>(p) + i * sizeof(T), &in.at[i], sizeof(T));
  }
}

template <class V, class T>
inline V maskz_expandloadu(uint64_t mask, const void* p) {
  const char* next = static_cast<const char*>(p);
  return make<V, T>([&](int i) {
    T value{};
    if (on(mask, i)) {
      std::memcpy(&value, next, sizeof(T));
      next += sizeof(T);
    }
    return value;
  });
}

// Each element converted: To from From.
template <class V, class To, class From, class In>
inline V convert(const In& in) {
  const auto from = lanes<From>(in);
  return make<V, To>([&](int i) { return static_cast<To>(from.at[i]); });
}

}  // namespace pyrt_emulate

// clang-format off
#define PYRT_E pyrt_emulate

#undef _mm_maskz_loadu_epi8
#define _mm_maskz_loadu_epi8(k, p) PYRT_E::maskz_loadu<__m128i, int8_t>(k, p)
#undef _mm256_maskz_loadu_epi8
#define _mm256_maskz_loadu_epi8(k, p) PYRT_E::maskz_loadu<__m256i, int8_t>(k, p)
#undef _mm512_maskz_loadu_epi8
#define _mm512_maskz_loadu_epi8(k, p) PYRT_E::maskz_loadu<__m512i, int8_t>(k, p)
#undef _mm512_maskz_loadu_epi32
#define _mm512_maskz_loadu_epi32(k, p) PYRT_E::maskz_loadu<__m512i, int32_t>(k, p)
#undef _mm_mask_storeu_epi8
#define _mm_mask_storeu_epi8(p, k, v) PYRT_E::mask_storeu<int8_t>(p, k, v)
#undef _mm256_mask_storeu_epi8
#define _mm256_mask_storeu_epi8(p, k, v) PYRT_E::mask_storeu<int8_t>(p, k, v)
#undef _mm512_mask_storeu_epi8
#define _mm512_mask_storeu_epi8(p, k, v) PYRT_E::mask_storeu<int8_t>(p, k, v)
#undef _mm512_mask_storeu_epi32
#define _mm512_mask_storeu_epi32(p, k, v) PYRT_E::mask_storeu<int32_t>(p, k, v)
#undef _mm512_mask_storeu_ps  // SIMDe stores zeros where the mask is off
#define _mm512_mask_storeu_ps(p, k, v) PYRT_E::mask_storeu<float>(p, k, v)
#undef _mm512_maskz_loadu_ps
#define _mm512_maskz_loadu_ps(k, p) PYRT_E::maskz_loadu<__m512, float>(k, p)
#undef _mm512_maskz_expandloadu_epi8
#define _mm512_maskz_expandloadu_epi8(k, p) PYRT_E::maskz_expandloadu<__m512i, int8_t>(k, p)
#undef _mm512_maskz_expandloadu_ps
#define _mm512_maskz_expandloadu_ps(k, p) PYRT_E::maskz_expandloadu<__m512, float>(k, p)

namespace pyrt_emulate {
inline __m512i maskz_expand_epi8(uint64_t k, const __m512i& v) { return maskz_expandloadu<__m512i, int8_t>(k, &v); }
inline __m512i maskz_expand_epi32(uint64_t k, const __m512i& v) { return maskz_expandloadu<__m512i, int32_t>(k, &v); }
inline __m512 maskz_expand_ps(uint64_t k, const __m512& v) { return maskz_expandloadu<__m512, float>(k, &v); }
}  // namespace pyrt_emulate
#undef _mm512_maskz_expand_epi8
#define _mm512_maskz_expand_epi8(k, v) PYRT_E::maskz_expand_epi8(k, v)
#undef _mm512_maskz_expand_epi32
#define _mm512_maskz_expand_epi32(k, v) PYRT_E::maskz_expand_epi32(k, v)
#undef _mm512_maskz_expand_ps
#define _mm512_maskz_expand_ps(k, v) PYRT_E::maskz_expand_ps(k, v)

#undef _mm512_cvtsi512_si32
#define _mm512_cvtsi512_si32(v) (PYRT_E::lanes<int32_t>(v).at[0])
#undef _mm512_cvtss_f32
#define _mm512_cvtss_f32(v) (PYRT_E::lanes<float>(v).at[0])
#undef _mm512_cvtepi8_epi32
#define _mm512_cvtepi8_epi32(v) PYRT_E::convert<__m512i, int32_t, int8_t>(v)
#undef _mm512_cvtepu8_epi32
#define _mm512_cvtepu8_epi32(v) PYRT_E::convert<__m512i, int32_t, uint8_t>(v)
#undef _mm512_cvtepi16_epi32
#define _mm512_cvtepi16_epi32(v) PYRT_E::convert<__m512i, int32_t, int16_t>(v)
#undef _mm512_cvtepi32_epi8
#define _mm512_cvtepi32_epi8(v) PYRT_E::convert<__m128i, int8_t, int32_t>(v)
#undef _mm512_cvtepi32_pd
#define _mm512_cvtepi32_pd(v) PYRT_E::convert<__m512d, double, int32_t>(v)
#undef _mm512_cvtps_pd
#define _mm512_cvtps_pd(v) PYRT_E::convert<__m512d, double, float>(v)
#undef _mm512_cvtpd_ps
#define _mm512_cvtpd_ps(v) PYRT_E::convert<__m256, float, double>(v)
#undef _mm512_zextsi256_si512
#define _mm512_zextsi256_si512(v) _mm512_inserti64x4(_mm512_setzero_si512(), v, 0)
#undef _mm512_undefined_epi32
#define _mm512_undefined_epi32() _mm512_setzero_si512()
#undef _mm512_undefined_ps
#define _mm512_undefined_ps() _mm512_setzero_ps()
#undef _mm512_stream_ps
#define _mm512_stream_ps(p, v) _mm512_store_ps(p, v)
#undef _mm512_cmplt_epi32_mask
#define _mm512_cmplt_epi32_mask(a, b) _mm512_cmpgt_epi32_mask(b, a)
#undef _mm512_cmpneq_epi8_mask
#define _mm512_cmpneq_epi8_mask(a, b) static_cast<__mmask64>(~_mm512_cmpeq_epi8_mask(a, b))
#undef _mm512_cmpneq_epi32_mask
#define _mm512_cmpneq_epi32_mask(a, b) static_cast<__mmask16>(~_mm512_cmpeq_epi32_mask(a, b))
#undef _kor_mask16
#define _kor_mask16(a, b) static_cast<__mmask16>((a) | (b))
#undef _kand_mask64
#define _kand_mask64(a, b) static_cast<__mmask64>((a) & (b))
#undef _kandn_mask16
#define _kandn_mask16(a, b) static_cast<__mmask16>(~(a) & (b))

namespace pyrt_emulate {
template <int kScale>
inline __m512 mask_gather_ps(const __m512& fill, uint64_t mask, const __m512i& index, const void* base) {
  const auto at = lanes<int32_t>(index);
  auto out = lanes<float>(fill);
  for (int i = 0; i < 16; ++i) {
    if (on(mask, i)) std::memcpy(&out.at[i], static_cast<const char*>(base) + int64_t{at.at[i]} * kScale, 4);
  }
  return bits<__m512>(out);
}
template <int kScale>
inline __m512i gather_epi32(const __m512i& index, const void* base) {
  return bits<__m512i>(mask_gather_ps<kScale>(__m512{}, 0xffff, index, base));
}
template <class T>
inline T reduce_add(const __m512& v) {  // the order that compilers give _mm512_reduce_add_ps: halves, then halves
  auto x = lanes<T>(v);
  for (int half = 8; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) x.at[i] = x.at[i] + x.at[i + half];
  }
  return x.at[0];
}
inline int32_t reduce_add_epi32(const __m512i& v) {
  uint32_t sum = 0;
  for (const uint32_t x : lanes<uint32_t>(v).at) sum += x;
  return static_cast<int32_t>(sum);
}
inline __m512i maskz_compress_epi8(uint64_t mask, const __m512i& v) {
  const auto in = lanes<int8_t>(v);
  Lanes<int8_t, 64> out{};
  int n = 0;
  for (int i = 0; i < 64; ++i) {
    if (on(mask, i)) out.at[n++] = in.at[i];
  }
  return bits<__m512i>(out);
}
inline __m512i alignr_epi8(const __m512i& a, const __m512i& b, int count) {  // within each 16 bytes
  const auto high = lanes<uint8_t>(a);
  const auto low = lanes<uint8_t>(b);
  return make<__m512i, uint8_t>([&](int i) {
    const int from = i % 16 + count, lane = i - i % 16;
    return from < 16 ? low.at[lane + from] : from < 32 ? high.at[lane + from - 16] : uint8_t{0};
  });
}
inline __m512i alignr_epi32(const __m512i& a, const __m512i& b, int count) {
  const auto high = lanes<int32_t>(a);
  const auto low = lanes<int32_t>(b);
  return make<__m512i, int32_t>(
      [&](int i) { return i + count < 16 ? low.at[i + count] : high.at[i + count - 16]; });
}
}  // namespace pyrt_emulate
#undef _mm512_i32gather_ps
#define _mm512_i32gather_ps(index, base, scale) \
  PYRT_E::mask_gather_ps<scale>(_mm512_setzero_ps(), 0xffff, index, base)
#undef _mm512_mask_i32gather_ps
#define _mm512_mask_i32gather_ps(fill, k, index, base, scale) PYRT_E::mask_gather_ps<scale>(fill, k, index, base)
#undef _mm512_i32gather_epi32
#define _mm512_i32gather_epi32(index, base, scale) PYRT_E::gather_epi32<scale>(index, base)
#undef _mm512_reduce_add_ps
#define _mm512_reduce_add_ps(v) PYRT_E::reduce_add<float>(v)
#undef _mm512_reduce_add_epi32
#define _mm512_reduce_add_epi32(v) PYRT_E::reduce_add_epi32(v)
#undef _mm512_maskz_compress_epi8
#define _mm512_maskz_compress_epi8(k, v) PYRT_E::maskz_compress_epi8(k, v)
#undef _mm512_alignr_epi8
#define _mm512_alignr_epi8(a, b, count) PYRT_E::alignr_epi8(a, b, count)
#undef _mm512_alignr_epi32
#define _mm512_alignr_epi32(a, b, count) PYRT_E::alignr_epi32(a, b, count)
#undef _mm512_mask_cvtepi32_storeu_epi8
#define _mm512_mask_cvtepi32_storeu_epi8(p, k, v) _mm_mask_storeu_epi8(p, k, _mm512_cvtepi32_epi8(v))
#undef _mm512_mask_cvtsepi32_storeu_epi8
#define _mm512_mask_cvtsepi32_storeu_epi8(p, k, v) _mm_mask_storeu_epi8(p, k, _mm512_cvtsepi32_epi8(v))
#undef _mm512_permute_ps
#define _mm512_permute_ps(v, control) _mm512_shuffle_ps(v, v, control)
#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32(sum, a, b) _mm256_dpbusd_epi32(sum, a, b)
// clang-format on
