// What the narrow rows of all ISAs share (narrow.h): recognising weights, packing and the loop over
// tasks. An ISA file supplies
//
//   struct Isa {
//     static constexpr int rows(int bits);              // of the largest tile
//     static constexpr int panels(int bits, int rows);  // of a tile of so many rows; 1, 2 or 4
//     // acc[rows][panels][16] = the sums over k of a[r][k] * u[k, column].
//     template <int kBits>
//     static void tile(int rows, int panels, const int8_t* const* a, const uint8_t* w,
//                      int64_t blocks, int32_t* acc);
//     static void finish(...);  // as in gemm/gemm-inl.h
//   };
#pragma once

#include "kernels/common/epilogue-inl.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/gemm.h"
#include "kernels/narrow/narrow.h"

namespace pyrt {
namespace {

inline constexpr int64_t kNarrowBlock = 64;  // bytes: 16 columns of 4

template <class Isa, int kBits>
struct NarrowRows {
  static constexpr int64_t kFields = 8 / kBits;
  static constexpr int64_t kBlockK = 4 * kFields;

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    if (!p.epilogue.integer) return "the operands are f32";
    if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
    if (p.trans_a) return "the activations are transposed";
    if (p.batch != 1) return "the product has batch dims";
    if (p.M > kNarrowMaxRows) return "more than 4 rows: bound by multiplying, not by weights";
    if (p.K > kNarrowMaxK) return "K is above 131072";
    if (problem.facts == nullptr) return "there are no weights";
    const WeightFacts& facts = *problem.facts;
    if (facts.highest - facts.lowest >= facts.step << kBits && facts.step != 0) {
      return kBits == 4   ? "the weights do not fit 4 bits"
             : kBits == 2 ? "the weights do not fit 2 bits"
                          : "the weights have more than two values";
    }
    return nullptr;
  }

  static int64_t blocks(const GemmParams& p) { return ceil_div(p.K, kBlockK); }
  static int64_t panels(const GemmParams& p) { return ceil_div(p.N, kPanel); }

  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    return static_cast<size_t>(front_bytes(p) + panels(p) * blocks(p) * kNarrowBlock);
  }
  static int64_t front_bytes(const GemmParams& p) { return kNarrowHeader + sums_bytes(p.N); }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<GemmParams>();
    const WeightFacts& facts = *problem.facts;
    const NarrowValues values{facts.lowest, facts.step == 0 ? 1 : facts.step};
    const auto* w = static_cast<const int8_t*>(problem.inputs[kInputW].constant);
    memset(packed, 0, packed_bytes(problem));
    memcpy(packed, &values, sizeof(values));
    auto* sums = reinterpret_cast<uint32_t*>(static_cast<uint8_t*>(packed) + kNarrowHeader);
    auto* out = static_cast<uint8_t*>(packed) + front_bytes(p);
    const int64_t w_k = p.trans_b ? 1 : p.N, w_n = p.trans_b ? p.K : 1;
    for (int64_t n = 0; n < p.N; ++n) {
      uint8_t* column = out + n / kPanel * blocks(p) * kNarrowBlock + n % kPanel * 4;
      for (int64_t k = 0; k < p.K; ++k) {
        const int32_t value = w[k * w_k + n * w_n];
        const auto u = static_cast<unsigned>((value - values.lo) / values.step);
        uint8_t* byte = column + k / kBlockK * kNarrowBlock + k % 4;
        *byte = static_cast<uint8_t>(*byte | u << (k % kBlockK / 4 * kBits));
        sums[n] += static_cast<uint32_t>(value);
      }
    }
  }

  // Tasks are runs of whole tiles, and long enough to be worth a hand-over between threads.
  static int64_t tasks(const Problem& problem) {
    constexpr int64_t kTaskBytes = 32 * 1024;
    const auto& p = problem.as<GemmParams>();
    const int64_t tiles = ceil_div(panels(p), 4);
    return larger(1,
                  smaller(smaller(16, tiles), panels(p) * blocks(p) * kNarrowBlock / kTaskBytes));
  }

  // Rows of whole blocks are read where they lie, others are copied: the weights beyond K are zero,
  // but the bytes there need not be readable.
  static bool in_place(const GemmParams& p) { return p.K % kBlockK == 0; }
  static int64_t row_bytes(const GemmParams& p) { return round_up(p.K, 64); }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    return in_place(p) ? 0 : static_cast<size_t>(p.M * row_bytes(p));
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<GemmParams>();
    const auto* packed = static_cast<const uint8_t*>(call.packed);
    const auto* w = packed + front_bytes(p);
    const auto* column_sums = reinterpret_cast<const int32_t*>(packed + kNarrowHeader);
    const Epilogue e = make_epilogue(p.epilogue, problem, call, column_sums);
    NarrowValues values;
    memcpy(&values, packed, sizeof(values));
    const int64_t M = smaller(p.M, kNarrowMaxRows);
    const int8_t* rows[kNarrowMaxRows];
    int32_t row_sums[kNarrowMaxRows];
    for (int64_t m = 0; m < M; ++m) {
      rows[m] = static_cast<const int8_t*>(call.inputs[kInputX]) + m * p.K;
      row_sums[m] = sum_of(rows[m], p.K);
      if (in_place(p)) continue;
      auto* copy = static_cast<int8_t*>(call.scratch) + m * row_bytes(p);
      memcpy(copy, rows[m], static_cast<size_t>(p.K));
      memset(copy + p.K, 0, static_cast<size_t>(row_bytes(p) - p.K));
      rows[m] = copy;
    }
    const int64_t n_tasks = tasks(problem), tiles = ceil_div(panels(p), 4);
    const int64_t first = part(tiles, n_tasks, begin) * 4;
    const int64_t last = smaller(panels(p), part(tiles, n_tasks, end) * 4);
    for (int64_t m = 0; m < M;) {
      const int height = static_cast<int>(smaller(M - m, Isa::rows(kBits)));
      for (int64_t panel = first; panel < last;) {
        int width = Isa::panels(kBits, height);
        while (width > last - panel) width /= 2;
        alignas(64) int32_t acc[kNarrowMaxRows * 4 * kPanel];
        Isa::template tile<kBits>(height, width, rows + m, w + panel * blocks(p) * kNarrowBlock,
                                  blocks(p), acc);
        finish_tile(e, p, values, row_sums + m, height, width, panel * kPanel, m, acc);
        panel += width;
      }
      m += height;
    }
  }

  PYRT_INLINE static int32_t sum_of(const int8_t* a, int64_t count) {
    int32_t sum = 0;  // of at most kNarrowMaxK bytes
    for (int64_t k = 0; k < count; ++k) sum += a[k];
    return sum;
  }

  // acc[height][width][16] are sums of a * u; element [0][0] belongs to y[m, n].
  static void finish_tile(const Epilogue& e, const GemmParams& p, const NarrowValues& values,
                          const int32_t* row_sums, int height, int width, int64_t n, int64_t m,
                          int32_t* acc) {
    const auto step = static_cast<uint32_t>(values.step);
    for (int r = 0; r < height; ++r, acc += width * kPanel) {
      const uint32_t base = static_cast<uint32_t>(values.lo) * static_cast<uint32_t>(row_sums[r]);
      for (int i = 0; i < width * kPanel; ++i) {
        acc[i] = static_cast<int32_t>(step * static_cast<uint32_t>(acc[i]) + base);
      }
      for (int64_t i = 0; i < width * kPanel; i += kPanel) {
        const auto columns = static_cast<int>(smaller(kPanel, p.N - n - i));
        Isa::finish(e, acc + i, kPanel, 1, columns, n + i, (m + r) * p.N + n + i, p.N);
      }
    }
  }
};

