// lstm and gru rows for recurrent weights with zeros (AVX-512): h r^T by sliding windows of h, see
// sparse_planes/windows_f32-inl.h.
//
// Packed: u64 offset of the second group of columns, padded to 64 bytes; then the windows of the
// first (lstm: all gates, gru: update and reset) and, of gru, those of the candidate.
#pragma once

#include "kernels/recurrent/recurrent-inl.h"
#include "kernels/sparse_planes/windows_f32-inl.h"

namespace pyrt {
namespace {

template <class F, bool kLstm>
struct RecurrentWindows {
  static constexpr int64_t kHeader = 64;

  static GemmParams dims(const RecurrentParams& p, bool second) {
    GemmParams gemm;
    gemm.M = p.N;
    gemm.N = second ? p.H : (kLstm ? 4 : 2) * p.H;
    gemm.K = p.H;
    gemm.trans_b = true;
    return gemm;
  }

  static const float* weights(const Problem& problem, bool second) {
    const auto& p = problem.as<RecurrentParams>();
    const auto* r = static_cast<const float*>(problem.inputs[kRecurrent].constant);
    return r + (second ? 2 * p.H * p.H : 0);
  }
  static int64_t bytes_of(const Problem& problem, bool second) {
    return WindowRows::bytes_of(dims(problem.as<RecurrentParams>(), second),
                                weights(problem, second));
  }

  static const char* supports(const Problem& problem) {
    const WeightFacts* facts = problem.facts;
    if (facts == nullptr) return "r is not constant";
    if (problem.as<RecurrentParams>().H < WindowRows::kWindow) return "H is below 32";
    if (facts->nonzeros * 4 > facts->count * 3) return "under a quarter of the weights are zero";
    return nullptr;
  }

  static int64_t second_at(const Problem& problem) {
    return kHeader + round_up(bytes_of(problem, false), 64);
  }
  static size_t packed_bytes(const Problem& problem) {
    return static_cast<size_t>(second_at(problem) + (kLstm ? 0 : bytes_of(problem, true)));
  }
  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<RecurrentParams>();
    char* out = static_cast<char*>(packed);
    const int64_t second = second_at(problem);
    memset(out, 0, static_cast<size_t>(second));
    memcpy(out, &second, sizeof(second));
    WindowRows::pack_weights(dims(p, false), weights(problem, false), out + kHeader);
    if (!kLstm) WindowRows::pack_weights(dims(p, true), weights(problem, true), out + second);
  }

  static void multiply(const Problem& problem, const Call& call, const float* h, int64_t first,
                       int64_t, const float* add, const float* bias, float* y, int64_t ld) {
    int64_t at = kHeader;
    if (first != 0) memcpy(&at, call.packed, sizeof(at));
    const GemmParams gemm = dims(problem.as<RecurrentParams>(), first != 0);
    const Epilogue e = gate_sums(add, bias, y);
    WindowRows::product(gemm, static_cast<const char*>(call.packed) + at, e, h, 0,
                        WindowRows::panels(gemm), ld);
  }

  template <class Cost>
  static double predicted_ns(const Problem& problem) {
    const auto& p = problem.as<RecurrentParams>();
    double product = WindowRows::product_ns(dims(p, false), problem);
    if (!kLstm) product += WindowRows::product_ns(dims(p, true), problem);
    const auto cells = static_cast<double>(p.N * p.H);
    return 60 + static_cast<double>(p.T) * (cells * Cost::kCellNs + product);
  }

  template <class Cost>
  static constexpr Row row(const char* name, FeatureMask features) {
    return {.name = name,
            .family = kLstm ? "lstm" : "gru",
            .exactness = Exactness::kFast,
            .features = features,
            .compressed = true,
            .mr = 4,
            .nr = kPanel,
            .kr = 1,
            .supports = supports,
            .cost_ns = predicted_ns<Cost>,
            .packing = kLstm ? "lstm_f32_windows" : "gru_f32_windows",
            .packed_bytes = packed_bytes,
            .pack = pack,
            .scratch_bytes = kLstm ? lstm_scratch_bytes : gru_scratch_bytes,
            .run = kLstm ? run_lstm<F, RecurrentWindows> : run_gru<F, RecurrentWindows>};
  }
};

}  // namespace
}  // namespace pyrt
