// One notation for a float and for a vector of floats, so that an algorithm is written once and
// gives the same bytes in scalar code and in every vector width. F is float, Float8 (AVX2) or
// Float16 (AVX-512); comparisons give a mask that only select() and the bit operators take.
//
// Anonymous namespace: every kernel file has its own copy, compiled with its own flags.
#pragma once

#include <cfloat>
#include <cstdint>

#include "kernels/kernel.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

static_assert(FLT_EVAL_METHOD == 0,
              "class E and D kernels need floats to be rounded after each operation");

namespace pyrt {
namespace {

typedef float Float8 __attribute__((vector_size(32)));
typedef int32_t Int8 __attribute__((vector_size(32)));
typedef uint32_t Uint8 __attribute__((vector_size(32)));
typedef float Float16 __attribute__((vector_size(64)));
typedef int32_t Int16 __attribute__((vector_size(64)));
typedef uint32_t Uint16 __attribute__((vector_size(64)));

template <class F>
struct LaneTraits;
template <>
struct LaneTraits<float> {
  using Int = int32_t;
  using Uint = uint32_t;
};
template <>
struct LaneTraits<Float8> {
  using Int = Int8;
  using Uint = Uint8;
};
template <>
struct LaneTraits<Float16> {
  using Int = Int16;
  using Uint = Uint16;
};
template <class F>
using UintOf = typename LaneTraits<F>::Uint;
template <class F>
using IntOf = typename LaneTraits<F>::Int;

template <class F>
constexpr int64_t kLanes = static_cast<int64_t>(sizeof(F) / sizeof(float));

// Of the two halves of F, where it is a Pair (pair-inl.h): copying it as one would go through
// memory.
template <class F>
concept IsPair = requires(F x) {
  x.lo;
};

template <class F>
PYRT_INLINE F splat(float value) {
  if constexpr (IsPair<F>) {
    return {splat<decltype(F::lo)>(value), splat<decltype(F::lo)>(value)};
  } else {
    F result = {};
    return result + value;  // 0 + value: only the sign of a zero is lost, see splat_exact
  }
}

template <class F>
PYRT_INLINE UintOf<F> to_bits(F value) {
  if constexpr (IsPair<F>) {
    return {to_bits(value.lo), to_bits(value.hi)};
  } else {
    UintOf<F> result;
    __builtin_memcpy(&result, &value, sizeof(value));
    return result;
  }
}

template <class F>
PYRT_INLINE F from_bits(UintOf<F> bits) {
  if constexpr (IsPair<F>) {
    return {from_bits<decltype(F::lo)>(bits.lo), from_bits<decltype(F::lo)>(bits.hi)};
  } else {
    F result;
    __builtin_memcpy(&result, &bits, sizeof(bits));
    return result;
  }
}

// Every bit of `value`, NaN payloads and the sign of zero included.
template <class F>
PYRT_INLINE F splat_exact(float value) {
  if constexpr (IsPair<F>) {
    return {splat_exact<decltype(F::lo)>(value), splat_exact<decltype(F::lo)>(value)};
  } else {
    UintOf<F> bits = {};
    return from_bits<F>(bits | to_bits(value));
  }
}

template <class F>
PYRT_INLINE F load(const float* from) {
  if constexpr (IsPair<F>) {
    using V = decltype(F::lo);
    return {load<V>(from), load<V>(from + kLanes<V>)};
  } else {
    F result;
    __builtin_memcpy(&result, from, sizeof(result));
    return result;
  }
}

template <class F>
PYRT_INLINE void store(float* to, F value) {
  if constexpr (IsPair<F>) {
    store(to, value.lo);
    store(to + kLanes<decltype(F::lo)>, value.hi);
  } else {
    __builtin_memcpy(to, &value, sizeof(value));
  }
}

#if defined(__AVX2__)
// All ones in the first n < 8 lanes.
PYRT_INLINE Int8 first_lanes(int64_t n) {
  static constexpr int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
  Int8 mask;
  __builtin_memcpy(&mask, kMask + 8 - n, sizeof(mask));
  return mask;
}
#endif

// The first n < kLanes<F> elements; the other lanes hold `fill`.
template <class F>
PYRT_INLINE F load_part(const float* from, int64_t n, float fill) {
#if defined(__AVX2__)
  if constexpr (kLanes<F> == 8 && !IsPair<F>) {
    const Int8 mask = first_lanes(n);
    return mask ? Float8(_mm256_maskload_ps(from, __m256i(mask))) : splat_exact<Float8>(fill);
  }
#endif
#if defined(__AVX512F__)
  if constexpr (kLanes<F> == 16 && !IsPair<F>) {
    const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
    return _mm512_mask_loadu_ps(splat_exact<Float16>(fill), mask, from);
  }
#endif
  float lanes[kLanes<F>];
  for (int64_t i = 0; i < kLanes<F>; ++i) lanes[i] = i < n ? from[i] : fill;
  return load<F>(lanes);
}

template <class F>
PYRT_INLINE void store_part(float* to, F value, int64_t n) {
#if defined(__AVX2__)
  if constexpr (kLanes<F> == 8 && !IsPair<F>) {
    return _mm256_maskstore_ps(to, __m256i(first_lanes(n)), value);
  }
#endif
#if defined(__AVX512F__)
  if constexpr (kLanes<F> == 16 && !IsPair<F>) {
    return _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << n) - 1), value);
  }
