// Elementary functions of numerics class D: the same bytes on every CPU. They use float + - * /,
// square root, comparisons and bit operations in a written order and nothing else: no fma (not
// every CPU has one), no libm, no table. Written once over F (lanes-inl.h), so the scalar and the
// vector version are the same algorithm.
//
// Largest errors over all floats (tests/kernels/canonical_math_test.cpp asserts them): exp, log,
// tanh, erf, softplus, sin, cos and pow 2 ulp, sigmoid 2.25; gelu, gelu_tanh and silu 1.5e-7
// max(1, |x|). IEEE limits hold: exp(-inf) = 0, log(0) = -inf, log(-1) = NaN, NaN in gives NaN out.
// Where exp is a part of another function (of softmax too), results below 1.22e-38 are 0. The sign
// and payload of a NaN are not part of the contract.
//
// The polynomials are weighted minimax fits (Lawson iteration on 4000 Chebyshev nodes) of the
// functions named beside them, rounded to float.
#pragma once

#include "kernels/common/lanes-inl.h"

namespace pyrt {
namespace {
namespace canonical {

// 2^n for whole n in [-126, 127], n given as float.
template <class F>
PYRT_INLINE F power_of_two(F n) {
  return from_bits<F>((to_bits(n + 12582912.0f) - (0x4b400000u - 127u)) << 23);
}

// n and r with x = n ln 2 + r, |r| <= 0.35, for |x| <= 105.
template <class F>
PYRT_INLINE F reduce_exp(F x, F* n) {
  *n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
  // ln 2 in two parts: the first has 9 bits, so n times it is exact.
  return (x - *n * 0.693359375f) - *n * -2.12194440e-4f;
}

// (e^r - 1 - r) / r^2
template <class F>
PYRT_INLINE F exp_tail(F r) {
  F p = r * 1.991938043e-04f + 1.394722494e-03f;
  p = p * r + 8.333262987e-03f;
  p = p * r + 4.166625440e-02f;
  p = p * r + 1.666666716e-01f;
  return p * r + 0.5f;
}

template <class F>
PYRT_INLINE F exp(F x) {
  x = select(x > 89.0f, splat<F>(89.0f), x);      // e^89 overflows to infinity
  x = select(x < -104.0f, splat<F>(-104.0f), x);  // e^-104 rounds to zero
  F n;
  const F r = reduce_exp(x, &n);
  const F p = (r * r * exp_tail(r) + r) + 1.0f;
  // In two halves: 2^n alone would leave the range for n = 128 and for denormal results.
  const F half = (n * 0.5f + 12582912.0f) - 12582912.0f;
  return (p * power_of_two(half)) * power_of_two(n - half);
}

// n ln 2 + r = x as reduce_exp, for x <= 0, and 2^n: the bias of the exponent is added with the
// number that rounds. A NaN gives an r that is one.
template <class F>
PYRT_INLINE F reduce_nonpositive(F x, F* power) {
  const F biased = x * 1.44269504f + 12583039.0f;  // 1.5 * 2^23 + 127
  const F n = biased - 12583039.0f;
  *power = from_bits<F>(to_bits(biased) << 23);
  return (x - n * 0.693359375f) - n * -2.12194440e-4f;
}

// e^x for x <= 0; 0 where that is below 1.22e-38. A third cheaper than exp().
template <class F>
PYRT_INLINE F exp_nonpositive(F x) {
  F power;
  const F r = reduce_nonpositive(x, &power);
  const F p = (r * r * exp_tail(r) + r) + 1.0f;
  return select(x < -87.3f, splat<F>(0.0f), p * power);
}

// e^x - 1 for x <= 0, without cancellation near 0.
template <class F>
PYRT_INLINE F expm1_negative(F x) {
  x = select(x < -30.0f, splat<F>(-30.0f), x);
  F power;
  const F r = reduce_nonpositive(x, &power);
  return power * (r * r * exp_tail(r) + r) + (power - 1.0f);
}

template <class F>
PYRT_INLINE F log(F x) {
  // Denormals are scaled up by 2^24 first.
  const auto tiny = x < 1.17549435e-38f;
  const F scaled = select(tiny, x * 16777216.0f, x);
  // x = m 2^e with m in [sqrt(1/2), sqrt(2)): the exponent of x / sqrt(1/2), read from the bits.
  const UintOf<F> shifted = to_bits(scaled) - 0x3f3504f3u;
  const F m = from_bits<F>((shifted & 0x007fffffu) + 0x3f3504f3u);
  const UintOf<F> exponent = (shifted + 0x80000000u) >> 23;  // + 256, as floats cannot shift signs
  const F e = (from_bits<F>(exponent | 0x4b000000u) - 8388864.0f) -
              select(tiny, splat<F>(24.0f), splat<F>(0.0f));
  const F f = m - 1.0f;
  F p = f * 6.921795011e-02f + -1.180588081e-01f;  // (log(1 + f) - f + f^2 / 2) / f^3
  p = p * f + 1.187870577e-01f;
  p = p * f + -1.238219813e-01f;
  p = p * f + 1.421765685e-01f;
  p = p * f + -1.666933149e-01f;
  p = p * f + 2.000227571e-01f;
  p = p * f + -2.499998510e-01f;
  p = p * f + 3.333331048e-01f;
  const F square = f * f;
  F y = p * f * square + e * -2.12194440e-4f;
  y = y - square * 0.5f;
  y = (f + y) + e * 0.693359375f;
  const F infinity = splat<F>(__builtin_inff());
  y = select(x == infinity, infinity, y);
  y = select(x == 0.0f, -infinity, y);
  y = select(x < 0.0f, splat<F>(__builtin_nanf("")), y);
  return select(x != x, x, y);
}

// log(1 + z) for z in [0, 1]: the rounding error of 1 + z is put back.
template <class F>
PYRT_INLINE F log1p_unit(F z) {
  const F u = z + 1.0f;
  return log(u) + (z - (u - 1.0f)) / u;
}

// A polynomial up to 0.625, 1 - 2 z / (1 + z) with z = e^-2|x| beyond.
template <class F>
PYRT_INLINE F tanh(F x) {
  const F t = abs_of(x);
  const F s = x * x;
  F p = s * 2.064662054e-03f + -8.091964759e-03f;  // (tanh(x) - x) / x^3, up to 0.65
  p = p * s + 2.166634426e-02f;
  p = p * s + -5.394056439e-02f;
  p = p * s + 1.333315820e-01f;
  p = p * s + -3.333332837e-01f;
  const F small = p * s * t + t;
  const F z = exp_nonpositive(t * -2.0f);
  const F large = 1.0f - (z + z) / (z + 1.0f);
  return copy_sign(select(t < 0.625f, small, large), x);
}

template <class F>
PYRT_INLINE F sigmoid(F x) {
  const F z = exp_nonpositive(-abs_of(x));
  const F y = select(x < 0.0f, z, splat<F>(1.0f)) / (z + 1.0f);
  return select(x != x, x, y);  // the NaN itself: its sign would depend on the compiler
}

template <class F>
PYRT_INLINE F erf(F x) {
  const F t = abs_of(x);
  const F s = x * x;
  F p = s * 8.344854723e-05f + -8.137333789e-04f;  // erf(x) / x - 1, up to 0.93
  p = p * s + 5.200623069e-03f;
  p = p * s + -2.685926482e-02f;
  p = p * s + 1.128369346e-01f;
  p = p * s + -3.761263490e-01f;
  p = p * s + 1.283791661e-01f;
  const F small = p * x + x;
  const F u = select(t > 4.0f, splat<F>(4.0f), t);  // erf(4) rounds to 1
  F q = u * 1.043311477e-05f + -3.148581018e-04f;   // -log(1 - erf(t)) / t - 1, 0.9 to 4
  q = q * u + 3.610342043e-03f;
  q = q * u + -2.369456552e-02f;
  q = q * u + 1.061590463e-01f;
  q = q * u + 6.351980567e-01f;
  q = q * u + 1.286370754e-01f;
  const F large = 1.0f - exp_nonpositive(-(q * u + u));
  const F y = copy_sign(select(t < 0.927f, small, large), x);
  return select(x != x, x, y);
}

// x Phi(x): Phi(-t) = e^(t p(t)) / 2, and p goes to minus infinity beyond the range it was fitted
// on.
template <class F>
PYRT_INLINE F gelu(F x) {
  const F t = abs_of(x);
  F p = t * -1.618463287e-06f + 2.338527190e-05f;  // log(erfc(t / sqrt(2))) / t, 0 to 7
  p = p * t + -1.118003652e-04f;
  p = p * t + -1.328787765e-04f;
  p = p * t + 4.939966494e-03f;
  p = p * t + -3.641352584e-02f;
  p = p * t + -3.182919942e-01f;
  p = p * t + -7.978859075e-01f;
  const F tail = exp_nonpositive(p * t) * 0.5f;
  return x * select(x < 0.0f, tail, 1.0f - tail);
}

// x / 2 (1 + tanh(u)) = x sigmoid(2 u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
template <class F>
PYRT_INLINE F gelu_tanh(F x) {
  return x * sigmoid(x * (x * x * 0.0713548163f + 1.59576912f));
}

template <class F>
PYRT_INLINE F silu(F x) {
  return x * sigmoid(x);
}

template <class F>
PYRT_INLINE F softplus(F x) {
  const F y = select(x > 0.0f, x, splat<F>(0.0f)) + log1p_unit(exp_nonpositive(-abs_of(x)));
  return select(x != x, x, y);
}

template <class F>
PYRT_INLINE F floor(F x) {
  const F rounded = round_even(x);
  return copy_sign(select(rounded > x, rounded - 1.0f, rounded), x);
}

template <class F>
PYRT_INLINE F ceil(F x) {
  const F rounded = round_even(x);
  return copy_sign(select(rounded < x, rounded + 1.0f, rounded), x);
}

}  // namespace canonical
}  // namespace
}  // namespace pyrt
