// 3 x 3 convolutions in f32 with a quarter of the multiplications: Winograd's F(4 x 4, 3 x 3)
// (Lavin and Gray, arXiv 1509.09308). A tile of 4 x 4 outputs needs 6 x 6 inputs d; with constant
// matrices, y = At ((G w Gt) * (Bt d B)) A, where * is element by element. So channels are summed
// by 36 products [tiles] x [C] x [O], one for each element, on the product engine.
//
// The matrices evaluate polynomials at 0, +-3/4, +-3/2 and infinity. With these points the error
// against float64 is about twice that of the direct sum; with the customary 0, +-1, +-2 it is five
// times. An infinity or NaN reaches all 16 outputs of a tile.
//
// Packed: for each of 36 elements the panels of gemm.h of the transformed weights, K = C.
#pragma once

#include <immintrin.h>

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

namespace winograd {

inline constexpr int kOut = 4, kIn = 6, kElements = kIn * kIn;
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

template <class Isa>
struct WinogradRows {
  static constexpr int kElements = winograd::kElements;

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (p.epilogue.integer) return "the operands are s8";
    if (p.volume) return "it has three spatial dims";
    if (p.kernel_h != 3 || p.kernel_w != 3) return "the kernel is not 3 x 3";
    if (p.stride_h != 1 || p.stride_w != 1 || p.dilation_h != 1 || p.dilation_w != 1) {
      return "strides or dilations are not 1";
    }
    if (p.group != 1) return "it is grouped";
    if (p.C % 8 != 0 || p.O % 8 != 0) return "the channels are no multiples of 8";
    return problem.inputs[kInputW].constant != nullptr ? nullptr : "the weights are not constant";
  }

  static int64_t tiles_h(const ConvParams& p) { return ceil_div(p.OH, winograd::kOut); }
  static int64_t tiles_w(const ConvParams& p) { return ceil_div(p.OW, winograd::kOut); }
  static int64_t tiles(const ConvParams& p) { return p.B * tiles_h(p) * tiles_w(p); }
  static int64_t element_weights(const ConvParams& p) { return round_up(p.O, kPanel) * p.C; }

  static size_t packed_bytes(const Problem& problem) {
    return static_cast<size_t>(kElements * element_weights(problem.as<ConvParams>())) *
           sizeof(float);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const auto* w = static_cast<const float*>(problem.inputs[kInputW].constant);
    auto* out = static_cast<float*>(packed);
    memset(packed, 0, packed_bytes(problem));
    for (int64_t o = 0; o < p.O; ++o) {
      for (int64_t c = 0; c < p.C; ++c, w += 9) {
        double rows[3][winograd::kIn];
        for (int i = 0; i < 3; ++i) {
          const double row[3] = {double{w[3 * i]}, double{w[3 * i + 1]}, double{w[3 * i + 2]}};
          winograd::weights_1d(row, rows[i]);
        }
        float* to = out + (o / kPanel * p.C + c) * kPanel + o % kPanel;
        for (int j = 0; j < winograd::kIn; ++j) {
          const double column[3] = {rows[0][j], rows[1][j], rows[2][j]};
          double element[winograd::kIn];
          winograd::weights_1d(column, element);
          for (int i = 0; i < winograd::kIn; ++i) {
            to[(i * winograd::kIn + j) * element_weights(p)] = static_cast<float>(element[i]);
          }
        }
      }
    }
  }

  // Tiles of a block: their transformed inputs take about 200 KiB, of which a product reads one of
  // 36. Panels of a block's step: the sums of 36 products stay in L2.
  struct Blocks {
    int64_t m_blocks, n_blocks, rows, panels, step;
  };
  static Blocks blocks(const ConvParams& p) {
    constexpr int64_t kInputBytes = 200 * 1024;
    constexpr int64_t kSumBytes = 200 * 1024;
    const int64_t tile_bytes = larger(1, p.C) * kElements * 4;
    const int64_t most =
        larger(2 * Isa::kMr, smaller(kMaxTiles * Isa::kMr, kInputBytes / tile_bytes));
    const int64_t all = larger(1, ceil_div(tiles(p), Isa::kMr));
    Blocks b{};
    b.m_blocks = ceil_div(all, larger(1, most / Isa::kMr));
    b.rows = ceil_div(all, b.m_blocks) * Isa::kMr;
    b.panels = ceil_div(p.O, kPanel);
    b.step = larger(1, smaller(b.panels, kSumBytes / (kElements * kPanel * 4 * b.rows)));
    // Some tasks for two threads to share; those of one block transform its inputs once if they run
    // on one thread.
    b.n_blocks = b.m_blocks >= 8 ? 1 : smaller(2, b.panels);
    return b;
  }
  // From one of 36 matrices to the next: an odd number of cache lines, so that their elements for a
  // tile do not share a set of L1.
  static int64_t matrix_elements(int64_t rows, int64_t columns) {
    return (ceil_div(rows * columns, kPanel) | 1) * kPanel;
  }
  static int64_t tasks(const Problem& problem) {
    const Blocks b = blocks(problem.as<ConvParams>());
    return b.m_blocks * b.n_blocks;
  }

