// The AVX2 arithmetic on fitted weights (fitted-inl.h): 64 multiply-adds by two vpmaddubsw, one
// vpaddw, one vpmaddwd by ones and one vpaddd, where vpmaddwd alone needs four and four additions.
//
// Tile 4 x 16: 8 accumulators, 4 of weights, 1 of ones, 3 for activations and products; V says how
// wide vectors are, and FittedZmm (fitted_avx512-inl.h) does the same on zmm registers.
//
// Excess: activations of up to 32 rows are transposed once to [K][32], then two entries are a
// broadcast pair times 32 interleaved pairs of activations, added up in s16 along a chain. The sums
// become the initial accumulators of the tiles.
#pragma once

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/gemm/fitted-inl.h"
#include "kernels/gemm/pack_f32_avx2-inl.h"
#include "kernels/gemm/quantized_avx2-inl.h"

namespace pyrt {
namespace {

// Predicted time of a product, activations in the offset form included; rates on Zen 3 at 3.25 GHz.
[[maybe_unused]] double fitted_ns(const FitEstimate& fit, int64_t M, int64_t N, int64_t K) {
  const auto rows = static_cast<double>(M);
  const double panels = panels_worked(static_cast<double>(N), true);
  const auto steps = static_cast<double>(ceil_div(K, kFittedKr));
  const auto tiles = static_cast<double>(ceil_div(M, 4));
  // A tile of few rows is bound by reading 128 bytes of weights a step.
  const double by_macs = rows * fit.dense_ns * panels / static_cast<double>(ceil_div(N, kPanel));
  const double by_weights = tiles * panels * steps * 2.2;
  const double groups = static_cast<double>(larger(kExcessRows, round_up(M, kExcessRows / 2)));
  double excess = groups * (fit.chains * kChainNs + fit.panels * kChainsNs);
  if (fit.chains > 0) excess += groups * steps * 0.25;
  const double dense = by_macs > by_weights ? by_macs : by_weights;
  return tiles * panels * 11 + rows * static_cast<double>(K) * 0.03 + dense + excess;
}

struct FittedYmm {
  // A GNU vector: g++ 12 spills arrays of __m256i.
  using Sum [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));
  using Bytes = __m256i;
  static constexpr int kRegisters = 2;  // of a panel
  static constexpr int kRows = 4;
  static constexpr bool kQuantizes = true;

  PYRT_INLINE static Sum load_sum(const int32_t* from) {
    return *reinterpret_cast<const Sum*>(from);
  }
  PYRT_INLINE static void store_sum(int32_t* to, Sum sum) { *reinterpret_cast<Sum*>(to) = sum; }
  PYRT_INLINE static Bytes load(const int8_t* from) {
    return _mm256_load_si256(reinterpret_cast<const __m256i*>(from));
  }
  PYRT_INLINE static Bytes broadcast(int32_t four) { return _mm256_set1_epi32(four); }
  PYRT_INLINE static Bytes ones() { return _mm256_set1_epi16(1); }
  // Pairs of u8 * s8 to s16, two of them added.
  PYRT_INLINE static Bytes products(Bytes a0, Bytes w0, Bytes a1, Bytes w1) {
    return _mm256_add_epi16(_mm256_maddubs_epi16(a0, w0), _mm256_maddubs_epi16(a1, w1));
  }
  PYRT_INLINE static Bytes products(Bytes a, Bytes w) { return _mm256_maddubs_epi16(a, w); }
  PYRT_INLINE static Sum add_pairs(Sum sum, Bytes a, Bytes w) {
    return sum + reinterpret_cast<Sum>(_mm256_madd_epi16(a, w));
  }
  PYRT_INLINE static Bytes even_s8(Bytes w) {
    return _mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8);
  }
  PYRT_INLINE static Bytes odd_s8(Bytes w) { return _mm256_srai_epi16(w, 8); }
  PYRT_INLINE static Bytes even_u8(Bytes a) {
    return _mm256_srli_epi16(_mm256_slli_epi16(a, 8), 8);
  }
  PYRT_INLINE static Bytes odd_u8(Bytes a) { return _mm256_srli_epi16(a, 8); }
};

