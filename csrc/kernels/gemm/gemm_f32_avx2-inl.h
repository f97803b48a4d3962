// The f32 arithmetic of the product engine (gemm-inl.h) for AVX2 and FMA, shared by gemm, conv and
// conv_transpose: Avx2F32, and Avx2F16, whose packed weights are half floats. A half is widened
// exactly when it is loaded, so where every weight is one the sums are the same bytes.
//
// Tile 6 x 16: 12 accumulators of 8 lanes, 2 of weights, 1-2 for broadcasts = the 16 registers of
// AVX2. With 4 cycles of latency and 2 FMA a cycle, 8 chains are enough; few rows take 2 or 4
// panels at once, so that chains and outstanding loads stay as many. From L1 the loop runs at 98 %
// of a loop of FMAs on registers (Zen 3).
//
// Tiles finish in registers: at K = 64 a way over the stack and a second function costs 10 %.
#pragma once

#include <immintrin.h>

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/pack_f32_avx2-inl.h"
#include "kernels/gemm/runs_f32-inl.h"

namespace pyrt {
namespace {

using F32x8 [[gnu::may_alias]] = float __attribute__((vector_size(32)));
// The same at any address that is aligned to a float.
using F32x8u [[gnu::may_alias]] = float __attribute__((vector_size(32), aligned(4)));

// A run of tiles: rows and their taps as in gemm-inl.h, where their columns go, and what changes
// from tile to tile. Calling a function for each would cost 20 % at K = 24.
struct F32Tiles {
  const float* const* a;
  const int64_t* taps;
  int n_taps;
  int64_t segment;
  float* y;  // [rows][ldy]
  int64_t ldy;
  const float* bias;      // of the columns
  const float* residual;  // like y, or null
  float lo, hi;
  int64_t count = 1;
  int64_t a_next = 0, w_next = 0, y_next = 0, bias_next = 0;  // elements, of a pointers
  const char* soon = nullptr;  // kFetch: weights to fetch, `soon_step` bytes further at each k
  int64_t soon_step = 0;
};

// How a tile finds its activations and fetches its weights.
enum class Walk {
  kTap,     // one tap, whose pointers stay in registers
  kTaps,    // several
  kFetch,   // one, while the panel behind is fetched
  kDirect,  // one, weights as they lie
};

PYRT_INLINE __m256 load_weights(const float* from) { return _mm256_loadu_ps(from); }
PYRT_INLINE __m256 load_weights(const uint16_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}

template <class Weight>
struct Avx2Float {
  using X = float;
  using A = float;
  using W = Weight;
  using Acc = float;
  static constexpr bool kHalf = sizeof(W) == 2;
  static constexpr int kMr = 6;
  static constexpr int kKr = 1;
  static constexpr int kMaxPanels = 4;
  static constexpr int kMaxAcc = 96;
  static constexpr bool kInPlace = true;
  // Weights are wanted in L1 so many k before their use. Measured on Zen 3: 0 is 2 % slower where
  // they come from L2 and 5 % where from L3; 64 and 128 lose at K = 3072.
  static constexpr int kAhead = 32;

  static int panels(int rows) { return rows == 1 ? 4 : (rows <= 3 ? 2 : 1); }

  static W weight(float x) {
    if constexpr (kHalf) {
      return _cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT);
    } else {
      return x;
    }
  }

  static void prepare(const float* x, int64_t count, float* a) {
    int64_t i = 0;
    for (; i + 8 <= count; i += 8) _mm256_storeu_ps(a + i, _mm256_loadu_ps(x + i));
    for (; i < count; ++i) a[i] = x[i];
  }

  static void pack(const float* w, bool transposed, int64_t K, int64_t N, int64_t first,
                   int64_t last, float* out) {
    pack_f32_panels(w, transposed, K, N, first, last, out);
  }
  static void transpose(const float* a, int64_t M, int64_t K, int64_t rows, float* out) {
    transpose_f32(a, M, K, rows, out, K);
  }