  // Scratch: zeros [C] for the padding, inputs [36][rows][C], sums [36][rows][step * 16].
  static int64_t zeros_elements(const ConvParams& p) { return round_up(p.C, kPanel); }
  static int64_t input_elements(const ConvParams& p, const Blocks& b) {
    return kElements * matrix_elements(b.rows, p.C);
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Blocks b = blocks(p);
    return static_cast<size_t>(zeros_elements(p) + input_elements(p, b) +
                               kElements * matrix_elements(b.rows, b.step * kPanel)) *
           sizeof(float);
  }

  // First input (output) line and column of tile t, and its image.
  static void locate(const ConvParams& p, int64_t t, int64_t* image, int64_t* h, int64_t* w) {
    *w = t % tiles_w(p) * winograd::kOut;
    *h = t / tiles_w(p) % tiles_h(p) * winograd::kOut;
    *image = t / tiles_w(p) / tiles_h(p);
  }

  static void transform_input(const ConvParams& p, const float* x, int64_t first, int64_t rows,
                              const float* zeros, float* v) {
    for (int64_t t = 0; t < rows; ++t) {
      int64_t image, h, w;
      locate(p, first + t, &image, &h, &w);
      const float* from[kElements];
      for (int64_t i = 0; i < winograd::kIn; ++i) {
        const int64_t ih = h + i - p.pad_h;
        for (int64_t j = 0; j < winograd::kIn; ++j) {
          const int64_t iw = w + j - p.pad_w;
          const bool inside = ih >= 0 && ih < p.H && iw >= 0 && iw < p.W;
          from[i * winograd::kIn + j] = inside ? x + ((image * p.H + ih) * p.W + iw) * p.C : zeros;
        }
      }
      for (int64_t c = 0; c < p.C; c += 8) {
        winograd::input_8(from, c, v + t * p.C + c, matrix_elements(rows, p.C));
      }
    }
  }

  // Sums m [36][rows][columns] of output channels [n, n + columns) to y.
  static void transform_output(const ConvParams& p, const Epilogue& e, int64_t first, int64_t rows,
                               int64_t n, int64_t columns, const float* m) {
    using winograd::F32x8;
    const auto* bias = static_cast<const float*>(e.bias);
    const auto* residual = static_cast<const float*>(e.residual);
    const int64_t real = smaller(columns, p.O - n);
    const __m256 lo = _mm256_set1_ps(e.params.lo);
    const __m256 hi = _mm256_set1_ps(e.params.hi);
    for (int64_t t = 0; t < rows; ++t) {
      int64_t image, h, w;
      locate(p, first + t, &image, &h, &w);
      const int64_t height = smaller(winograd::kOut, p.OH - h);
      const int64_t width = smaller(winograd::kOut, p.OW - w);
      for (int64_t c = 0; c < real; c += 8) {
        F32x8 y[winograd::kOut][winograd::kOut];
        winograd::output_8(m + t * columns + c, matrix_elements(rows, columns), y);
        const F32x8 shift = bias == nullptr ? F32x8{} : winograd::load(bias + n + c);
        for (int64_t i = 0; i < height; ++i) {
          int64_t at = ((image * p.OH + h + i) * p.OW + w) * p.O + n + c;
          for (int64_t j = 0; j < width; ++j, at += p.O) {
            F32x8 f = y[i][j] + shift;
            if (residual != nullptr) f += winograd::load(residual + at);
            // The operand order of max and min lets a NaN through, as clamp_real does.
            const __m256 raised = _mm256_max_ps(lo, reinterpret_cast<__m256>(f));
            winograd::store(static_cast<float*>(e.y) + at,
                            reinterpret_cast<F32x8>(_mm256_min_ps(hi, raised)));
          }
        }
      }
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Blocks b = blocks(p);
    auto* zeros = static_cast<float*>(call.scratch);
    float* v = zeros + zeros_elements(p);
    float* sums = v + input_elements(p, b);
    memset(zeros, 0, static_cast<size_t>(p.C) * sizeof(float));
    const auto* w = static_cast<const float*>(call.packed);
    const Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    Epilogue plain{};  // of the 36 products
    plain.params.lo = -__builtin_inff();
    plain.params.hi = __builtin_inff();
    plain.y = sums;
    int64_t transformed = -1;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t mi = task / b.n_blocks;
      const int64_t ni = task % b.n_blocks;
      const int64_t all = ceil_div(tiles(p), Isa::kMr);
      const int64_t first = part(all, b.m_blocks, mi) * Isa::kMr;
      const int64_t rows = smaller(tiles(p), part(all, b.m_blocks, mi + 1) * Isa::kMr) - first;
      if (rows <= 0) continue;
      if (mi != transformed) {
        transform_input(p, static_cast<const float*>(call.inputs[kInputX]), first, rows, zeros, v);
        transformed = mi;
      }
      const int64_t last_panel = part(b.panels, b.n_blocks, ni + 1);
      for (int64_t panel = part(b.panels, b.n_blocks, ni); panel < last_panel; panel += b.step) {
        const int64_t count = smaller(b.step, last_panel - panel);
        const int64_t columns = count * kPanel;
        for (int64_t i = 0; i < kElements; ++i) {
          multiply_matrix<Isa>(plain, v + i * matrix_elements(rows, p.C), p.C, rows,
                               w + i * element_weights(p) + panel * kPanel * p.C, p.C, columns, 0,
                               count, 0, i * matrix_elements(rows, columns), columns);
        }
        transform_output(p, e, first, rows, panel * kPanel, columns, sums);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
