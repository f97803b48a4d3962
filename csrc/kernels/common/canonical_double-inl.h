// sin, cos and pow of numerics class D, computed in double and rounded once to float. Not
// vectorised: networks use them on small tensors. Same rules as canonical_math-inl.h.
#pragma once

#include "kernels/common/lanes-inl.h"

namespace pyrt {
namespace {
namespace canonical {

constexpr double kRound = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to a whole number

PYRT_INLINE double double_from(uint64_t bits) {
  double result;
  __builtin_memcpy(&result, &bits, sizeof(bits));
  return result;
}
PYRT_INLINE uint64_t double_bits(double value) {
  uint64_t bits;
  __builtin_memcpy(&bits, &value, sizeof(value));
  return bits;
}

// r in [-pi/4, pi/4] (and a little more) with |x| = quadrant * pi / 2 + r (modulo 2 pi), for finite
// x.
[[maybe_unused]] double reduce_angle(float x, uint32_t* quadrant) {
  const float magnitude = x < 0 ? -x : x;
  if (magnitude < 536870912.0f) {
    // pi / 2 in three parts, two of 24 bits: n < 2^29 times those is exact.
    const double n = (static_cast<double>(magnitude) * 0x1.45f306dc9c883p-1 + kRound) - kRound;
    *quadrant = static_cast<uint32_t>(n);
    double r = static_cast<double>(magnitude) - n * 0x1.921fb4p+0;
    r = r - n * 0x1.4442d0p-24;
    return r - n * 0x1.8469898cc5170p-48;
  }
  // |x| = m 2^e with e >= 6. Of 2/pi = 0.(bits) only the 96 bits that matter modulo 4 are
  // multiplied (Payne, Hanek).
  constexpr uint32_t kTwoOverPi[] = {0xa2f9836e, 0x4e441529, 0xfc2757d1, 0xf534ddc0,
                                     0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};
  const uint32_t bits = to_bits(magnitude);
  const uint64_t m = (bits & 0x007fffffu) | 0x00800000u;
  const uint32_t first = (bits >> 23) - 150 - 2;  // bit of 2/pi worth 2 in the product
  const uint32_t word = first / 32, shift = first % 32;
  uint64_t part[3];
  for (uint32_t i = 0; i < 3; ++i) {
    const uint64_t pair =
        (static_cast<uint64_t>(kTwoOverPi[word + i]) << 32) | kTwoOverPi[word + i + 1];
    part[i] = (pair << shift) >> 32;
  }
  const uint64_t low = m * part[2];
  const uint64_t mid = m * part[1] + (low >> 32);
  const uint64_t high = m * part[0] + (mid >> 32);
  const uint64_t product =
      (high << 32) | (mid & 0xffffffffu);  // quadrant in 2 bits, then the fraction
  const uint64_t fraction = product << 2;
  const bool up = (fraction >> 63) != 0;
  *quadrant = static_cast<uint32_t>(product >> 62) + (up ? 1 : 0);
  const double part_of_quadrant = static_cast<double>(static_cast<int64_t>(fraction)) * 0x1p-64;
  return part_of_quadrant * 0x1.921fb54442d18p+0;
}

// Taylor series: the first term left out is below 1e-18 on the reduced range.
PYRT_INLINE double sin_series(double r) {
  const double s = r * r;
  double p = s * (1.0 / 355687428096000.0) - 1.0 / 1307674368000.0;
  p = p * s + 1.0 / 6227020800.0;
  p = p * s - 1.0 / 39916800.0;
  p = p * s + 1.0 / 362880.0;
  p = p * s - 1.0 / 5040.0;
  p = p * s + 1.0 / 120.0;
  p = p * s - 1.0 / 6.0;
  return p * s * r + r;
}
PYRT_INLINE double cos_series(double r) {
  const double s = r * r;
  double p = s * (1.0 / 20922789888000.0) - 1.0 / 87178291200.0;
  p = p * s + 1.0 / 479001600.0;
  p = p * s - 1.0 / 3628800.0;
  p = p * s + 1.0 / 40320.0;
  p = p * s - 1.0 / 720.0;
  p = p * s + 1.0 / 24.0;
  p = p * s - 0.5;
  return p * s + 1.0;
}

[[maybe_unused]] float sin(float x) {
  if (!(x - x == 0.0f)) return x - x;  // NaN for infinities
  if (x == 0.0f) return x;
  uint32_t quadrant;
  const double r = reduce_angle(x, &quadrant);
  const double y = (quadrant & 1) != 0 ? cos_series(r) : sin_series(r);
  const bool negative = ((quadrant & 2) != 0) != (x < 0);
  return static_cast<float>(negative ? -y : y);
}

[[maybe_unused]] float cos(float x) {
  if (!(x - x == 0.0f)) return x - x;
  uint32_t quadrant;
  const double r = reduce_angle(x, &quadrant);
  const double y = (quadrant & 1) != 0 ? sin_series(r) : cos_series(r);
  return static_cast<float>(((quadrant + 1) & 2) != 0 ? -y : y);
}

// Natural logarithm of x > 0, finite.
[[maybe_unused]] double log_double(double x) {
  const uint64_t sqrt_half = 0x3fe6a09e667f3bcdull;
  const uint64_t shifted = double_bits(x) - sqrt_half;
  const double m = double_from((shifted & 0x000fffffffffffffull) + sqrt_half);
  const double e = static_cast<double>(static_cast<int64_t>(shifted) >> 52);
  const double s = (m - 1.0) / (m + 1.0);  // log m = 2 atanh s, |s| < 0.172
  const double q = s * s;
  double p = q * (1.0 / 23.0) + 1.0 / 21.0;
  p = p * q + 1.0 / 19.0;
  p = p * q + 1.0 / 17.0;
  p = p * q + 1.0 / 15.0;
  p = p * q + 1.0 / 13.0;
  p = p * q + 1.0 / 11.0;
  p = p * q + 1.0 / 9.0;
  p = p * q + 1.0 / 7.0;
  p = p * q + 1.0 / 5.0;
  p = p * q + 1.0 / 3.0;
  return (p * q * s + s) * 2.0 + e * 0x1.62e42fefa39efp-1;
}

// e^x; 0 or a value beyond every float where |x| is large.
[[maybe_unused]] double exp_double(double x) {
  x = x < -700.0 ? -700.0 : x;
  x = x > 700.0 ? 700.0 : x;
  const double n = (x * 0x1.71547652b82fep+0 + kRound) - kRound;
  const double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
  double p = r * (1.0 / 6227020800.0) + 1.0 / 479001600.0;
  p = p * r + 1.0 / 39916800.0;
  p = p * r + 1.0 / 3628800.0;
  p = p * r + 1.0 / 362880.0;
  p = p * r + 1.0 / 40320.0;
  p = p * r + 1.0 / 5040.0;
  p = p * r + 1.0 / 720.0;
  p = p * r + 1.0 / 120.0;
  p = p * r + 1.0 / 24.0;
  p = p * r + 1.0 / 6.0;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * double_from((double_bits(n + kRound) + 1023) << 52);
}

// Special values as C99 pow. The exponents 2, 3, -1 and 1/2 are multiplications, a division and a
// root, so that compilers of models may rewrite them.
[[maybe_unused]] float pow(float x, float y) {
  if (y == 2.0f) return x * x;
  if (y == 0.0f || x == 1.0f) return 1.0f;
  if (x != x || y != y) return x + y;
  if (y == 1.0f) return x;
  if (y == 3.0f) return x * x * x;
  if (y == -1.0f) return 1.0f / x;
  const float infinity = __builtin_inff();
  if (y == 0.5f) return x == -infinity ? infinity : square_root(x + 0.0f);
  const float a = x < 0 ? -x : x, b = y < 0 ? -y : y;
  const bool whole = b >= 8388608.0f || round_even(y) == y;
  // Odd: from 2^24 on floats are even.
  const bool odd = whole && b < 16777216.0f && (static_cast<int32_t>(y) & 1) != 0;
  const bool negative = (to_bits(x) >> 31) != 0;
  if (negative && !whole && a != 0.0f && a != infinity) return __builtin_nanf("");
  float magnitude;
  if (a == 0.0f || a == infinity) {
    magnitude = (a == 0.0f) == (y > 0) ? 0.0f : infinity;
  } else if (a == 1.0f) {
    magnitude = 1.0f;
  } else if (b == infinity) {
    magnitude = (a > 1.0f) == (y > 0) ? infinity : 0.0f;
  } else {
    magnitude =
        static_cast<float>(exp_double(static_cast<double>(y) * log_double(static_cast<double>(a))));
  }
  return negative && odd ? -magnitude : magnitude;
}

}  // namespace canonical
}  // namespace
}  // namespace pyrt