  // Prefetches for panel p at k. One row of packed f32 reads 4 streams fast enough unaided. Of
  // halves one row needs a line every other k: even k for even panels, odd k for odd ones.
  template <int kRows, int kVectors, bool kDirect>
  PYRT_INLINE static void fetch(const W* ahead, int64_t panel_step, int64_t k, int p) {
    if (kRows > 1 || kDirect) {
      _mm_prefetch(ahead + p * panel_step, _MM_HINT_T0);
    } else if (kHalf && kVectors > 2 && 4 * p < kVectors) {
      _mm_prefetch(ahead + (2 * p + (k & 1)) * panel_step, _MM_HINT_T0);
    }
  }

  // Tiles of kRows rows and kVectors * 8 columns. w: panels of 16 columns at each k, `direct_step`
  // elements from k to k (16 where packed) and `panel_step` from panel to panel.
  template <int kRows, int kVectors, Walk kWalk>
  [[gnu::noinline]] static void tiles_of(const F32Tiles& t, const W* w, int64_t direct_step,
                                         int64_t panel_step) {
    constexpr bool kDirect = kWalk == Walk::kDirect;
    constexpr bool kTaps = kWalk == Walk::kTaps;
    const int64_t step = kDirect ? direct_step : kPanel;
    // Weights as they lie are fetched along their row: the next tiles want them.
    const int64_t ahead = kDirect ? (kRows == 1 ? 1 : 4) * kVectors * 8 : kAhead * step;
    const float* const* a = t.a;
    const float* bias = t.bias;
    const float* residual = t.residual;
    float* y = t.y;
    const int64_t segment = t.segment;
    [[maybe_unused]] const char* soon = t.soon;
    [[maybe_unused]] const int64_t soon_step = t.soon_step;
    const int64_t ldy = t.ldy;
    const __m256 lo = _mm256_set1_ps(t.lo);
    const __m256 hi = _mm256_set1_ps(t.hi);
    const int64_t last_tap = t.taps[kTaps ? t.n_taps - 1 : 0];
    for (int64_t tile = t.count; tile > 0; --tile) {
      // Sums begin with the bias; a residual is fetched now and added at the end.
      F32x8 c[kRows][kVectors];
#pragma GCC unroll 8
      for (int i = 0; i < kVectors; ++i) {
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) c[r][i] = *reinterpret_cast<const F32x8u*>(bias + 8 * i);
      }
      if (residual != nullptr) {
        const float* row = residual;
        for (int r = 0; r < kRows; ++r, row += ldy) {
#pragma GCC unroll 4
          for (int i = 0; i < kVectors; i += 2) _mm_prefetch(row + 8 * i, _MM_HINT_T0);
        }
      }
      const float* x[kRows];
      const W* from = w;
      // Known long before the next tile begins.
      w += t.w_next;
      bias += t.bias_next;
      for (int tap = 0; kTaps && tap + 1 < t.n_taps; ++tap) {
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r) x[r] = a[r] + t.taps[tap];
        for (int64_t k = 0; k < segment; ++k, from += step) {
          add_products<kRows, kVectors, kDirect>(x, k, from, ahead, panel_step, c);
        }
      }
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) x[r] = a[r] + last_tap;
      a += t.a_next;
      for (int64_t k = 0; k < segment; ++k, from += step) {
        if constexpr (kWalk == Walk::kFetch) {
          _mm_prefetch(soon, _MM_HINT_T0);
          soon += soon_step;
        }
        add_products<kRows, kVectors, kDirect, kWalk != Walk::kFetch>(x, k, from, ahead, panel_step,
                                                                      c);
      }
      if (residual != nullptr) {
        const float* row = residual;
#pragma GCC unroll 6
        for (int r = 0; r < kRows; ++r, row += ldy) {
#pragma GCC unroll 8
          for (int i = 0; i < kVectors; ++i) {
            c[r][i] += *reinterpret_cast<const F32x8u*>(row + 8 * i);
          }
        }
        residual += t.y_next;
      }
      // The operand order of max and min lets a NaN through, as clamp_real does.
      float* row = y;
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r, row += ldy) {
#pragma GCC unroll 8
        for (int i = 0; i < kVectors; ++i) {
          const __m256 raised = _mm256_max_ps(lo, reinterpret_cast<__m256>(c[r][i]));
          _mm256_storeu_ps(row + 8 * i, _mm256_min_ps(hi, raised));
        }
      }
      y += t.y_next;
    }
  }

  // c += the products of a tile at k.
  template <int kRows, int kVectors, bool kDirect, bool kFetch = true>
  PYRT_INLINE static void add_products(const float* const (&x)[kRows], int64_t k, const W* from,
                                       int64_t ahead, int64_t panel_step,
                                       F32x8 (&c)[kRows][kVectors]) {
    if constexpr (kVectors == 3) {  // 4 x 24 loads 7 times for 12 multiplications
      if (kFetch) fetch<kRows, kVectors, kDirect>(from + ahead, panel_step, k, 0);
      const __m256 w0 = load_weights(from);
      const __m256 w1 = load_weights(from + 8);
      const __m256 w2 = load_weights(from + panel_step);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const __m256 value = _mm256_broadcast_ss(x[r] + k);
        c[r][0] = fused(value, w0, c[r][0]);
        c[r][1] = fused(value, w1, c[r][1]);
        c[r][2] = fused(value, w2, c[r][2]);
      }
      return;
    }
    // Broadcasts stay for all panels where the registers suffice, else they are loaded for each.
    constexpr bool kKeep = kVectors > 2 && kRows * kVectors + kRows + 2 <= 16;
    __m256 one[kKeep ? kRows : 1];
