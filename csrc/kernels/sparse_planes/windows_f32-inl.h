// The f32 row for matrices of few rows: sliding windows of x (AVX-512).
//
// The columns of a panel of 16 are lanes. A group is one non-zero of each, if it has one within the
// window x[base, base + 32): two loads and one permutation bring the values that the lanes need.
// The window then moves on to the first non-zero that is left, at a multiple of 16; at 90 % zeros
// seven lanes of ten are used.
//
// Packed: starts [N/16 + 1, padded to 16] u32, then of every group: weights [groups][16] f32,
// indices [groups][16] u8 (bit 7: the lane is used, so that no value at a pruned position spreads),
// bases [groups] u32.
#pragma once

#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/sparse_planes/planes_weights-inl.h"

namespace pyrt {
namespace {

struct WindowRows {
  using F32x16 [[gnu::may_alias]] = float __attribute__((vector_size(64)));
  static constexpr int64_t kWindow = 32, kStep = 16;
  static constexpr int64_t kTaskPanels = 4;
  static constexpr int64_t kGroupBytes = kPanel * (4 + 1) + 4;  // weights, indices, base
  static constexpr int64_t kMostRows = 16;                      // planes are faster for more

  static int64_t panels(const GemmParams& p) { return ceil_div(p.N, kPanel); }

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    if (p.epilogue.integer) return "the operands are s8";
    if (const char* reason = sparse_refusal(problem, p)) return reason;
    if (problem.facts == nullptr) return "there are no weights";
    if (p.K < kWindow) return "K is below 32";
    if (p.K > INT32_MAX) return "K is above 2^31";
    if (p.M > kMostRows) return "M is above 16";
    if (problem.facts->nonzeros * 4 > problem.facts->count * 3)
      return "under a quarter of the weights are zero";
    return nullptr;
  }

  // Calls visit(base, next) for each group of a panel: next[i] is the k of column i, or K where it
  // has no non-zero in the window.
  template <class Visit>
  static void groups_of(const SparseGeometry& g, const float* w, int64_t panel,
                        const Visit& visit) {
    const int64_t K = g.conv.C, n = panel * kPanel;
    const int columns = static_cast<int>(smaller(kPanel, g.N() - n));
    const auto value = [&](int64_t k, int i) {
      return w[g.transposed ? (n + i) * K + k : k * g.N() + n + i];
    };
    const auto advance = [&](int64_t k, int i) {
      while (k < K && value(k, i) == 0) ++k;
      return k;
    };
    int64_t at[kPanel], taken[kPanel];
    for (int i = 0; i < kPanel; ++i) at[i] = i < columns ? advance(0, i) : K;
    for (;;) {
      int64_t least = K;
      for (int i = 0; i < kPanel; ++i) least = smaller(least, at[i]);
      if (least == K) return;
      const int64_t base = smaller(least / kStep * kStep, K - kWindow);
      for (int i = 0; i < kPanel; ++i) {
        taken[i] = at[i] < base + kWindow ? at[i] : K;
        if (taken[i] < K) at[i] = advance(at[i] + 1, i);
      }
      visit(base, taken, value);
    }
  }

  static int64_t starts_bytes(const GemmParams& p) { return round_up(panels(p) + 1, 16) * 4; }

  static int64_t count_groups(const GemmParams& p, const float* w) {
    const SparseGeometry g = sparse_geometry(p);
    int64_t groups = 0;
    for (int64_t panel = 0; panel < panels(p); ++panel) {
      groups_of(g, w, panel, [&](int64_t, const int64_t*, const auto&) { ++groups; });
    }
    return groups;
  }
  static int64_t bytes_of(const GemmParams& p, const float* w) {
    return starts_bytes(p) + count_groups(p, w) * kGroupBytes;
  }

