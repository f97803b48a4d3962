// Elementary functions of numerics class D: the same bytes on every CPU. They use float + - * /,
// square root, comparisons and bit operations in a written order and nothing else: no fma (not
// every CPU has one), no libm, no table. Written once over F (lanes-inl.h), so the scalar and the
// vector version are the same algorithm.
//
// Largest errors over all floats (tests/kernels/canonical_math_test.cpp asserts them): exp, log,
// tanh, erf, softplus, sin, cos and pow 2 ulp, sigmoid 2.25; gelu, gelu_tanh and silu 1.5e-7
// max(1, |x|); the terms of softmax 2^-22 (1 + |x - max|) of themselves. IEEE limits hold:
// exp(-inf) = 0, log(0) = -inf, log(-1) = NaN, NaN in gives NaN out. Where exp is a part of another
// function (of softmax too), results below 1.22e-38 may be 0. The sign and payload of a NaN are not
// part of the contract.
//
// Polynomials are summed in pairs (Estrin): a chain of operations that wait for each other is what
// bounds them. They are weighted minimax fits (Lawson iteration on 4000 Chebyshev nodes) of the
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

// e^r - 1
template <class F>
PYRT_INLINE F expm1_reduced(F r) {
  const F s = r * r;
  const F low = r * 1.666651964e-01f + 4.999999404e-01f;
  const F high = s * 1.381422160e-03f + (r * 8.368899114e-03f + 4.166840389e-02f);
  return (high * s + low) * s + r;
}

template <class F>
PYRT_INLINE F exp(F x) {
  x = select(x > 89.0f, splat<F>(89.0f), x);      // e^89 overflows to infinity
  x = select(x < -104.0f, splat<F>(-104.0f), x);  // e^-104 rounds to zero
  F n;
  const F r = reduce_exp(x, &n);
  const F p = expm1_reduced(r) + 1.0f;
  // In two halves: 2^n alone would leave the range for n = 128 and for denormal results.
  const F half = (n * 0.5f + 12582912.0f) - 12582912.0f;
  return (p * power_of_two(half)) * power_of_two(n - half);
}

// n ln 2 + r = x as reduce_exp, and 2^n, for x in [-88.03, 88.8]: 0 for n = -127 and infinity for
// n = 128. The bias of the exponent is added with the number that rounds. A NaN gives an r that is
// one.
template <class F>
PYRT_INLINE F reduce_biased(F x, F* power) {
  const F biased = x * 1.44269504f + 12583039.0f;  // 1.5 * 2^23 + 127
  const F n = biased - 12583039.0f;
  *power = from_bits<F>(to_bits(biased) << 23);
  return (x - n * 0.693359375f) - n * -2.12194440e-4f;
}

// e^x for x <= 88.8; 0 where that is below 8.3e-39, infinity above 88.38.
template <class F>
PYRT_INLINE F exp_limited(F x) {
  F power;
  const F r = reduce_biased(larger(splat<F>(-88.03f), x), &power);
  return (expm1_reduced(r) + 1.0f) * power;
}

// 2^t for t <= 128, but 0 below -126.5 and infinity from 127.5 on, to 1e-7 of it: for t that is
// rounded anyway.
template <class F>
PYRT_INLINE F exp2_limited(F t) {
  t = larger(splat<F>(-127.0f), t);
  const F biased = t + 12583039.0f;  // 1.5 * 2^23 + 127
  const F f = t - (biased - 12583039.0f);
  const F s = f * f;
  const F low = f * 6.9314698e-01f + 1.0f;
  const F high = s * (f * 1.32647e-3f + 9.67151e-3f) + (f * 5.550734e-02f + 2.4022242e-01f);
  return (high * s + low) * from_bits<F>(to_bits(biased) << 23);
}

// e^d for d <= 0 that is a rounded difference: within 2^-22 (1 + |d|) of it, as much as rounding d
// makes it to be off.
template <class F>
PYRT_INLINE F exp_of_difference(F d) {
  return exp2_limited(d * 1.44269504f);
}

// e^x - 1 for x <= 0, without cancellation near 0.
template <class F>
PYRT_INLINE F expm1_negative(F x) {
  x = select(x < -30.0f, splat<F>(-30.0f), x);
  F power;
  const F r = reduce_biased(x, &power);
  return power * expm1_reduced(r) + (power - 1.0f);
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

// (1 - z) / (1 + z) with z = e^-2|x| = power + part, both sums rounded once; 1 from 10 on.
template <class F>
PYRT_INLINE F tanh(F x) {
  const F t = smaller(splat<F>(10.0f), abs_of(x));
  F power;
  const F r = reduce_biased(t * -2.0f, &power);
  const F part = power * expm1_reduced(r);
  return copy_sign((part + (power - 1.0f)) / (part + (power + 1.0f)), x);
}

template <class F>
PYRT_INLINE F sigmoid(F x) {
  return 1.0f / (exp_limited(smaller(splat<F>(88.8f), -x)) + 1.0f);
}

// 1 - e^-(t q(t) + t) for t = |x|; 1 from 4 on.
template <class F>
PYRT_INLINE F erf(F x) {
  const F t = smaller(splat<F>(4.0f), abs_of(x));
  const F s = t * t;
  // -log(1 - erf(t)) / t - 1
  F q = s * -9.250146832e-06f + (t * 1.175842481e-04f + -6.326236180e-04f);
  q = q * s + (t * 1.666615834e-03f + -1.599559910e-04f);
  q = q * s + (t * -1.915332302e-02f + 1.027779058e-01f);
  q = q * s + (t * 6.366193891e-01f + 1.283791661e-01f);
  return copy_sign(expm1_negative(-(q * t + t)), x);
}

// x Phi(x): Phi(-t) = 2^p(t), fitted up to 5.6 for the error of the product, and falling beyond.
template <class F>
PYRT_INLINE F gelu(F x) {
  const F t = smaller(splat<F>(14.0f), abs_of(x));
  const F s = t * t;
  F p = s * 2.545004281e-05f + (t * -7.067492697e-04f + 7.888860069e-03f);
  p = p * s + (t * -5.313313380e-02f + -4.589695334e-01f);
  p = p * s + (t * -1.151137948e+00f + -1.0f);
  const F tail = exp2_limited(p);
  return x * select(x < 0.0f, tail, 1.0f - tail);
}

// x / 2 (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2 / pi) (x + 0.044715 x^3)
template <class F>
PYRT_INLINE F gelu_tanh(F x) {
  return x / (exp2_limited(smaller(splat<F>(128.0f), x * (x * x * -0.102943240f + -2.30220819f))) +
              1.0f);
}

template <class F>
PYRT_INLINE F silu(F x) {
  return x / (exp2_limited(smaller(splat<F>(128.0f), x * -1.44269504f)) + 1.0f);
}

template <class F>
PYRT_INLINE F softplus(F x) {
  const F y = select(x > 0.0f, x, splat<F>(0.0f)) + log1p_unit(exp_limited(-abs_of(x)));
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