template <class V>
struct FittedU8 {
  using X = int8_t;
  using A = uint8_t;  // s8 + 128: the offset form of the operand
  using W = int8_t;
  using Acc = int32_t;
  using Sum = typename V::Sum;
  using Bytes = typename V::Bytes;
  static constexpr int kMr = V::kRows;
  static constexpr int kKr = kFittedKr;
  static constexpr int kRowUnit = kExcessRows;
  static constexpr bool kInPlace = true;
  static constexpr bool kFitted = true;
  static constexpr int64_t kGroup = kExcessRows;
  static constexpr int kRegisters = V::kRegisters;
  static constexpr int kLanes = kPanel / kRegisters;

  using Vector [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));

  static void prepare(const int8_t* x, int64_t count, uint8_t* a) {
    memcpy(a, x, static_cast<size_t>(count));
  }

  PYRT_INLINE static Bytes broadcast(const uint8_t* from) {
    int32_t four;
    memcpy(&four, from, sizeof(four));
    return V::broadcast(four);
  }

  // clang 14 keeps broadcasts in registers until it must spill one; this has it load them again.
  // g++ needs no help: it takes a vector of weights from memory instead.
  PYRT_INLINE static void keep_in_memory([[maybe_unused]] const uint8_t*& x) {
#ifdef __clang__
    asm("" : "+r"(x));
#endif
  }

  // c += four products at k and four at k + 4, of the first kVectors vectors of a panel.
  template <int kRows, int kVectors>
  PYRT_INLINE static void add_step(const uint8_t* (&x)[kRows], int64_t k, const int8_t* w,
                                   Bytes ones, Sum (&c)[kRows][kVectors]) {
    Bytes w0[kVectors], w1[kVectors];
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) {
      w0[i] = V::load(w + i * kLanes * 4);
      w1[i] = V::load(w + 4 * kPanel + i * kLanes * 4);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int i = 0; i < kVectors; ++i) {
        const Bytes a0 = broadcast(x[r] + k);
        const Bytes a1 = broadcast(x[r] + k + 4);
        c[r][i] = V::add_pairs(c[r][i], V::products(a0, w0[i], a1, w1[i]), ones);
        keep_in_memory(x[r]);
      }
    }
  }

  // The same where only pairs of products may be added in s16, four at a time: g++ 12 spills two
  // such steps at once.
  template <int kRows, int kVectors>
  PYRT_INLINE static void add_pairs_step(const uint8_t* (&x)[kRows], int64_t k, const int8_t* w,
                                         Bytes ones, Sum (&c)[kRows][kVectors]) {
    Bytes four[kVectors];
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) four[i] = V::load(w + i * kLanes * 4);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Bytes a = broadcast(x[r] + k);
#pragma GCC unroll 2
      for (int i = 0; i < kVectors; ++i) {
        c[r][i] = V::add_pairs(c[r][i], V::products(a, four[i]), ones);
      }
    }
  }

  // The same for any weights, four at a time: bytes of even and of odd k widened to s16.
  template <int kRows, int kVectors>
  PYRT_INLINE static void add_wide(const uint8_t* (&x)[kRows], int64_t k, const int8_t* w,
                                   Sum (&c)[kRows][kVectors]) {
    Bytes even_w[kVectors], odd_w[kVectors];
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i) {
      const Bytes four = V::load(w + i * kLanes * 4);
      even_w[i] = V::even_s8(four);
      odd_w[i] = V::odd_s8(four);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Bytes value = broadcast(x[r] + k);
      const Bytes even = V::even_u8(value);
      const Bytes odd = V::odd_u8(value);
#pragma GCC unroll 2
      for (int i = 0; i < kVectors; ++i) {
        c[r][i] = V::add_pairs(V::add_pairs(c[r][i], even, even_w[i]), odd, odd_w[i]);
      }
    }
  }

  // Rows `a` times a panel, added to c.
  template <PanelKind kKind, int kRows, int kVectors>
  PYRT_INLINE static void add_product(const Segments<uint8_t>& a, const int8_t* w,
                                      Sum (&c)[kRows][kVectors]) {
    [[maybe_unused]] const Bytes ones = V::ones();
    for (int t = 0; t < a.n_taps; ++t) {
      const uint8_t* x[kRows];
      for (int r = 0; r < kRows; ++r) x[r] = a.rows[r] + a.taps[t];
      constexpr int kStep = kKind == PanelKind::kFours ? kKr : 4;
      for (int64_t k = 0; k < a.segment; k += kStep, w += kStep * kPanel) {
        if constexpr (kKind == PanelKind::kWide) {
          add_wide<kRows, kVectors>(x, k, w, c);
        } else if constexpr (kKind == PanelKind::kPairs) {
          add_pairs_step<kRows, kVectors>(x, k, w, ones, c);
        } else {
          add_step<kRows, kVectors>(x, k, w, ones, c);
        }
      }
    }
  }

  // acc[kRows][16] = init[m * init_step + i] + the product with one panel.
  template <PanelKind kKind, int kRows>
  [[gnu::noinline]] static void tile_of(const Segments<uint8_t>& a, const int8_t* w,
                                        const int32_t* init, int64_t init_step, int32_t* acc) {
    Sum c[kRows][kRegisters];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int i = 0; i < kRegisters; ++i) c[r][i] = V::load_sum(init + r * init_step + i * kLanes);
    }
    add_product<kKind, kRows, kRegisters>(a, w, c);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int i = 0; i < kRegisters; ++i) V::store_sum(acc + r * kPanel + i * kLanes, c[r][i]);
    }
  }

  using Tile = void (*)(const Segments<uint8_t>&, const int8_t*, const int32_t*, int64_t, int32_t*);
  template <PanelKind kKind, int kFirst>
  static Tile tile_from(int64_t rows) {  // rows of kFirst .. kFirst + 3
    static constexpr Tile kTiles[4] = {tile_of<kKind, kFirst>, tile_of<kKind, kFirst + 1>,
                                       tile_of<kKind, kFirst + 2>, tile_of<kKind, kFirst + 3>};
    return kTiles[rows - kFirst];
  }
  template <PanelKind kKind>
  static Tile tile_for(int64_t rows) {
    if constexpr (kMr > 4) {
      if (rows > 4) return tile_from<kKind, 5>(rows);
    }
    return tile_from<kKind, 1>(rows);
  }

  // f.operator()<kind>()
  template <class F>
  PYRT_INLINE static void with_kind(PanelKind kind, const F& f) {
    switch (kind) {
      case PanelKind::kFours:
        return f.template operator()<PanelKind::kFours>();
      case PanelKind::kPairs:
        return f.template operator()<PanelKind::kPairs>();
      case PanelKind::kWide:
        return f.template operator()<PanelKind::kWide>();
    }
  }

  // See quantized_avx2-inl.h.
  template <PanelKind kKind>
  struct Quantized {
    using A = uint8_t;
    using W = int8_t;
    static constexpr int kMr = V::kRows;

    template <int kRows, int kVectors, bool kResidual>
    [[gnu::noinline]] static void quantized_tiles(const QuantizedTiles<uint8_t, int8_t>& t,
                                                  int64_t first, int64_t count) {
      Segments<uint8_t> a{t.rows + first, t.taps, static_cast<int>(t.n_taps), t.segment};
      const int32_t* init = t.init + first * t.init_step;
      for (; count > 0; --count, a.rows += kRows, first += kRows) {
        Sum c[kRows][kVectors];
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r, init += t.init_step) {
#pragma GCC unroll 2
          for (int i = 0; i < kVectors; ++i) c[r][i] = V::load_sum(init + i * kLanes);
        }
        add_product<kKind, kRows, kVectors>(a, t.w, c);
        t.template store<kResidual>(c, first);
      }
    }
  };

  // x[0..16) + 0..7 to out[8] rows of 16 bytes, `step` apart: a shuffle network that interleaves
  // the upper with the lower half of its vectors four times.
  PYRT_INLINE static void transpose_16x8(const uint8_t* const* x, int64_t at, uint8_t* out,
                                         int64_t step) {
    __m128i v[8], u[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      v[i] = _mm_unpacklo_epi8(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(x[i] + at)),
                               _mm_loadl_epi64(reinterpret_cast<const __m128i*>(x[i + 8] + at)));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      u[2 * i] = _mm_unpacklo_epi8(v[i], v[i + 4]);
      u[2 * i + 1] = _mm_unpackhi_epi8(v[i], v[i + 4]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      v[2 * i] = _mm_unpacklo_epi8(u[i], u[i + 4]);
      v[2 * i + 1] = _mm_unpackhi_epi8(u[i], u[i + 4]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * i * step),
                       _mm_unpacklo_epi8(v[i], v[i + 4]));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (2 * i + 1) * step),
                       _mm_unpackhi_epi8(v[i], v[i + 4]));
    }
  }

  // The rows of a group in the order of a transposed k: sums are widened by even and by odd words,
  // and come out in order. The second: of a group of up to 16 rows, which takes half registers.
  static constexpr uint8_t kOrder[2][kGroup] = {
      {0, 8,  1, 9,  2, 10, 3, 11, 16, 24, 17, 25, 18, 26, 19, 27,
       4, 12, 5, 13, 6, 14, 7, 15, 20, 28, 21, 29, 22, 30, 23, 31},
      {0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15}};

  // The last three steps of that network, for 16 rows in either half of the registers.
  PYRT_INLINE static void interleave_32x8(const __m256i* from, uint8_t* out) {
    __m256i v[8], u[8];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      u[2 * i] = _mm256_unpacklo_epi8(from[i], from[i + 4]);
      u[2 * i + 1] = _mm256_unpackhi_epi8(from[i], from[i + 4]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      v[2 * i] = _mm256_unpacklo_epi8(u[i], u[i + 4]);
      v[2 * i + 1] = _mm256_unpackhi_epi8(u[i], u[i + 4]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + 2 * i * kGroup),
                         _mm256_unpacklo_epi8(v[i], v[i + 4]));
      _mm256_store_si256(reinterpret_cast<__m256i*>(out + (2 * i + 1) * kGroup),
                         _mm256_unpackhi_epi8(v[i], v[i + 4]));
    }
  }
  // x[0..32) + 0..15 to out[16] rows of 32 bytes.
  PYRT_INLINE static void transpose_32x16(const uint8_t* const* x, int64_t at, uint8_t* out) {
    __m256i first[8];
    alignas(32) __m256i second[8];  // over memory: the first need the registers
    const auto load = [&](int i) {
      const auto* low = reinterpret_cast<const __m128i*>(x[i] + at);
      const auto* high = reinterpret_cast<const __m128i*>(x[i + 16] + at);
      return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                     _mm_loadu_si128(high), 1);
    };
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      const __m256i a = load(i);
      const __m256i b = load(i + 8);
      first[i] = _mm256_unpacklo_epi8(a, b);
      second[i] = _mm256_unpackhi_epi8(a, b);
    }
    interleave_32x8(first, out);
    interleave_32x8(second, out + 8 * kGroup);
  }

  // Rows of segments to [ceil(rows / 32)][K][32]; what lies beyond `rows` repeats the last row.
  [[gnu::noinline]] static void transpose(const Segments<uint8_t>& a, int64_t rows, uint8_t* out) {
    for (int64_t group = 0; group < rows; group += kGroup) {
      const bool whole = rows - group > 16;
      const uint8_t* from[kGroup];
      for (int64_t i = 0; i < kGroup; ++i) {
        from[i] = a.rows[smaller(group + kOrder[whole ? 0 : 1][i], rows - 1)];
      }
      for (int t = 0; t < a.n_taps; ++t) {
        const uint8_t* x[kGroup];
        for (int64_t i = 0; i < kGroup; ++i) x[i] = from[i] + a.taps[t];
        int64_t k = 0;
        for (; whole && k + 16 <= a.segment; k += 16, out += 16 * kGroup) {
          transpose_32x16(x, k, out);
        }
        for (; k < a.segment; k += 8, out += 8 * kGroup) {
          transpose_16x8(x, k, out, kGroup);
          if (whole) transpose_16x8(x + 16, k, out + 16, kGroup);
        }
      }
    }
  }

  // s16 sums of 16 rows, each widened, to `to`: added to what is there, or to the base.
  template <bool kBegins>
  PYRT_INLINE static void store_words(__m256i words, Vector base, Vector* to) {
    to[0] = (kBegins ? base : to[0]) +
            reinterpret_cast<Vector>(_mm256_madd_epi16(words, _mm256_set1_epi32(1)));
    to[1] = (kBegins ? base : to[1]) + reinterpret_cast<Vector>(_mm256_srai_epi32(words, 16));
  }

  // One chain times the 32 rows of a group at x [K][32], or times the first 16.
  template <bool kBegins, bool kWhole>
  PYRT_INLINE static void store_chain(const Chain& chain, const uint8_t* x, const int32_t* base,
                                      int32_t* sums) {
    __m256i s[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
#pragma GCC unroll 2
    for (int i = 0; i < kChainEntries / 2; ++i) {
      const uint8_t* x0 = x + chain.at[2 * i];
      const uint8_t* x1 = x + chain.at[2 * i + 1];
      const __m256i w = _mm256_set1_epi32(chain.pairs[i]);
      if constexpr (kWhole) {
        const __m256i low = _mm256_unpacklo_epi8(load_256(x0), load_256(x1));
        const __m256i high = _mm256_unpackhi_epi8(load_256(x0), load_256(x1));
        s[0] = _mm256_add_epi16(s[0], _mm256_maddubs_epi16(low, w));
        s[1] = _mm256_add_epi16(s[1], _mm256_maddubs_epi16(high, w));
      } else {
        const __m128i half0 = _mm_load_si128(reinterpret_cast<const __m128i*>(x0));
        const __m128i half1 = _mm_load_si128(reinterpret_cast<const __m128i*>(x1));
        const __m256i both =
            _mm256_set_m128i(_mm_unpackhi_epi8(half0, half1), _mm_unpacklo_epi8(half0, half1));
        s[0] = _mm256_add_epi16(s[0], _mm256_maddubs_epi16(both, w));
      }
    }
    auto* to = reinterpret_cast<Vector*>(sums + chain.column * kGroup);
    const auto begin = reinterpret_cast<Vector>(_mm256_set1_epi32(base[chain.column]));
    store_words<kBegins>(s[0], begin, to);
    if constexpr (kWhole) store_words<kBegins>(s[1], begin, to + 2);
  }

  // Whether the first 16 chains are one of each column, and so begin all sums.
  static bool begins_with_all(const Chain* chains, int64_t count) {
    for (int64_t i = 0; i < kPanel; ++i) {
      if (i >= count || chains[i].column != i) return false;
    }
    return true;
  }

  // sums[column][32] = base[column] + the excess of a panel times the rows of one group.
  template <bool kWhole>
  [[gnu::noinline]] static void sum_excess(const Chain* chains, int64_t count, const uint8_t* x,
                                           const int32_t* base, int32_t* sums) {
    const Chain* chain = chains;
    const Chain* end = chains + count;
    if (begins_with_all(chains, count)) {
      for (; chain < chains + kPanel; ++chain) store_chain<true, kWhole>(*chain, x, base, sums);
    } else {
      for (int64_t n = 0; n < kPanel; ++n) {
        const auto value = reinterpret_cast<Vector>(_mm256_set1_epi32(base[n]));
        auto* to = reinterpret_cast<Vector*>(sums + n * kGroup);
#pragma GCC unroll 4
        for (int64_t i = 0; i < kGroup / 8; ++i) to[i] = value;
      }
    }
    for (; chain < end; ++chain) store_chain<false, kWhole>(*chain, x, base, sums);
  }

  // sums [16][32] to acc [32][16], the first `rows` rounded up to 8.
  [[gnu::noinline]] static void turn_sums(const int32_t* sums, int64_t rows, int32_t* acc) {
    for (int64_t m = 0; m < rows; m += 8) {
      for (int h = 0; h < 2; ++h) {
        transpose_8x8(reinterpret_cast<const float*>(sums) + h * 8 * kGroup + m, kGroup,
                      reinterpret_cast<float*>(acc) + m * kPanel + h * 8, kPanel);
      }
    }
  }

  // Rows that are multiplied together: transposed they take 128 KiB of L2 at most, where 32 rows
  // fit, and their accumulators 8 KiB of L1.
  static int64_t rows_at_once(int64_t K) {
    const int64_t fit = 128 * 1024 / (kGroup * larger(1, K));
    return kGroup * larger(1, smaller(4, fit));
  }
  // Scratch of multiply(): accumulators of a panel, sums of a group, transposed activations.
  static int64_t side_bytes(int64_t rows, int64_t K) {
    const int64_t most = smaller(round_up(rows, kGroup), rows_at_once(K));
    return (most + kGroup) * kPanel * static_cast<int64_t>(sizeof(int32_t)) + most * K;
  }

  // As the engine's multiply(), with the scratch of side_bytes(). `fresh` says that the rows are
  // others than at the last call with this scratch.
  static void multiply(const Epilogue& e, const Segments<uint8_t>& a, int64_t rows, const int8_t* w,
                       int64_t N, int64_t first, int64_t last, int64_t channel, int64_t at,
                       int64_t ldy, void* side, bool fresh) {
    if (first >= last) return;
    const int64_t K = a.n_taps * a.segment;
    const int64_t units = ceil_div(rows, kGroup);
    const int64_t parts = ceil_div(rows, rows_at_once(K));
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t m = part(units, parts, i) * kGroup;
      const int64_t height = smaller(rows, part(units, parts, i + 1) * kGroup) - m;
      const Segments<uint8_t> some{a.rows + m, a.taps, a.n_taps, a.segment};
      multiply_some(e, some, height, w, N, first, last, channel, at + m * ldy, ldy, side,
                    fresh || parts > 1);
    }
  }

  static void multiply_some(const Epilogue& e, const Segments<uint8_t>& a, int64_t rows,
                            const int8_t* w, int64_t N, int64_t first, int64_t last,
                            int64_t channel, int64_t at, int64_t ldy, void* side, bool fresh) {
    const int64_t K = a.n_taps * a.segment;
    auto* acc = static_cast<int32_t*>(side);
    int32_t* sums = acc + round_up(rows, kGroup) * kPanel;
    auto* x = reinterpret_cast<uint8_t*>(sums + kPanel * kGroup);
    const int8_t* behind = w + ceil_div(N, kPanel) * kPanel * K;
    const auto* panels = reinterpret_cast<const PanelExcess*>(behind);
    const auto* chains = reinterpret_cast<const Chain*>(behind + headers_bytes(N));
    if (fresh && any_chains(panels, ceil_div(N, kPanel))) transpose(a, rows, x);
    for (int64_t panel = first; panel < last; ++panel) {
      const PanelExcess& excess = panels[panel];
      const int64_t n = panel * kPanel;
      const auto columns = static_cast<int>(smaller(kPanel, N - n));
      QuantizedPanel q;
      const bool quantized = V::kQuantizes && quantizes(e) &&
                             (columns == kPanel || columns == kPanel / 2) &&
                             fill_panel(e, channel + n, columns, &q);
      alignas(32) static constexpr int32_t kZeros[kPanel] = {};
      const int32_t* base = quantized ? q.base : kZeros;
      const int32_t* init = base;
      int64_t init_step = 0;
      if (excess.chains > 0) {
        init = acc;
        init_step = kPanel;
        for (int64_t m = 0; m < rows; m += kGroup) {
          const int64_t height = smaller(kGroup, rows - m);
          (height > 16 ? sum_excess<true> : sum_excess<false>)(chains + excess.first_chain,
                                                               excess.chains, x + m * K, base,
                                                               sums);
          turn_sums(sums, height, acc + m * kPanel);
        }
      }
      if constexpr (V::kQuantizes) {
        if (quantized) {
          const QuantizedTiles<uint8_t, int8_t> t{a.rows,
                                                  a.taps,
                                                  a.n_taps,
                                                  a.segment,
                                                  w + n * K,
                                                  init,
                                                  init_step,
                                                  &q,
                                                  residual_at(e, at + n),
                                                  static_cast<uint8_t*>(e.y) + at + n,
                                                  ldy};
          with_kind(excess.kind,
                    [&]<PanelKind kKind>() { quantize_panel<Quantized<kKind>>(t, rows, columns); });
          continue;
        }
      }
      const int64_t tiles = ceil_div(rows, kMr);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t m = part(rows, tiles, tile);
        const int64_t height = part(rows, tiles, tile + 1) - m;
        const Segments<uint8_t> some{a.rows + m, a.taps, a.n_taps, a.segment};
        with_kind(excess.kind, [&]<PanelKind kKind>() {
          tile_for<kKind>(height)(some, w + n * K, init + m * init_step, init_step,
                                  acc + m * kPanel);
        });
      }
      finish_s32_avx2(e, acc, kPanel, static_cast<int>(rows), columns, channel + n, at + n, ldy);
    }
  }

  // The chains of a layer follow each other, so its last panel tells.
  static bool any_chains(const PanelExcess* panels, int64_t count) {
    return panels[count - 1].first_chain + panels[count - 1].chains > 0;
  }
};
using Avx2U8 = FittedU8<FittedYmm>;

}  // namespace
}  // namespace pyrt
