// The AVX-512 arithmetic of the product engine (gemm-inl.h): s8 by vpdpbusd on activations with an
// offset of 128, f32 by FMA.
//
// Tile 6 x 64: 24 accumulators, 4 of weights, 1 broadcast of the 32 registers. No cache blocking of
// K nor packing of activations is needed up to K = 4096 with 6 rows, even at row strides of a
// multiple of 4096 bytes, where tiles of 14 or more rows fall to a fifth of their speed. N beyond a
// multiple of 64 takes tiles of 2 or 1 panels.
#pragma once

#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/vnni_ymm-inl.h"

namespace pyrt {
namespace {

// Predicted time of a product of M x N x K, without a call's overhead. Rates on Zen 4 at 3.4 GHz:
// s8 200 of 220 multiply-adds a nanosecond at the peak, f32 50 of 54; tiles of few rows are bound
// by reading weights from L2, 95 bytes a nanosecond. A tile's accumulators and epilogue cost about
// 20 ns for 6 x 64.
struct Product512 {
  double macs_per_ns;
  double weight_bytes;  // of one packed weight
};
inline constexpr Product512 kAvx512S8Rates{200, 1};
inline constexpr Product512 kAvx512F32Rates{50, 4};

PYRT_INLINE double product_ns_avx512(const Product512& r, double M, double N, double K,
                                     bool prepare) {
  const double columns = static_cast<double>(round_up(static_cast<int64_t>(N), kPanel));
  const double tiles = static_cast<double>(ceil_div(static_cast<int64_t>(M), 6));
  const double by_macs = M * columns * (K + 1) / r.macs_per_ns;
  const double by_weights = tiles * columns * (K + 1) * r.weight_bytes / 95;
  return tiles * columns * 0.3 + (prepare ? M * (K + 1) * 0.03 : 0) +
         (by_macs > by_weights ? by_macs : by_weights);
}

// vpdpbusd on zmm registers, one to a panel.
struct VnniZmm {
  using Register = __m512i;
  static constexpr int kRegisters = 1;  // of a panel
  static constexpr int kFile = 32;

  static int panels(int) { return 4; }
  PYRT_INLINE static Register zero() { return _mm512_setzero_si512(); }
  PYRT_INLINE static Register load(const int8_t* from) { return _mm512_loadu_si512(from); }
  PYRT_INLINE static Register broadcast(int32_t four) { return _mm512_set1_epi32(four); }
  PYRT_INLINE static Register dot(Register sum, Register a, Register w) {
    return _mm512_dpbusd_epi32(sum, a, w);
  }
  PYRT_INLINE static void store(int32_t* to, Register value) { _mm512_storeu_si512(to, value); }
  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};
using Avx512S8 = VnniS8<VnniZmm>;

// And on ymm registers, for CPUs that slow down when they use zmm ones: `pyruntime tune` finds out.
struct DotEvex {
  PYRT_INLINE static __m256i dot(__m256i sum, __m256i a, __m256i w) {
    return _mm256_dpbusd_epi32(sum, a, w);
  }
};
using Avx512YmmS8 = VnniS8<VnniYmm<DotEvex, 32>>;

struct Avx512F32 {
  using X = float;
  using A = float;
  using W = float;
  using Acc = float;
  static constexpr int kMr = 6;
  static constexpr int kKr = 1;
  static constexpr int kMaxAcc = 6 * 64;
  static constexpr bool kInPlace = true;

  static int panels(int) { return 4; }

  static void prepare(const float* x, int64_t count, float* a) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) _mm512_storeu_ps(a + i, _mm512_loadu_ps(x + i));
    for (; i < count; ++i) a[i] = x[i];
  }

  template <int kRows, int kPanels>
  [[gnu::noinline]] static void tile_of(const float* const* a, const int64_t* taps, int n_taps,
                                        int64_t segment, const float* w, int64_t K, float* acc) {
    __m512 c[kRows][kPanels];
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) c[r][p] = _mm512_setzero_ps();
    }
    for (int t = 0; t < n_taps; ++t) {
      const float* x[kRows];
      for (int r = 0; r < kRows; ++r) x[r] = a[r] + taps[t];
      for (int64_t k = 0; k < segment; ++k, w += kPanel) {
        __m512 weights[kPanels];
#pragma GCC unroll 4
        for (int p = 0; p < kPanels; ++p) {
          weights[p] = _mm512_loadu_ps(w + p * kPanel * K);
        }
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) {
          const __m512 value = _mm512_set1_ps(x[r][k]);
#pragma GCC unroll 4
          for (int p = 0; p < kPanels; ++p) c[r][p] = _mm512_fmadd_ps(value, weights[p], c[r][p]);
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int p = 0; p < kPanels; ++p) {
        _mm512_storeu_ps(acc + (r * kPanels + p) * kPanel, c[r][p]);
      }
    }
  }

  template <int kPanels>
  static void tile_panels(int rows, const float* const* a, const int64_t* taps, int n_taps,
                          int64_t segment, const float* w, int64_t K, float* acc) {
    switch (rows) {
      case 1:
        return tile_of<1, kPanels>(a, taps, n_taps, segment, w, K, acc);
      case 2:
        return tile_of<2, kPanels>(a, taps, n_taps, segment, w, K, acc);
      case 3:
        return tile_of<3, kPanels>(a, taps, n_taps, segment, w, K, acc);
      case 4:
        return tile_of<4, kPanels>(a, taps, n_taps, segment, w, K, acc);
      case 5:
        return tile_of<5, kPanels>(a, taps, n_taps, segment, w, K, acc);
      default:
        return tile_of<6, kPanels>(a, taps, n_taps, segment, w, K, acc);
    }
  }

  static void tile(int rows, int panels, const float* const* a, const int64_t* taps, int n_taps,
                   int64_t segment, const float* w, int64_t K, float* acc) {
    if (panels == 4) return tile_panels<4>(rows, a, taps, n_taps, segment, w, K, acc);
    if (panels == 2) return tile_panels<2>(rows, a, taps, n_taps, segment, w, K, acc);
    tile_panels<1>(rows, a, taps, n_taps, segment, w, K, acc);
  }

  static void finish(const Epilogue& e, const float* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_f32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

}  // namespace
}  // namespace pyrt
