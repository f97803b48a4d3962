// The f32 arithmetic of winograd-inl.h. Its matrices evaluate polynomials at 0, +-3/4, +-3/2 and
// infinity. With these points the error against float64 is about twice that of the direct sum; with
// the customary 0, +-1, +-2 it is five times. An infinity or NaN reaches all 16 outputs of a tile.
#pragma once

#include <immintrin.h>

#include "kernels/conv/winograd-inl.h"

namespace pyrt {
namespace {

namespace winograd {

inline constexpr float kA = 0.75f, kB = 1.5f;  // the points beside 0 and infinity are +-a, +-b
inline constexpr float kA2 = kA * kA, kB2 = kB * kB;

using F32x8 [[gnu::may_alias]] = float __attribute__((vector_size(32)));
using F32x8u [[gnu::may_alias]] = float __attribute__((vector_size(32), aligned(4)));

PYRT_INLINE F32x8 load(const float* from) { return *reinterpret_cast<const F32x8u*>(from); }
PYRT_INLINE void store(float* to, F32x8 value) { *reinterpret_cast<F32x8u*>(to) = value; }
PYRT_INLINE F32x8 all(float x) { return F32x8{x, x, x, x, x, x, x, x}; }
// a * b + c, rounded once.
PYRT_INLINE F32x8 fma(F32x8 a, F32x8 b, F32x8 c) {
  return reinterpret_cast<F32x8>(_mm256_fmadd_ps(
      reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
}

// Bt times a column of 6 values, in place.
PYRT_INLINE void input_1d(F32x8 x[kIn]) {
  const F32x8 a2 = all(-kA2), b2 = all(-kB2), both = all(-(kA2 + kB2)), product = all(kA2 * kB2);
  const F32x8 even_a = fma(b2, x[2], x[4]), odd_a = fma(b2, x[1], x[3]);
  const F32x8 even_b = fma(a2, x[2], x[4]), odd_b = fma(a2, x[1], x[3]);
  x[0] = fma(both, x[2], fma(product, x[0], x[4]));
  x[5] = fma(both, x[3], fma(product, x[1], x[5]));
  x[1] = fma(all(kA), odd_a, even_a);
  x[2] = fma(all(-kA), odd_a, even_a);
  x[3] = fma(all(kB), odd_b, even_b);
  x[4] = fma(all(-kB), odd_b, even_b);
}

// At times a column of 6 values, to the first 4.
PYRT_INLINE void output_1d(F32x8 m[kIn]) {
  const F32x8 sum_a = m[1] + m[2], difference_a = m[1] - m[2];
  const F32x8 sum_b = m[3] + m[4], difference_b = m[3] - m[4];
  m[0] = (m[0] + sum_a) + sum_b;
  m[1] = fma(all(kA), difference_a, all(kB) * difference_b);
  m[2] = fma(all(kA2), sum_a, all(kB2) * sum_b);
  m[3] = fma(all(kA2 * kA), difference_a, fma(all(kB2 * kB), difference_b, m[5]));
}

// 8 channels of a tile: d[6][6] under `from` to v[i * step].
[[gnu::noinline]] inline void input_8(const float* const* from, int64_t c, float* v, int64_t step) {
  F32x8 d[kIn][kIn];
#pragma GCC unroll 6
  for (int j = 0; j < kIn; ++j) {
    F32x8 x[kIn];
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) x[i] = load(from[i * kIn + j] + c);
    input_1d(x);
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) d[i][j] = x[i];
  }
#pragma GCC unroll 6
  for (int i = 0; i < kIn; ++i) {
    F32x8 x[kIn];
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) x[j] = d[i][j];
    input_1d(x);
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) store(v + (i * kIn + j) * step, x[j]);
  }
}

// 8 channels of a tile: m[i * step] to y[4][4].
[[gnu::noinline]] inline void output_8(const float* m, int64_t step, F32x8 y[kOut][kOut]) {
  F32x8 half[kOut][kIn];
#pragma GCC unroll 6
  for (int j = 0; j < kIn; ++j) {
    F32x8 x[kIn];
#pragma GCC unroll 6
    for (int i = 0; i < kIn; ++i) x[i] = load(m + (i * kIn + j) * step);
    output_1d(x);
#pragma GCC unroll 4
    for (int i = 0; i < kOut; ++i) half[i][j] = x[i];
  }
#pragma GCC unroll 4
  for (int i = 0; i < kOut; ++i) {
    F32x8 x[kIn];
#pragma GCC unroll 6
    for (int j = 0; j < kIn; ++j) x[j] = half[i][j];
    output_1d(x);
#pragma GCC unroll 4
    for (int j = 0; j < kOut; ++j) y[i][j] = x[j];
  }
}

// G times a column of 3 weights: at each point p the polynomial w0 + w1 p + w2 p^2 over the product
// of p's distances to the other points. In double: done once.
[[maybe_unused]] void weights_1d(const double w[3], double out[kIn]) {
  constexpr double points[5] = {0, kA, -kA, kB, -kB};
  for (int i = 0; i < 5; ++i) {
    double distance = 1;
    for (int j = 0; j < 5; ++j) {
      if (j != i) distance *= points[i] - points[j];
    }
    out[i] = (w[0] + points[i] * (w[1] + points[i] * w[2])) / distance;
  }
  out[5] = w[2];
}

}  // namespace winograd

