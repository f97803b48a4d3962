// gemm rows for AVX2: f32 by FMA, with weights kept as half floats where that loses nothing, and
// s8 exactly by vpmaddwd, or by vpmaddubsw on fitted weights.
#include "kernels/gemm/fitted_avx2-inl.h"
#include "kernels/gemm/gemm_avx2-inl.h"
#include "kernels/gemm/gemm_direct_avx2-inl.h"
#include "kernels/gemm/gemm_rows-inl.h"

namespace pyrt {
namespace {

constexpr double kCallNs = 60;
// Per weight that is packed in the run.
constexpr double kPackS8Ns = 0.5;
constexpr double kPackF32Ns = 0.25;

template <class Isa>
double cost_ns(const Problem& problem) {
  using Rows = GemmRows<Isa>;
  const auto& p = problem.as<GemmParams>();
  const ProductRates& rates = Rows::kInteger
                                  ? kAvx2S8Rates
                                  : (sizeof(typename Isa::W) == 2 ? kAvx2F16Rates : kAvx2F32Rates);
  const auto N = static_cast<double>(p.N);
  const auto K = static_cast<double>(p.K);
  const auto batch = static_cast<double>(p.batch);
  double ns =
      kCallNs + batch * product_ns(rates, static_cast<double>(p.M), N, K, !Rows::in_place(p));
  if (!Rows::packed_once(problem)) ns += batch * N * K * (Rows::kInteger ? kPackS8Ns : kPackF32Ns);
  return ns;
}

double direct_ns(const Problem& problem) {
  constexpr double kMacsPerNs = 35;
  constexpr double kLongRows = 1.6;  // rows of w that are walked in parts
  constexpr double kOutputNs = 0.4;
  const auto& p = problem.as<GemmParams>();
  const double weights = static_cast<double>(p.N) * static_cast<double>(p.K);
  const auto M = static_cast<double>(p.M);
  const auto batch = static_cast<double>(p.batch);
  const double by_macs = M * weights / kMacsPerNs;
  const bool long_rows = !p.trans_b && p.N >= Avx2Direct::kLongRow;
  const double by_weights =
      4 * weights / read_bytes_per_ns(4 * weights * batch) * (long_rows ? kLongRows : 1);
  return kCallNs + batch * (40 + M * static_cast<double>(p.N) * kOutputNs +
                            (by_macs > by_weights ? by_macs : by_weights));
}

const char* supports_halves(const Problem& problem) {
  if (const char* reason = GemmRows<Avx2F16>::supports(problem)) return reason;
  if (!GemmRows<Avx2F16>::packed_once(problem)) return "the weights are not constant";
  const Operand& w = problem.inputs[kInputW];
  if (!all_halves(static_cast<const float*>(w.constant), w.dims.count())) {
    return "not every weight is a half float";
  }
  return nullptr;
}

double fitted_cost_ns(const Problem& problem) {
  using Rows = GemmRows<Avx2U8>;
  const auto& p = problem.as<GemmParams>();
  return kCallNs + fitted_ns(Rows::fit_estimate(problem), p.M, p.N, p.K);
}

template <class Isa>
constexpr Row row(const char* name, Exactness exactness, const char* packing,
                  const char* (*supports)(const Problem&) = GemmRows<Isa>::supports) {
  using Rows = GemmRows<Isa>;
  return {.name = name,
          .family = "gemm",
          .exactness = exactness,
          .features = kPresetAvx2,
          .mr = Isa::kMr,
          .nr = kPanel,
          .kr = Isa::kKr,
          .supports = supports,
          .cost_ns = cost_ns<Isa>,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

constexpr Row fitted_row() {
  Row r = row<Avx2U8>("gemm_u8_s8_s32_4x16x8_avx2", Exactness::kExact, "gemm_s8_nr16fitted");
  r.offset = Offset::kTakes;
  r.cost_ns = fitted_cost_ns;
  r.fast_share = GemmRows<Avx2U8>::fast_share;
  return r;
}

// Bytes with the offset where all that follow take it: no conversion between the two.
constexpr Row exact_row() {
  Row r = row<Avx2S8>("gemm_s8_s8_s32_6x16x2_avx2", Exactness::kExact, "gemm_s8_nr16kr2");
  r.offset = Offset::kGives;
  return r;
}

constexpr Row kRows[] = {
    row<Avx2F32>("gemm_f32_f32_f32_6x16x1_avx2", Exactness::kFast, "gemm_f32_nr16"),
    row<Avx2F16>("gemm_f32_f16_f32_6x16x1_avx2", Exactness::kFast, "gemm_f16_nr16",
                 supports_halves),
    {.name = "gemm_f32_direct_f32_6x16x1_avx2",
     .family = "gemm",
     .exactness = Exactness::kFast,
     .features = kPresetAvx2,
     .mr = Avx2Direct::kMr,
     .nr = kPanel,
     .kr = 1,
     .supports = Avx2Direct::supports,
     .cost_ns = direct_ns,
     .tasks = Avx2Direct::tasks,
     .scratch_bytes = Avx2Direct::scratch_bytes,
     .run = Avx2Direct::run},
    exact_row(),
    fitted_row(),
};

}  // namespace

extern constinit const Table gemm_avx2;
constinit const Table gemm_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
