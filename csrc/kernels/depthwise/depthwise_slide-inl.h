// f32 depthwise for 3 x 3 taps side by side and strides of 1 or 2, the common case: the weights
// stay in registers while the kernel slides along a row of output, or two at once. Each element of
// the image is loaded once for all taps of these rows, where tiles (depthwise_f32-inl.h) load it
// for every tap. The order of a pixel's sum is the same for one and two rows.
//
//   struct V {
//     using F;                                // a GNU vector of floats
//     static constexpr int kRows;             // of output at once
//     static constexpr int64_t kMaxStride, kMinWidth;  // of output; tiles are faster elsewhere
//     static F multiply_add(F a, F b, F c);   // a * b + c
//     static F clamp(F v, F lo, F hi);        // a NaN passes
//   };
#pragma once

#include "kernels/common/lanes-inl.h"

namespace pyrt {
namespace {

// One vector of channels of n pixels of output, of one row or two.
struct DepthwiseSlide {
  const float* rows[5];  // of the image: its first column
  int64_t steps[5];      // elements to the next column; 0: all the same
  bool left, right;      // the first pixel's first, the last one's last tap lie outside
  int64_t n;
  const float* w;  // [3][3], w_step elements apart
  int64_t w_step;
  const float* bias;
  float lo, hi;
  float* y;
  int64_t ldy, y_row_step;
};

template <class V, int kRows, int kStride>
struct DepthwiseSlider {
  using F = typename V::F;
  static constexpr int kImageRows = (kRows - 1) * kStride + 3;

  // Taps of a column.
  PYRT_INLINE static void add(const F* x, const F (&w)[3][3], int column, F* sum) {
#pragma GCC unroll 3
    for (int k = 0; k < 3; ++k) {
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
        sum[r] = V::multiply_add(x[r * kStride + k], w[k][column], sum[r]);
      }
    }
  }
  PYRT_INLINE static void load_column(const float** rows, const int64_t* steps, F* x) {
#pragma GCC unroll 5
    for (int r = 0; r < kImageRows; ++r) {
      x[r] = load<F>(rows[r]);
      rows[r] += steps[r];
    }
  }

  [[gnu::noinline]] static void run(const DepthwiseSlide& s) {
    const float* rows[kImageRows];
    int64_t steps[kImageRows];
    for (int r = 0; r < kImageRows; ++r) {
      rows[r] = s.rows[r];
      steps[r] = s.steps[r];
    }
    F w[3][3];
    for (int k = 0; k < 9; ++k) w[k / 3][k % 3] = load<F>(s.w + k * s.w_step);
    // Not the bias: 16 registers are full, so it is loaded for every pixel.
    const F lo = splat<F>(s.lo), hi = splat<F>(s.hi);
    const float* bias = s.bias;
    F x[kImageRows];
    F sum[kRows], next[kRows];  // the pixel that is stored next; stride 1: the one after
    for (int r = 0; r < kRows; ++r) sum[r] = next[r] = load<F>(bias);
    if (!s.left) {
      load_column(rows, steps, x);
      add(x, w, 0, sum);
    }
    load_column(rows, steps, x);
    add(x, w, 1, sum);
    if constexpr (kStride == 1) add(x, w, 0, next);
    float* y = s.y;
    const int64_t ldy = s.ldy, y_row_step = s.y_row_step;
    for (int64_t m = s.n - 1; m > 0; --m, y += ldy) {
      load_column(rows, steps, x);
      add(x, w, 2, sum);
      for (int r = 0; r < kRows; ++r) store(y + r * y_row_step, V::clamp(sum[r], lo, hi));
      if constexpr (kStride == 1) {
        for (int r = 0; r < kRows; ++r) sum[r] = next[r];
        add(x, w, 1, sum);
        for (int r = 0; r < kRows; ++r) next[r] = load<F>(bias);
        add(x, w, 0, next);
      } else {
        for (int r = 0; r < kRows; ++r) sum[r] = load<F>(bias);
        add(x, w, 0, sum);
        load_column(rows, steps, x);
        add(x, w, 1, sum);
      }
    }
    if (!s.right) {
      load_column(rows, steps, x);
      add(x, w, 2, sum);
    }
    for (int r = 0; r < kRows; ++r) store(y + r * y_row_step, V::clamp(sum[r], lo, hi));
  }
};

}  // namespace
}  // namespace pyrt