  static void pack_weights(const GemmParams& p, const float* w, void* out) {
    const SparseGeometry g = sparse_geometry(p);
    auto* starts = static_cast<uint32_t*>(out);
    // The last start says where indices and bases are.
    const int64_t all = count_groups(p, w);
    memset(out, 0, static_cast<size_t>(starts_bytes(p) + all * kGroupBytes));
    auto* values = reinterpret_cast<float*>(static_cast<char*>(out) + starts_bytes(p));
    auto* indices = reinterpret_cast<uint8_t*>(values + all * kPanel);
    auto* bases = reinterpret_cast<uint32_t*>(indices + all * kPanel);
    int64_t group = 0;
    for (int64_t panel = 0; panel < panels(p); ++panel) {
      starts[panel] = static_cast<uint32_t>(group);
      groups_of(g, w, panel, [&](int64_t base, const int64_t* taken, const auto& value) {
        bases[group] = static_cast<uint32_t>(base);
        for (int i = 0; i < kPanel; ++i) {
          if (taken[i] == p.K) continue;
          values[group * kPanel + i] = value(taken[i], i);
          indices[group * kPanel + i] = static_cast<uint8_t>(0x80 | (taken[i] - base));
        }
        ++group;
      });
    }
    starts[panels(p)] = static_cast<uint32_t>(group);
  }

  static const float* weights(const Problem& problem) {
    return static_cast<const float*>(problem.inputs[kInputW].constant);
  }
  static size_t packed_bytes(const Problem& problem) {
    return static_cast<size_t>(bytes_of(problem.as<GemmParams>(), weights(problem)));
  }
  static void pack(const Problem& problem, void* packed) {
    pack_weights(problem.as<GemmParams>(), weights(problem), packed);
  }

  struct Groups {
    const float* values;
    const uint8_t* indices;
    const uint32_t* bases;
  };

  // One group of kRows rows.
  template <int kRows>
  PYRT_INLINE static void add(const Groups& w, int64_t group, const float* x, int64_t K,
                              F32x16 (&c)[kRows]) {
    const __m128i bytes =
        _mm_load_si128(reinterpret_cast<const __m128i*>(w.indices + group * kPanel));
    const __mmask16 used = _mm_movepi8_mask(bytes);
    const __m512i index = _mm512_cvtepu8_epi32(bytes);  // the permutation takes 5 bits of it
    const __m512 weight = _mm512_load_ps(w.values + group * kPanel);
    const float* window = x + w.bases[group];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const __m512 lo = _mm512_loadu_ps(window + r * K);
      const __m512 hi = _mm512_loadu_ps(window + r * K + 16);
      const __m512 picked = _mm512_maskz_permutex2var_ps(used, lo, index, hi);
      c[r] =
          reinterpret_cast<F32x16>(_mm512_fmadd_ps(picked, weight, reinterpret_cast<__m512>(c[r])));
    }
  }

