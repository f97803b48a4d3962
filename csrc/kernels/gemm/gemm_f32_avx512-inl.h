// The f32 arithmetic of the product engine (gemm-inl.h) for AVX-512.
//
// Tile 6 x 64: 24 accumulators, 4 of weights, 1 broadcast of the 32 registers. Tiles finish in
// registers and go by the run, as with AVX2. Weights need no prefetch here: loads of 64 bytes keep
// the hardware's own busy (Zen 4). Halves as weights would gain nothing over AVX2: zmm registers
// are filled with them at half the rate.
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm_f32_avx2-inl.h"

namespace pyrt {
namespace {

// A GNU vector: g++ 12 spills arrays of __m512 that share a function with an epilogue.
using F32x16 [[gnu::may_alias]] = float __attribute__((vector_size(64)));

struct Avx512F32 {
  using X = float;
  using A = float;
  using W = float;
  using Acc = float;
  static constexpr int kMr = 6;
  static constexpr int kKr = 1;
  static constexpr bool kInPlace = true;

  static int panels(int) { return 4; }
  static void prepare(const float* x, int64_t count, float* a) { Avx2F32::prepare(x, count, a); }
  static void pack(const float* w, bool transposed, int64_t K, int64_t N, int64_t first,
                   int64_t last, float* out) {
    pack_f32_panels(w, transposed, K, N, first, last, out);
  }
  static void transpose(const float* a, int64_t M, int64_t K, int64_t rows, float* out) {
    transpose_f32(a, M, K, rows, out, K);
  }

  // Tiles of kRows rows and kPanels panels, the last of `last_columns` columns.
  template <int kRows, int kPanels>
  [[gnu::noinline]] static void tiles_of(const F32Tiles& t, int last_columns, const float* w) {
    // Stores to y may alias t.
    const float* const* a = t.a;
    const int64_t* const taps = t.taps;
    const int n_taps = t.n_taps;
    const int64_t segment = t.segment, ldy = t.ldy;
    const int64_t panel_step = kPanel * n_taps * segment;
    const int64_t a_next = t.a_next, w_next = t.w_next, y_next = t.y_next;
    const int64_t bias_next = t.bias_next;
    const float* bias = t.bias;
    const float* residual = t.residual;
    float* y = t.y;
    __mmask16 columns[kPanels];
#pragma GCC unroll 4
    for (int p = 0; p < kPanels; ++p) {
      columns[p] = static_cast<__mmask16>(
          p + 1 < kPanels ? 0xffffu : (1u << static_cast<unsigned>(last_columns)) - 1);
    }
    for (int64_t tile = t.count; tile > 0; --tile) {
      // Sums begin with the bias.
      F32x16 c[kRows][kPanels];
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        const __m512 begin = _mm512_maskz_loadu_ps(columns[p], bias + p * kPanel);
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) c[r][p] = reinterpret_cast<F32x16>(begin);
      }
      const float* from = w;
      for (int tap = 0; tap < n_taps; ++tap) {
        const float* x[kRows];
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) x[r] = a[r] + taps[tap];
        for (int64_t k = 0; k < segment; ++k, from += kPanel) {
          __m512 weights[kPanels];
#pragma GCC unroll 4
          for (int p = 0; p < kPanels; ++p) weights[p] = _mm512_loadu_ps(from + p * panel_step);
#pragma GCC unroll 6
          for (int r = 0; r < kRows; ++r) {
            const __m512 value = _mm512_set1_ps(x[r][k]);
#pragma GCC unroll 4
            for (int p = 0; p < kPanels; ++p) {
              c[r][p] = reinterpret_cast<F32x16>(
                  _mm512_fmadd_ps(value, weights[p], reinterpret_cast<__m512>(c[r][p])));
            }
          }
        }
      }
      if (residual != nullptr) {
        const float* row = residual;
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r, row += ldy) {
#pragma GCC unroll 4
          for (int p = 0; p < kPanels; ++p) {
            c[r][p] +=
                reinterpret_cast<F32x16>(_mm512_maskz_loadu_ps(columns[p], row + p * kPanel));
          }
        }
        residual += y_next;
      }
      asm volatile("" ::: "memory");  // g++ 12 would keep the bounds and spill weights
      const __m512 lo = _mm512_set1_ps(t.lo);
      const __m512 hi = _mm512_set1_ps(t.hi);
      // The operand order of max and min lets a NaN through, as clamp_real does.
      float* row = y;
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r, row += ldy) {
#pragma GCC unroll 4
        for (int p = 0; p < kPanels; ++p) {
          const __m512 raised = _mm512_max_ps(lo, reinterpret_cast<__m512>(c[r][p]));
          _mm512_mask_storeu_ps(row + p * kPanel, columns[p], _mm512_min_ps(hi, raised));
        }
      }
      a += a_next;
      w += w_next;
      y += y_next;
      bias += bias_next;
    }
  }

  using Run = void (*)(const F32Tiles&, int, const float*);
  template <int kPanels>
  static Run run_for(int rows) {
    static constexpr Run kRuns[kMr] = {tiles_of<1, kPanels>, tiles_of<2, kPanels>,
                                       tiles_of<3, kPanels>, tiles_of<4, kPanels>,
                                       tiles_of<5, kPanels>, tiles_of<6, kPanels>};
    return kRuns[rows - 1];
  }
  static void run_tiles(const F32Tiles& t, int rows, int columns, const float* w) {
    const auto panels = ceil_div(columns, kPanel);
    const int last = columns % kPanel == 0 ? kPanel : columns % kPanel;
    const Run run = panels == 4   ? run_for<4>(rows)
                    : panels == 2 ? run_for<2>(rows)
                                  : run_for<1>(rows);
    run(t, last, w);
  }

  static void finished_run(const Epilogue& e, const TileRun& run, const Segments<float>& a,
                           const float* w, int64_t n, int64_t at, int64_t ldy) {
    F32Tiles t = Avx2F32::finished(e, a, n, at, ldy);
    t.count = run.count;
    if (run.across) {
      Avx2F32::next_columns(e, run.columns, run.columns * a.n_taps * a.segment, &t);
    } else {
      t.a_next = run.rows;
      t.y_next = run.rows * ldy;
    }
    run_tiles(t, run.rows, run.columns, w);
  }

  // In the place of multiply() in gemm-inl.h.
  static constexpr bool kMultiplies = true;
  static void multiply(const Epilogue& e, const Segments<float>& a, int64_t rows, const float* w,
                       int64_t N, int64_t first, int64_t last, int64_t channel, int64_t at,
                       int64_t ldy) {
    if (rows == 0) return;
    const int64_t whole = smaller(last, N / kPanel);
    if (first < whole) {
      multiply_runs<Avx512F32>(e, a, rows, w, N, first, whole, channel, at, ldy);
    }
    if (whole == last) return;
    const int64_t n = whole * kPanel;
    const int64_t tiles = ceil_div(rows, kMr);
    const int64_t least = rows / tiles, more = rows % tiles;
    const int64_t m = more * (least + 1);
    const auto columns = static_cast<int>(N - n);
    const float* panel = w + n * a.n_taps * a.segment;
    if (more > 0) {
      finished_run(e, {static_cast<int>(least + 1), columns, more}, a, panel, channel + n, at + n,
                   ldy);
    }
    const Segments<float> below{a.rows + m, a.taps, a.n_taps, a.segment};
    finished_run(e, {static_cast<int>(least), columns, tiles - more}, below, panel, channel + n,
                 at + m * ldy + n, ldy);
  }
};

}  // namespace
}  // namespace pyrt
