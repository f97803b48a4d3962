// What the vector rows of gemm_sign share (sign.h): packing, the bits of activations, the loop over
// tasks. An ISA file supplies
//
//   struct Isa {
//     static constexpr int kPanels;  // of the largest tile, 8 columns each
//     // counts[panels * 8] = count((s ^ w) & z) of one row.
//     static void tile(const SignRow& row, const uint64_t* w, int64_t words, int panels,
//                      int32_t* counts);
//   };
#pragma once

#include <immintrin.h>

#include "kernels/gemm/gemm-inl.h"
#include "kernels/sign/sign.h"

namespace pyrt {
namespace {

inline constexpr int64_t kSignPanel = 8;  // columns

// The bits of one row of activations, zeros beyond K.
struct SignRow {
  uint64_t* negative;
  uint64_t* nonzero;
};

template <class Isa>
struct SignRows {
  static const char* supports(const Problem& problem) {
    return problem.inputs[kSignW].constant == nullptr ? "the weights are not constant" : nullptr;
  }

  static int64_t words(const SignParams& p) { return ceil_div(p.K, 64); }
  static int64_t panels(const SignParams& p) { return ceil_div(p.N, kSignPanel); }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<SignParams>();
    return static_cast<size_t>(panels(p) * words(p) * kSignPanel * 8);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<SignParams>();
    const auto* w = static_cast<const uint8_t*>(problem.inputs[kSignW].constant);
    auto* out = static_cast<uint64_t*>(packed);
    memset(packed, 0, packed_bytes(problem));
    for (int64_t n = 0; n < p.N; ++n) {
      for (int64_t k = 0; k < p.K; ++k) {
        const uint64_t bit = w[n * ceil_div(p.K, 8) + k / 8] >> (k % 8) & 1;
        const int64_t at = (n / kSignPanel * words(p) + k / 64) * kSignPanel + n % kSignPanel;
        out[at] |= bit << (k % 64);
      }
    }
  }

  // Rows times runs of panels.
  static int64_t splits(const SignParams& p) {
    constexpr int64_t kTaskBytes = 64 * 1024;
    const int64_t tiles = ceil_div(panels(p), Isa::kPanels);
    return larger(1, smaller(smaller(8, tiles), panels(p) * words(p) * 64 / kTaskBytes));
  }
  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<SignParams>();
    return p.M * splits(p);
  }
  static size_t scratch_bytes(const Problem& problem) {
    return static_cast<size_t>(words(problem.as<SignParams>()) * 16);
  }

  static int64_t read_signs(const float* x, int64_t K, const SignRow& row) {
    int64_t count = 0;  // of non-zeros
    const __m256 zero = _mm256_setzero_ps();
    for (int64_t word = 0; word * 64 < K; ++word) {
      uint64_t negative = 0, nonzero = 0;
      const int64_t end = smaller(K - word * 64, 64);
      int64_t i = 0;
      for (; i + 8 <= end; i += 8) {
        const __m256 value = _mm256_loadu_ps(x + word * 64 + i);
        const int below = _mm256_movemask_ps(_mm256_cmp_ps(value, zero, _CMP_LT_OQ));
        const int other = _mm256_movemask_ps(_mm256_cmp_ps(value, zero, _CMP_NEQ_OQ));
        negative |= static_cast<uint64_t>(below) << i;
        nonzero |= static_cast<uint64_t>(other) << i;
      }
      for (; i < end; ++i) {
        const float value = x[word * 64 + i];
        negative |= uint64_t{value < 0} << i;
        nonzero |= uint64_t{value < 0 || value > 0} << i;
      }
      row.negative[word] = negative;
      row.nonzero[word] = nonzero;
      count += __builtin_popcountll(nonzero);
    }
    return count;
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<SignParams>();
    auto* scratch = static_cast<uint64_t*>(call.scratch);
    const SignRow row{scratch, scratch + words(p)};
    const auto* w = static_cast<const uint64_t*>(call.packed);
    const int64_t tiles = ceil_div(panels(p), Isa::kPanels);
    int64_t nonzeros = 0, known = -1;  // row
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m = task / splits(p), split = task % splits(p);
      if (m != known) {
        const float* x = static_cast<const float*>(call.inputs[kSignA]) + m * p.K;
        nonzeros = read_signs(x, p.K, row);
        known = m;
      }
      const int64_t last = smaller(panels(p), part(tiles, splits(p), split + 1) * Isa::kPanels);
      for (int64_t panel = part(tiles, splits(p), split) * Isa::kPanels; panel < last;) {
        alignas(64) int32_t counts[Isa::kPanels * kSignPanel];
        int width = Isa::kPanels;
        while (width > last - panel) width /= 2;
        Isa::tile(row, w + panel * words(p) * kSignPanel, words(p), width, counts);
        store(problem, call, counts, nonzeros, width, m, panel * kSignPanel);
        panel += width;
      }
    }
  }

  static void store(const Problem& problem, const Call& call, const int32_t* counts,
                    int64_t nonzeros, int width, int64_t m, int64_t n) {
    const auto& p = problem.as<SignParams>();
    const int64_t columns = smaller(width * kSignPanel, p.N - n);
    const float* scale = static_cast<const float*>(call.inputs[kSignScale]) + n;
    float* y = static_cast<float*>(call.outputs[0]) + m * p.N + n;
    const auto total = static_cast<int32_t>(nonzeros);
    for (int64_t i = 0; i < columns; ++i) {
      y[i] = static_cast<float>(total - 2 * counts[i]) * scale[i];
    }
    if (!problem.has_input(kSignBias)) return;
    const float* bias = static_cast<const float*>(call.inputs[kSignBias]) + n;
    for (int64_t i = 0; i < columns; ++i) y[i] += bias[i];
  }
};

template <class Isa>
constexpr Row sign_row(std::string_view name, FeatureMask features,
                       double (*cost_ns)(const Problem&)) {
  using Rows = SignRows<Isa>;
  return {.name = name,
          .family = "gemm_sign",
          .exactness = Exactness::kExact,
          .features = features,
          .mr = 1,
          .nr = Isa::kPanels * kSignPanel,
          .kr = 64,
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = "sign_nr8kr64",
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

template <class Isa>
double sign_cost_ns(double words_per_ns, const Problem& problem) {
  const auto& p = problem.as<SignParams>();
  const int64_t words = SignRows<Isa>::words(p) * SignRows<Isa>::panels(p) * kSignPanel;
  return 60 + static_cast<double>(p.M) *
                  (static_cast<double>(words) / words_per_ns + static_cast<double>(p.K) * 0.06 +
                   static_cast<double>(p.N) * 0.2);
}

}  // namespace
}  // namespace pyrt