// How WinogradRows computes in f32 with the products of Isa.
template <class Engine>
struct WinogradF32 {
  using Isa = Engine;
  using X = float;
  static constexpr int64_t kInputLanes = 8, kOutputLanes = 8;

  static const char* supports(const Problem& problem) {
    return problem.as<ConvParams>().epilogue.integer ? "the operands are s8" : nullptr;
  }

  // The 36 elements of a channel's 3 x 3 weights, `step` apart.
  static void weights(const float* w, float* to, int64_t step) {
    double rows[3][winograd::kIn];
    for (int i = 0; i < 3; ++i) {
      const double row[3] = {double{w[3 * i]}, double{w[3 * i + 1]}, double{w[3 * i + 2]}};
      winograd::weights_1d(row, rows[i]);
    }
    for (int j = 0; j < winograd::kIn; ++j) {
      const double column[3] = {rows[0][j], rows[1][j], rows[2][j]};
      double element[winograd::kIn];
      winograd::weights_1d(column, element);
      for (int i = 0; i < winograd::kIn; ++i) {
        to[(i * winograd::kIn + j) * step] = static_cast<float>(element[i]);
      }
    }
  }

  static void input(const float* const* from, int64_t c, float* v, int64_t step) {
    winograd::input_8(from, c, v, step);
  }

  struct Channels {
    winograd::F32x8 bias;
    __m256 lo, hi;
  };
  static Channels channels(const Epilogue& e, int64_t n) {
    const auto* bias = static_cast<const float*>(e.bias);
    return {bias == nullptr ? winograd::F32x8{} : winograd::load(bias + n),
            _mm256_set1_ps(e.params.lo), _mm256_set1_ps(e.params.hi)};
  }

  static void output(const ConvParams& p, const Epilogue& e, const Channels& channels,
                     const float* m, int64_t step, int64_t, int64_t at, int64_t height,
                     int64_t width) {
    using winograd::F32x8;
    const auto* residual = static_cast<const float*>(e.residual);
    F32x8 y[winograd::kOut][winograd::kOut];
    winograd::output_8(m, step, y);
    for (int64_t i = 0; i < height; ++i, at += p.OW * p.O) {
      for (int64_t j = 0; j < width; ++j) {
        F32x8 f = y[i][j] + channels.bias;
        if (residual != nullptr) f += winograd::load(residual + at + j * p.O);
        // The operand order of max and min lets a NaN through, as clamp_real does.
        const __m256 raised = _mm256_max_ps(channels.lo, reinterpret_cast<__m256>(f));
        winograd::store(static_cast<float*>(e.y) + at + j * p.O,
                        reinterpret_cast<F32x8>(_mm256_min_ps(channels.hi, raised)));
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
