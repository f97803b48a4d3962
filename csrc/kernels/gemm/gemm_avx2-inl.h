// The AVX2 arithmetic of the product engine (gemm-inl.h), shared by gemm, conv and conv_transpose.
//
// Tile 6 x 16: 12 accumulators of 8 lanes, 2 of weights, 1-2 for broadcasts = the 16 registers of
// AVX2. With 3 cycles (vpmaddwd) or 4 (FMA) of latency and 2 a cycle, 8 chains are enough. Few rows
// take 2 or 4 panels at once, so that chains and outstanding loads stay as many. Accumulators are
// GNU vectors: g++ 12 spills arrays of __m256i.
#pragma once

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/gemm_f32_avx2-inl.h"
#include "kernels/gemm/quantized_avx2-inl.h"

namespace pyrt {
namespace {

// Predicted time of a product of M x N x K, without a call's overhead. Multiply-adds a nanosecond
// on Zen 3 at 3.25 GHz: s8 77 of 82 at peak, f32 49 of 52. A tile of few rows is bound by loading
// (and widening) its weights instead: at most so many bytes of packed weights a nanosecond from L2,
// and what memory gives where they are many.
struct ProductRates {
  double macs_per_ns;
  double weight_bytes_per_ns;
  double weight_bytes;  // of one packed weight
  double prepare_ns;    // per element of prepared activations
  double tile_ns = 12;  // start, last loads and epilogue of 6 x 16
  bool halves = false;  // a last panel of 8 columns costs little more than half
};
inline constexpr ProductRates kAvx2S8Rates{77, 60, 1, 0.04, 11, true};
inline constexpr ProductRates kAvx2S16Rates{70, 60, 1, 0.04};  // sums stored, not quantised
inline constexpr ProductRates kAvx2F32Rates{49.5, 90, 4, 0.06, 6, true};
inline constexpr ProductRates kAvx2F16Rates{49.5, 70, 2, 0.06, 6, true};

// What one core reads a nanosecond of so many bytes, again and again: from 512 KB of L2, from 32 MB
// of L3 that others use too, from DRAM.
PYRT_INLINE double read_bytes_per_ns(double bytes) {
  return bytes < 4e5 ? 90 : (bytes < 12e6 ? 60 : (bytes < 24e6 ? 45 : 26));
}

PYRT_INLINE double product_ns(const ProductRates& r, double M, double N, double K, bool prepare) {
  const double panels = panels_worked(N, r.halves);
  const double heights = static_cast<double>(ceil_div(static_cast<int64_t>(M), 6));
  const double by_macs = M * panels * kPanel * (K + 1) / r.macs_per_ns;
  const double weight_bytes = panels * kPanel * (K + 1) * r.weight_bytes;
  const double read = read_bytes_per_ns(weight_bytes);
  const double first_ns =
      weight_bytes / (read < r.weight_bytes_per_ns ? read : r.weight_bytes_per_ns);
  const double by_weights = first_ns + (heights - 1) * weight_bytes / r.weight_bytes_per_ns;
  return heights * panels * r.tile_ns + (prepare ? M * (K + 1) * r.prepare_ns : 0) +
         (by_macs > by_weights ? by_macs : by_weights);
}

PYRT_INLINE __m256i load_words(const int8_t* from) {
  return _mm256_cvtepi8_epi16(_mm_load_si128(reinterpret_cast<const __m128i*>(from)));
}
PYRT_INLINE __m256i load_words(const int16_t* from) {
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
}

// Exact products of s16 activations with weights that are s16 or widened to it: pairs multiplied
// and added into s32 by vpmaddwd.
template <class Weight>
struct Avx2Words {
  using X = int8_t;
  using A = int16_t;
  using W = Weight;
  using Acc = int32_t;
  static constexpr int kMr = 6;
  static constexpr int kKr = 2;
  static constexpr int kMaxAcc = 96;
  static constexpr bool kInPlace = false;

  static int panels(int rows) { return rows == 1 ? 4 : (rows == 2 ? 2 : 1); }