#endif
  float lanes[kLanes<F>];
  store(lanes, value);
  for (int64_t i = 0; i < n; ++i) to[i] = lanes[i];
}

PYRT_INLINE float select(bool mask, float yes, float no) { return mask ? yes : no; }
PYRT_INLINE uint32_t select(bool mask, uint32_t yes, uint32_t no) { return mask ? yes : no; }
template <class M, class F>
PYRT_INLINE F select(M mask, F yes, F no) {
  return mask ? yes : no;
}

// One instruction each, which compilers do not find by themselves: b where the two are equal or one
// is NaN.
template <class F>
PYRT_INLINE F smaller(F a, F b) {
  return select(a < b, a, b);
}
template <class F>
PYRT_INLINE F larger(F a, F b) {
  return select(a > b, a, b);
}
#if defined(__AVX2__)
PYRT_INLINE Float8 smaller(Float8 a, Float8 b) { return _mm256_min_ps(a, b); }
PYRT_INLINE Float8 larger(Float8 a, Float8 b) { return _mm256_max_ps(a, b); }
#endif
#if defined(__AVX512F__)
PYRT_INLINE Float16 smaller(Float16 a, Float16 b) { return _mm512_min_ps(a, b); }
PYRT_INLINE Float16 larger(Float16 a, Float16 b) { return _mm512_max_ps(a, b); }
#endif

template <class F>
PYRT_INLINE F abs_of(F x) {
  return from_bits<F>(to_bits(x) & 0x7fffffffu);
}

// |magnitude| with the sign of `sign`.
template <class F>
PYRT_INLINE F copy_sign(F magnitude, F sign) {
  return from_bits<F>((to_bits(magnitude) & 0x7fffffffu) | (to_bits(sign) & 0x80000000u));
}

// Half to even, as IEEE rounds, without an instruction for it: adding 1.5 * 2^23 pushes the
// fraction out. The sign of zero is that of x; from 2^23 on floats are integers already. NaN stays
// NaN.
template <class F>
PYRT_INLINE F round_even(F x) {
  const F magnitude = abs_of(x);
  const F rounded = copy_sign((magnitude + 8388608.0f) - 8388608.0f, x);
  return select(magnitude < 8388608.0f, rounded, x);
}

// The integer of a value that is whole and within +-2^22.
template <class F>
PYRT_INLINE IntOf<F> small_int(F x) {
  const UintOf<F> bits = to_bits(x + 12582912.0f) - 0x4b400000u;
  IntOf<F> result;
  __builtin_memcpy(&result, &bits, sizeof(bits));
  return result;
}

PYRT_INLINE float square_root(float x) { return __builtin_sqrtf(x); }
template <class F>
PYRT_INLINE F square_root(F x) {
  float lanes[kLanes<F>];
  store(lanes, x);
  for (int64_t i = 0; i < kLanes<F>; ++i) lanes[i] = __builtin_sqrtf(lanes[i]);
  return load<F>(lanes);
}

// numpy's rule for minimum and maximum: a NaN on either side is the result; of equal values (+0 and
// -0) the first.
template <class F>
PYRT_INLINE F minimum(F a, F b) {
  return select((a <= b) | (a != a), a, b);
}
template <class F>
PYRT_INLINE F maximum(F a, F b) {
  return select((a >= b) | (a != a), a, b);
}

}  // namespace
}  // namespace pyrt
