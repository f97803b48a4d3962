// lstm and gru rows of an ISA: the recurrent product on gemm's engine, cells in vectors of F.
//
// Packed: r^T as panels of gemm.h, K = H. lstm: all gates [H, 4 H]; gru: update and reset [H, 2 H],
// then the candidate [H, H], each to a multiple of 16 columns.
#pragma once

#include "kernels/gemm/gemm-inl.h"
#include "kernels/recurrent/recurrent-inl.h"

namespace pyrt {
namespace {

template <class Isa, class F, bool kLstm>
struct RecurrentRows {
  static_assert(Isa::kInPlace && Isa::kKr == 1, "h is read as it lies");

  static const char* supports(const Problem& problem) {
    return problem.inputs[kRecurrent].constant != nullptr ? nullptr : "r is not constant";
  }

  // Columns of the first group of panels.
  static int64_t front(const RecurrentParams& p) { return (kLstm ? 4 : 2) * p.H; }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<RecurrentParams>();
    const int64_t columns = round_up(front(p), kPanel) + (kLstm ? 0 : round_up(p.H, kPanel));
    return static_cast<size_t>(columns * p.H) * sizeof(float);
  }
  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<RecurrentParams>();
    auto* out = static_cast<float*>(packed);
    pack_group(problem, 0, front(p), out);
    if (!kLstm) pack_group(problem, front(p), p.H, out + round_up(front(p), kPanel) * p.H);
  }
  static void pack_group(const Problem& problem, int64_t first, int64_t columns, float* out) {
    const auto& p = problem.as<RecurrentParams>();
    const float* r = static_cast<const float*>(problem.inputs[kRecurrent].constant) + first * p.H;
    const auto at = [r, H = p.H](int64_t k, int64_t n) { return r[n * H + k]; };
    pack_panels<1>(at, p.H, columns, 0, ceil_div(columns, kPanel), out, nullptr);
  }

  static void multiply(const Problem& problem, const Call& call, const float* h, int64_t first,
                       int64_t columns, const float* add, const float* bias, float* y, int64_t ld) {
    const auto& p = problem.as<RecurrentParams>();
    const float* w = static_cast<const float*>(call.packed) +
                     (first == 0 ? 0 : round_up(front(p), kPanel) * p.H);
    const Epilogue e = gate_sums(add, bias, y);
    constexpr int64_t kBlock = kMaxTiles * Isa::kMr;
    for (int64_t m = 0; m < p.N; m += kBlock) {
      multiply_matrix<Isa>(e, h + m * p.H, p.H, smaller(kBlock, p.N - m), w, p.H, columns, 0,
                           ceil_div(columns, kPanel), 0, m * ld, ld);
    }
  }

  // Cost: what a cell takes for its sigmoids and tanhs, and a product.
  template <class Cost>
  static double predicted_ns(const Problem& problem) {
    const auto& p = problem.as<RecurrentParams>();
    const auto N = static_cast<double>(p.N);
    const auto H = static_cast<double>(p.H);
    const auto width = static_cast<double>(problem.inputs[kRecurrent].dims[0]);
    return 60 + static_cast<double>(p.T) *
                    (N * H * Cost::kCellNs + Cost::product_ns(N, width, H, false));
  }

  template <class Cost>
  static constexpr Row row(const char* name, FeatureMask features) {
    return {.name = name,
            .family = kLstm ? "lstm" : "gru",
            .exactness = Exactness::kFast,
            .features = features,
            .mr = Isa::kMr,
            .nr = kPanel,
            .kr = 1,
            .supports = supports,
            .cost_ns = predicted_ns<Cost>,
            .packing = kLstm ? "lstm_f32_nr16" : "gru_f32_nr16",
            .packed_bytes = packed_bytes,
            .pack = pack,
            .scratch_bytes = kLstm ? lstm_scratch_bytes : gru_scratch_bytes,
            .run = kLstm ? run_lstm<F, RecurrentRows> : run_gru<F, RecurrentRows>};
  }
};

}  // namespace
}  // namespace pyrt
