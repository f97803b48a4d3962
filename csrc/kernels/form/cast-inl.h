// Conversion of one element between the dtypes of the family cast. Half precision is done with
// integer operations that the compiler can vectorise, so that every CPU gives the same bytes.
#pragma once

#include "kernels/common/lanes-inl.h"

namespace pyrt {
namespace {

struct Bool {
  uint8_t byte;
};
struct Half {
  uint16_t bits;
};

// Exact. The product moves the exponent bias and makes subnormal halves normal.
PYRT_INLINE float from_half(Half half) {
  const uint32_t magnitude = (half.bits & 0x7fffu) << 13;
  const float scaled = from_bits<float>(magnitude) * 0x1p112f;
  const uint32_t special = magnitude | 0x7f800000u;  // infinity and NaN
  const uint32_t bits = magnitude >= 0x0f800000u ? special : to_bits(scaled);
  return from_bits<float>(bits | static_cast<uint32_t>(half.bits & 0x8000u) << 16);
}

// Half to even; NaN becomes the quiet NaN of its sign.
PYRT_INLINE Half to_half(float value) {
  const uint32_t bits = to_bits(value);
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t special = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  // Below 2^-14 the addition of 0.5 leaves the subnormal half in the low bits, rounded.
  const uint32_t subnormal = to_bits(from_bits<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t normal = (magnitude + 0xc8000fffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t half = magnitude >= 0x47800000u ? special : finite;
  return {static_cast<uint16_t>(half | (bits >> 16 & 0x8000u))};
}

// A double rounded to float so that rounding it again to half gives what one rounding would:
// towards zero, and the last bit set if anything was lost.
PYRT_INLINE float round_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  const double back = static_cast<double>(nearest);
  if (!(back < value) && !(back > value)) return nearest;  // exact, or NaN
  uint32_t bits = to_bits(nearest);
  const double magnitude = value < 0 ? -value : value;
  const double back_magnitude = back < 0 ? -back : back;
  if (back_magnitude > magnitude) --bits;
  return from_bits<float>(bits | 1u);
}

// Saturates; NaN becomes 0. Least and most are exact in double; for s64 the upper bound 2^63 is
// excluded.
template <class To>
PYRT_INLINE To saturate(double value) {
  if constexpr (sizeof(To) == 8) {
    if (value >= 9223372036854775808.0) return INT64_MAX;
    if (value <= -9223372036854775808.0) return INT64_MIN;
    return value != value ? To{0} : static_cast<To>(value);
  } else {
    constexpr bool kSigned = static_cast<To>(-1) < To{0};
    constexpr double kBits =
        static_cast<double>(uint64_t{1} << (8 * sizeof(To) - (kSigned ? 1 : 0)));
    constexpr double kLeast = kSigned ? -kBits : 0;
    double clamped = value < kLeast ? kLeast : value;
    clamped = clamped > kBits - 1 ? kBits - 1 : clamped;
    return value != value ? To{0} : static_cast<To>(clamped);
  }
}

template <class A, class B>
constexpr bool kSame = false;
template <class A>
constexpr bool kSame<A, A> = true;
template <class T>
constexpr bool kIsFloat = kSame<T, float> || kSame<T, double>;

template <class To, class From>
PYRT_INLINE To convert(From x) {
  if constexpr (kSame<From, To>) {
    return x;
  } else if constexpr (kSame<From, Half>) {
    return convert<To>(from_half(x));
  } else if constexpr (kSame<From, Bool>) {
    return convert<To>(static_cast<uint8_t>(x.byte != 0 ? 1 : 0));
  } else if constexpr (kSame<To, Bool>) {
    return {static_cast<uint8_t>(x != From{0} ? 1 : 0)};
  } else if constexpr (kSame<To, Half>) {
    if constexpr (kSame<From, float>) return to_half(x);
    // Integers beyond 2^53 are infinite as halves, however a double rounds them.
    return to_half(round_to_odd(static_cast<double>(x)));
  } else if constexpr (kIsFloat<From> && !kIsFloat<To>) {
    return saturate<To>(static_cast<double>(x));
  } else {
    return static_cast<To>(x);
  }
}

// Calls visit(T{}) with the type of `dtype`.
template <class Visit>
PYRT_INLINE void visit_dtype(DType dtype, const Visit& visit) {
  switch (dtype) {
    case DType::kBool:
      return visit(Bool{});
    case DType::kU8:
      return visit(uint8_t{});
    case DType::kS8:
      return visit(int8_t{});
    case DType::kS32:
      return visit(int32_t{});
    case DType::kS64:
      return visit(int64_t{});
    case DType::kF16:
      return visit(Half{});
    case DType::kF32:
      return visit(float{});
    case DType::kF64:
      return visit(double{});
    default:
      return;
  }
}

template <class From, class To>
void cast_run(const void* from, void* to, int64_t n) {
  const From* x = static_cast<const From*>(from);
  To* y = static_cast<To*>(to);
  for (int64_t i = 0; i < n; ++i) y[i] = convert<To>(x[i]);
}

using CastFn = void (*)(const void* from, void* to, int64_t n);

[[maybe_unused]] CastFn pick_cast(DType from, DType to) {
  CastFn fn = nullptr;
  visit_dtype(from, [&](auto x) {
    visit_dtype(to, [&](auto y) { fn = cast_run<decltype(x), decltype(y)>; });
  });
  return fn;
}

}  // namespace
}  // namespace pyrt