// Predicted times: weights that are read, products that are added, and outputs.
struct NarrowRates {
  double bytes_per_ns;
  double macs_per_ns;
  double output_ns;
  double call_ns;
};

template <class Isa, int kBits>
double narrow_cost_ns(const NarrowRates& rates, const Problem& problem) {
  using Rows = NarrowRows<Isa, kBits>;
  const auto& p = problem.as<GemmParams>();
  const auto tiles = static_cast<double>(ceil_div(p.M, Isa::rows(kBits)));
  const auto bytes = static_cast<double>(Rows::panels(p) * (Rows::blocks(p) + 1) * kNarrowBlock);
  const double macs = static_cast<double>(p.M) * bytes * static_cast<double>(Rows::kFields);
  const double by_bytes = tiles * bytes / rates.bytes_per_ns, by_macs = macs / rates.macs_per_ns;
  return rates.call_ns + static_cast<double>(p.M * Rows::panels(p) * kPanel) * rates.output_ns +
         static_cast<double>(p.M * p.K) * 0.02 + (by_bytes > by_macs ? by_bytes : by_macs);
}

template <class Isa, int kBits>
constexpr Row narrow_row(std::string_view name, FeatureMask features,
                         double (*cost_ns)(const Problem&)) {
  using Rows = NarrowRows<Isa, kBits>;
  return {.name = name,
          .family = "gemm",
          .exactness = Exactness::kExact,
          .features = features,
          .offset = Offset::kGives,
          .compressed = true,
          .mr = static_cast<uint16_t>(Isa::rows(kBits)),
          .nr = static_cast<uint16_t>(Isa::panels(kBits, 1) * kPanel),
          .kr = static_cast<uint16_t>(Rows::kBlockK),
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = kBits == 4   ? "narrow4_nr16"
                     : kBits == 2 ? "narrow2_nr16"
                                  : "narrow1_nr16",
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

}  // namespace
}  // namespace pyrt