  // acc[kRows][16] = rows x of a times the groups [from, to).
  template <int kRows>
  [[gnu::noinline]] static void panel(const Groups& w, int64_t from, int64_t to, const float* x,
                                      int64_t K, float* acc) {
    constexpr int kAtOnce = 4 / kRows;
    F32x16 c[kAtOnce][kRows] = {};
    for (; from + kAtOnce <= to; from += kAtOnce) {
#pragma GCC unroll 4
      for (int i = 0; i < kAtOnce; ++i) add(w, from + i, x, K, c[i]);
    }
    for (; from < to; ++from) add(w, from, x, K, c[0]);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      if constexpr (kAtOnce == 4) c[0][r] = (c[0][r] + c[1][r]) + (c[2][r] + c[3][r]);
      if constexpr (kAtOnce == 2) c[0][r] += c[1][r];
      reinterpret_cast<F32x16*>(acc)[r] = c[0][r];
    }
  }

  static int64_t tasks(const Problem& problem) {
    return ceil_div(panels(problem.as<GemmParams>()), kTaskPanels);
  }

  // Panels [begin, end) of a [M, K] times what pack() wrote; rows of y are `ld` apart.
  static void product(const GemmParams& p, const void* packed, const Epilogue& e, const float* x,
                      int64_t begin, int64_t end, int64_t ld) {
    const auto* starts = static_cast<const uint32_t*>(packed);
    const int64_t all = starts[panels(p)];
    Groups w;
    w.values = reinterpret_cast<const float*>(static_cast<const char*>(packed) + starts_bytes(p));
    w.indices = reinterpret_cast<const uint8_t*>(w.values + all * kPanel);
    w.bases = reinterpret_cast<const uint32_t*>(w.indices + all * kPanel);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t n = i * kPanel;
      const int columns = static_cast<int>(smaller(kPanel, p.N - n));
      for (int64_t m = 0; m < p.M;) {
        alignas(64) float acc[4 * kPanel];
        const int rows = p.M - m >= 4 ? 4 : p.M - m >= 2 ? 2 : 1;
        const auto multiply = rows == 4 ? panel<4> : rows == 2 ? panel<2> : panel<1>;
        multiply(w, starts[i], starts[i + 1], x + m * p.K, p.K, acc);
        finish_f32_avx512(e, acc, kPanel, rows, columns, n, m * ld + n, ld);
        m += rows;
      }
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<GemmParams>();
    const Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    product(p, call.packed, e, static_cast<const float*>(call.inputs[kInputX]), begin * kTaskPanels,
            smaller(end * kTaskPanels, panels(p)), p.N);
  }

  // How many more windows there are where non-zeros cluster along k, and not in all columns of a
  // panel alike. Fitted to blocks of 1 x 4.
  static double clustering(const WeightFacts& facts) {
    if (facts.quads == 0 || facts.blocks == 0) return 1;
    const auto quads = static_cast<double>(facts.quads);
    const double zeros = 1 - static_cast<double>(facts.nonzeros) / static_cast<double>(facts.count);
    const double even = (1 - zeros * zeros * zeros * zeros) * static_cast<double>(facts.count) / 4;
    const double excess = even > quads ? even / quads - 1 : 0;
    const double apart = 1 - quads / (kPanel * static_cast<double>(facts.blocks));
    return 1 + 0.2 * excess * excess * (apart > 0 ? apart : 0);
  }

  // Zen 4 at 3.4 GHz.
  static double cost_ns(const Problem& problem) {
    return product_ns(problem.as<GemmParams>(), problem);
  }
  // Of a product with these dims; the facts are the problem's.
  static double product_ns(const GemmParams& p, const Problem& problem) {
    constexpr double kGroupNs = 0.9, kRowNs = 0.9, kPanelNs = 12;
    const auto N = static_cast<double>(panels(p));
    const auto M = static_cast<double>(p.M);
    const double density =
        static_cast<double>(problem.facts->nonzeros) / static_cast<double>(p.K * p.N);
    // Windows of 16 k have max(non-zeros of 16 columns) groups or so: fitted to random weights.
    const double share = 1.0 / (0.95 - 0.25 * (1 - density) * (1 - density));
    const double groups = N * static_cast<double>(p.K) * density * share;
    return 100 + groups * clustering(*problem.facts) * (kGroupNs + M * kRowNs * 0.5) +
           N * M * kPanelNs;
  }
};

constexpr Row kWindowsRow = {.name = "gemm_f32_windows_f32_4x16x1_avx512",
                             .family = "gemm",
                             .exactness = Exactness::kFast,
                             .features = kPresetAvx512,
                             .compressed = true,
                             .mr = 4,
                             .nr = kPanel,
                             .kr = 1,
                             .supports = WindowRows::supports,
                             .cost_ns = WindowRows::cost_ns,
                             .packing = "sparse_f32_windows",
                             .packed_bytes = WindowRows::packed_bytes,
                             .pack = WindowRows::pack,
                             .tasks = WindowRows::tasks,
                             .run = WindowRows::run};

}  // namespace
}  // namespace pyrt
