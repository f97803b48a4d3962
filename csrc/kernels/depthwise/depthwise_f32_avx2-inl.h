// The f32 depthwise row on AVX2: any taps by tiles of up to 7 pixels; 3 x 3 ones slide, on the
// vectors of the file that includes this.
#pragma once

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/common/lanes-inl.h"
#include "kernels/depthwise/depthwise_f32-inl.h"

namespace pyrt {
namespace {

struct SlideYmm {
  using F = Float8;
  static constexpr int kRows = 1;  // with the weights that fills 16 registers
  static constexpr int64_t kMaxStride = 1, kMinWidth = 28;
  PYRT_INLINE static F multiply_add(F a, F b, F c) {
    return reinterpret_cast<F>(_mm256_fmadd_ps(
        reinterpret_cast<__m256>(a), reinterpret_cast<__m256>(b), reinterpret_cast<__m256>(c)));
  }
  // The operand order of max and min lets a NaN through, as clamp_real does.
  PYRT_INLINE static F clamp(F v, F lo, F hi) {
    const __m256 raised = _mm256_max_ps(reinterpret_cast<__m256>(lo), reinterpret_cast<__m256>(v));
    return reinterpret_cast<F>(_mm256_min_ps(reinterpret_cast<__m256>(hi), raised));
  }
};

// 14 accumulators and the weights of a tap fill the registers; the image is multiplied from memory.
template <int kPixels, int kVectors>
[[gnu::noinline]] void add_taps(const DepthwiseTile& t) {
  // One by one: loading what was just stored in parts as a whole would stall.
  const int64_t pixel_step = t.pixel_step, column_step = t.column_step, ldy = t.ldy;
  float* y = t.y;
  Float8 sum[kPixels][kVectors];
#pragma GCC unroll 2
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
    for (int m = 0; m < kPixels; ++m) sum[m][v] = load<Float8>(t.bias + 8 * v);
  }
  const float* row = t.x;
  const float* w_row = t.w;
  for (int64_t r = t.rows; r > 0; --r, row += t.row_step, w_row += t.w_row_step) {
    const float* x = row;
    const float* w = w_row;
    for (int64_t q = t.columns; q > 0; --q, x += column_step, w += 8 * kVectors) {
      Float8 tap[kVectors];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) tap[v] = load<Float8>(w + 8 * v);
#pragma GCC unroll 8
      for (int m = 0; m < kPixels; ++m) {
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          const __m256 pixel = _mm256_loadu_ps(x + m * pixel_step + 8 * v);
          sum[m][v] = reinterpret_cast<Float8>(_mm256_fmadd_ps(
              pixel, reinterpret_cast<__m256>(tap[v]), reinterpret_cast<__m256>(sum[m][v])));
        }
      }
    }
  }
  // The operand order of max and min lets a NaN through, as clamp_real does.
  const __m256 lo = _mm256_set1_ps(t.lo);
  const __m256 hi = _mm256_set1_ps(t.hi);
#pragma GCC unroll 8
  for (int m = 0; m < kPixels; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const __m256 raised = _mm256_max_ps(lo, reinterpret_cast<__m256>(sum[m][v]));
      _mm256_storeu_ps(y + m * ldy + 8 * v, _mm256_min_ps(hi, raised));
    }
  }
}

// Slide is the vectors that 3 x 3 taps take.
template <class Slide>
struct DepthwiseF32 {
  using SlideVector = Slide;
  static constexpr int64_t kPixels = 7;  // images tend to be 7, 14, 28, 56 or 112 wide

  static void tile(int pixels, int vectors, const DepthwiseTile& t) {
    using Kernel = void (*)(const DepthwiseTile&);
    static constexpr Kernel kKernels[kPixels][2] = {
        {add_taps<1, 1>, add_taps<1, 2>}, {add_taps<2, 1>, add_taps<2, 2>},
        {add_taps<3, 1>, add_taps<3, 2>}, {add_taps<4, 1>, add_taps<4, 2>},
        {add_taps<5, 1>, add_taps<5, 2>}, {add_taps<6, 1>, add_taps<6, 2>},
        {add_taps<7, 1>, add_taps<7, 2>},
    };
    kKernels[pixels - 1][vectors - 1](t);
  }

  static void finish(const Epilogue& e, const float* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_f32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Nanoseconds. Tiles on Zen 3 at 3.2 GHz, for 8 channels of a pixel: a tap, and the rest; where the
// image is copied first, an element. 3 x 3 taps that slide on Zen 4 at 3.7 GHz, for a vector of a
// pixel, by stride.
template <class Slide>
double depthwise_f32_ns(const Problem& problem) {
  constexpr double kCallNs = 60, kTapNs = 0.25, kPixelNs = 0.8, kCopyNs = 0.5;
  constexpr double kSlideNs[2] = {2.6, 4.5};
  using Rows = DepthwiseF32Rows<DepthwiseF32<Slide>>;
  const auto& p = problem.as<ConvParams>();
  const int64_t channels = Rows::blocks(p) * Rows::width(p);
  const auto pixels = static_cast<double>(p.B * p.OH * p.OW);
  if (Rows::slides(problem)) {
    const auto vectors = static_cast<double>(channels / Rows::kSlideLanes);
    return kCallNs + pixels * vectors * kSlideNs[p.stride_w - 1];
  }
  const double taps = static_cast<double>(Rows::taps(p));
  const double copy = Rows::copies(p) ? 8 * taps * kCopyNs : 0;
  return kCallNs + pixels * static_cast<double>(channels / 8) * (kPixelNs + taps * kTapNs + copy);
}

}  // namespace
}  // namespace pyrt