  static void prepare(const int8_t* x, int64_t count, int16_t* a) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(a + i), _mm256_cvtepi8_epi16(bytes));
    }
    for (; i < count; ++i) a[i] = x[i];
  }

  // Rows of acc are `ld` elements apart.
  template <int kRows, int kPanels>
  [[gnu::noinline]] static void tile_of(const int16_t* const* a, const int64_t* taps, int n_taps,
                                        int64_t segment, const W* w, int64_t K, int32_t* acc,
                                        int64_t ld) {
    S32x8 c[kRows][2 * kPanels] = {};
    for (int t = 0; t < n_taps; ++t) {
      const int16_t* x[kRows];
      for (int r = 0; r < kRows; ++r) x[r] = a[r] + taps[t];
      for (int64_t k = 0; k < segment; k += 2, w += 2 * kPanel) {
        __m256i pair[kPanels == 1 ? 1 : kRows];
#pragma GCC unroll 4
        for (int p = 0; p < kPanels; ++p) {
          const __m256i w0 = load_words(w + p * kPanel * K);
          const __m256i w1 = load_words(w + p * kPanel * K + 16);
#pragma GCC unroll 6
          for (int r = 0; r < kRows; ++r) {
            __m256i& value = pair[kPanels == 1 ? 0 : r];
            if (p == 0) {
              int32_t two;
              memcpy(&two, x[r] + k, sizeof(two));
              value = _mm256_set1_epi32(two);
            }
            c[r][2 * p] += reinterpret_cast<S32x8>(_mm256_madd_epi16(value, w0));
            c[r][2 * p + 1] += reinterpret_cast<S32x8>(_mm256_madd_epi16(value, w1));
          }
        }
      }
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int i = 0; i < 2 * kPanels; ++i) {
        *reinterpret_cast<S32x8u*>(acc + r * ld + i * 8) = c[r][i];
      }
    }
  }

  static void tile_at(int rows, int panels, const int16_t* const* a, const int64_t* taps,
                      int n_taps, int64_t segment, const W* w, int64_t K, int32_t* acc,
                      int64_t ld) {
    switch (rows * 8 + panels) {
      case 1 * 8 + 1:
        return tile_of<1, 1>(a, taps, n_taps, segment, w, K, acc, ld);
      case 1 * 8 + 2:
        return tile_of<1, 2>(a, taps, n_taps, segment, w, K, acc, ld);
      case 1 * 8 + 4:
        return tile_of<1, 4>(a, taps, n_taps, segment, w, K, acc, ld);
      case 2 * 8 + 1:
        return tile_of<2, 1>(a, taps, n_taps, segment, w, K, acc, ld);
      case 2 * 8 + 2:
        return tile_of<2, 2>(a, taps, n_taps, segment, w, K, acc, ld);
      case 3 * 8 + 1:
        return tile_of<3, 1>(a, taps, n_taps, segment, w, K, acc, ld);
      case 4 * 8 + 1:
        return tile_of<4, 1>(a, taps, n_taps, segment, w, K, acc, ld);
      case 5 * 8 + 1:
        return tile_of<5, 1>(a, taps, n_taps, segment, w, K, acc, ld);
      default:
        return tile_of<6, 1>(a, taps, n_taps, segment, w, K, acc, ld);
    }
  }
  static void tile(int rows, int panels, const int16_t* const* a, const int64_t* taps, int n_taps,
                   int64_t segment, const W* w, int64_t K, int32_t* acc) {
    tile_at(rows, panels, a, taps, n_taps, segment, w, K, acc, panels * kPanel);
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

struct Avx2S8 : Avx2Words<int8_t> {
  static constexpr bool kFinishesPanels = true;

  // Fewer rows take more panels at once.
  static bool finished_panel(const Epilogue& e, const Segments<int16_t>& a, int64_t rows,
                             const int8_t* w, int64_t columns, int64_t n, int64_t at, int64_t ldy) {
    return rows >= 3 && quantized_panel<Avx2S8>(e, a, rows, w, columns, n, at, ldy);
  }

  template <int kRows, int kVectors, bool kResidual>
  [[gnu::noinline]] static void quantized_tiles(const QuantizedTiles<int16_t, int8_t>& t,
                                                int64_t first, int64_t count) {
    const int16_t* const* a = t.rows + first;
    for (; count > 0; --count, a += kRows, first += kRows) {
      S32x8 c[kRows][kVectors];
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
        for (int i = 0; i < kVectors; ++i) {
          c[r][i] = *reinterpret_cast<const S32x8*>(t.init + 8 * i);
        }
      }
      const int8_t* w = t.w;
      for (int64_t tap = 0; tap < t.n_taps; ++tap) {
        const int16_t* x[kRows];
        for (int r = 0; r < kRows; ++r) x[r] = a[r] + t.taps[tap];
        for (int64_t k = 0; k < t.segment; k += 2, w += 2 * kPanel) {
          __m256i words[kVectors];
#pragma GCC unroll 2
          for (int i = 0; i < kVectors; ++i) words[i] = load_words(w + 16 * i);
#pragma GCC unroll 6
          for (int r = 0; r < kRows; ++r) {
            int32_t two;
            memcpy(&two, x[r] + k, sizeof(two));
            const __m256i value = _mm256_set1_epi32(two);
#pragma GCC unroll 2
            for (int i = 0; i < kVectors; ++i) {
              c[r][i] += reinterpret_cast<S32x8>(_mm256_madd_epi16(value, words[i]));
            }
          }
        }
      }
      t.template store<kResidual>(c, first);
    }
  }
};

// Weights that are s16, and sums that are wanted as they are: a part of another computation.
struct Avx2S16 : Avx2Words<int16_t> {
  static constexpr bool kFinishesTiles = true;
  static void finished_tile(const Epilogue& e, int rows, int panels, const int16_t* const* a,
                            const int64_t* taps, int n_taps, int64_t segment, const int16_t* w,
                            int64_t K, int64_t, int64_t at, int64_t ldy) {
    tile_at(rows, panels, a, taps, n_taps, segment, w, K, static_cast<int32_t*>(e.y) + at, ldy);
  }
};

}  // namespace
}  // namespace pyrt