#pragma GCC unroll 4
    for (int p = 0; p < kVectors / 2; ++p) {
      // clang 14 would keep the broadcasts and spill accumulators instead.
      if (!kKeep && p > 0) asm volatile("" ::: "memory");
      if (kFetch) fetch<kRows, kVectors, kDirect>(from + ahead, panel_step, k, p);
      const __m256 w0 = load_weights(from + p * panel_step);
      const __m256 w1 = load_weights(from + p * panel_step + 8);
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) {
        __m256& value = one[kKeep ? r : 0];
        if (p == 0 || !kKeep) value = _mm256_broadcast_ss(x[r] + k);
        c[r][2 * p] = fused(value, w0, c[r][2 * p]);
        c[r][2 * p + 1] = fused(value, w1, c[r][2 * p + 1]);
      }
    }
  }

  PYRT_INLINE static F32x8 fused(__m256 a, __m256 b, F32x8 c) {
    return reinterpret_cast<F32x8>(_mm256_fmadd_ps(a, b, reinterpret_cast<__m256>(c)));
  }

  template <Walk kWalk>
  static void tiles_with(int rows, int vectors, const F32Tiles& t, const W* w, int64_t step,
                         int64_t panel_step) {
    switch (rows * 16 + vectors) {
      case 1 * 16 + 2:
        return tiles_of<1, 2, kWalk>(t, w, step, panel_step);
      case 1 * 16 + 3:
        return tiles_of<1, 3, kWalk>(t, w, step, panel_step);
      case 1 * 16 + 4:
        return tiles_of<1, 4, kWalk>(t, w, step, panel_step);
      case 1 * 16 + 8:
        return tiles_of<1, 8, kWalk>(t, w, step, panel_step);
      case 2 * 16 + 2:
        return tiles_of<2, 2, kWalk>(t, w, step, panel_step);
      case 2 * 16 + 3:
        return tiles_of<2, 3, kWalk>(t, w, step, panel_step);
      case 2 * 16 + 4:
        return tiles_of<2, 4, kWalk>(t, w, step, panel_step);
      case 3 * 16 + 2:
        return tiles_of<3, 2, kWalk>(t, w, step, panel_step);
      case 3 * 16 + 3:
        return tiles_of<3, 3, kWalk>(t, w, step, panel_step);
      case 3 * 16 + 4:
        return tiles_of<3, 4, kWalk>(t, w, step, panel_step);
      case 4 * 16 + 2:
        return tiles_of<4, 2, kWalk>(t, w, step, panel_step);
      case 4 * 16 + 3:
        return tiles_of<4, 3, kWalk>(t, w, step, panel_step);
      case 5 * 16 + 2:
        return tiles_of<5, 2, kWalk>(t, w, step, panel_step);
      default:
        return tiles_of<6, 2, kWalk>(t, w, step, panel_step);
    }
  }
  static void packed_tiles(int rows, int vectors, const F32Tiles& t, const W* w) {
    const int64_t panel_step = kPanel * t.n_taps * t.segment;
    if (t.n_taps > 1) return tiles_with<Walk::kTaps>(rows, vectors, t, w, kPanel, panel_step);
    tiles_with<Walk::kTap>(rows, vectors, t, w, kPanel, panel_step);
  }
  static void fetching_tiles(int rows, const F32Tiles& t, const W* w) {  // 16 columns
    const int64_t panel_step = kPanel * t.segment;
    switch (rows) {
      case 4:
        return tiles_of<4, 2, Walk::kFetch>(t, w, kPanel, panel_step);
      case 5:
        return tiles_of<5, 2, Walk::kFetch>(t, w, kPanel, panel_step);
      default:
        return tiles_of<6, 2, Walk::kFetch>(t, w, kPanel, panel_step);
    }
  }

  alignas(64) static constexpr float kNoBias[kMaxPanels * kPanel] = {};

  // Sums only, for panels whose columns do not all exist; finish() does the rest.
  static void tile(int rows, int panels, const float* const* a, const int64_t* taps, int n_taps,
                   int64_t segment, const W* w, int64_t /*K*/, float* acc) {
    constexpr float kInfinity = __builtin_inff();
    const F32Tiles t{a,       taps,    n_taps,     segment,  acc, panels * kPanel,
                     kNoBias, nullptr, -kInfinity, kInfinity};
    packed_tiles(rows, 2 * panels, t, w);
  }
  static void finish(const Epilogue& e, const float* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_f32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }

  static constexpr bool kTakesPanels = true;
  static void take_panels(const Epilogue& e, const Segments<float>& a, int64_t rows, const W* w,
                          int64_t N, int64_t* first, int64_t* last, int64_t channel, int64_t at,
                          int64_t ldy) {
    take_panels_of<Avx2Float>(e, a, rows, w, N, first, last, channel, at, ldy);
  }
  static void finished_run(const Epilogue& e, const TileRun& run, const Segments<float>& a,
                           const W* w, int64_t n, int64_t at, int64_t ldy) {
    F32Tiles t = finished(e, a, n, at, ldy);
    t.count = run.count;
    if (run.across) {
      next_columns(e, run.columns, run.columns * a.n_taps * a.segment, &t);
    } else {
      t.a_next = run.rows;
      t.y_next = run.rows * ldy;
    }
    if (run.parts > 0) {
      const auto step = kPanel * static_cast<int64_t>(sizeof(W));
      t.soon_step = step / run.parts;
      t.soon = reinterpret_cast<const char*>(w) + a.segment * (step + run.part * t.soon_step);
      return fetching_tiles(run.rows, t, w);
    }
    packed_tiles(run.rows, run.columns / 8, t, w);
  }
  // `count` tiles beside each other of w as it lies, K rows `ldw` apart, and of rows of a from
  // their element k on.
  static void direct_tiles(const Epilogue& e, int rows, int panels, int64_t count,
                           const float* const* a, int64_t k, int64_t K, const W* w, int64_t ldw,
                           int64_t n, int64_t at, int64_t ldy) {
    F32Tiles t = finished(e, {a, &k, 1, K}, n, at, ldy);
    t.count = count;
    next_columns(e, panels * kPanel, panels * kPanel, &t);
    tiles_with<Walk::kDirect>(rows, 2 * panels, t, w, ldw, kPanel);
  }

  static F32Tiles finished(const Epilogue& e, const Segments<float>& a, int64_t n, int64_t at,
                           int64_t ldy) {
    const auto* bias = static_cast<const float*>(e.bias);
    const auto* residual = static_cast<const float*>(e.residual);  // f32 as the accumulators
    return {a.rows,
            a.taps,
            a.n_taps,
            a.segment,
            static_cast<float*>(e.y) + at,
            ldy,
            bias == nullptr ? kNoBias : bias + n,
            residual == nullptr ? nullptr : residual + at,
            e.params.lo,
            e.params.hi};
  }
  static void next_columns(const Epilogue& e, int columns, int64_t weights, F32Tiles* t) {
    t->w_next = weights;
    t->y_next = columns;
    t->bias_next = e.bias == nullptr ? 0 : columns;
  }

  // A last panel of 8 columns would leave half of each tile idle: rows are taken by 8 instead,
  // whose 8 chains of 4 cycles just fill the two units. Packed weights are read with gaps.
  // Beside a whole panel 4 x 24 is better still.
  static constexpr int kHalfRows = 8;
  static constexpr int kOddRows = 4;
  [[gnu::noinline]] static void half_tile(const Epilogue& e, const float* const* a,
                                          const int64_t* taps, int n_taps, int64_t segment,
                                          const W* w, int64_t n, int64_t at, int64_t ldy) {
    F32x8 c[kHalfRows] = {};
    for (int tap = 0; tap < n_taps; ++tap) {
      const float* x[kHalfRows];
#pragma GCC unroll 8
      for (int r = 0; r < kHalfRows; ++r) x[r] = a[r] + taps[tap];
      for (int64_t k = 0; k < segment; ++k, w += kPanel) {
        const __m256 weights = load_weights(w);
#pragma GCC unroll 8
        for (int r = 0; r < kHalfRows; ++r) {
          c[r] = reinterpret_cast<F32x8>(_mm256_fmadd_ps(_mm256_broadcast_ss(x[r] + k), weights,
                                                         reinterpret_cast<__m256>(c[r])));
        }
      }
    }
    const auto* bias = static_cast<const float*>(e.bias);
    const F32x8 shift = *reinterpret_cast<const F32x8u*>(bias == nullptr ? kNoBias : bias + n);
    const auto* residual = static_cast<const float*>(e.residual);
    const __m256 lo = _mm256_set1_ps(e.params.lo);
    const __m256 hi = _mm256_set1_ps(e.params.hi);
#pragma GCC unroll 8
    for (int r = 0; r < kHalfRows; ++r, at += ldy) {
      c[r] += shift;
      if (residual != nullptr) c[r] += *reinterpret_cast<const F32x8u*>(residual + at);
      const __m256 raised = _mm256_max_ps(lo, reinterpret_cast<__m256>(c[r]));
      _mm256_storeu_ps(static_cast<float*>(e.y) + at, _mm256_min_ps(hi, raised));
    }
  }
};

using Avx2F32 = Avx2Float<float>;
using Avx2F16 = Avx2Float<uint16_t>;

// Every element survives the way through a half float: subnormals and infinities may, NaNs do not
// all.
[[maybe_unused]] bool all_halves(const float* x, int64_t count) {
  const auto differ = [](__m256 wide) {
    const __m256 back = _mm256_cvtph_ps(_mm256_cvtps_ph(wide, _MM_FROUND_TO_NEAREST_INT));
    const __m256i bits = _mm256_xor_si256(_mm256_castps_si256(wide), _mm256_castps_si256(back));
    return _mm256_testz_si256(bits, bits) == 0;
  };
  int64_t i = 0;
  for (; i + 8 <= count; i += 8) {
    if (differ(_mm256_loadu_ps(x + i))) return false;
  }
  alignas(32) float rest[8] = {};
  if (i < count) memcpy(rest, x + i, static_cast<size_t>(count - i) * sizeof(float));
  return !differ(_mm256_load_ps(rest));
}

}  // namespace
}  // namespace pyrt
