// gemm rows for AVX2: f32 by FMA, s8 exactly by vpmaddwd.
#include "kernels/gemm/gemm_avx2-inl.h"
#include "kernels/gemm/gemm_rows-inl.h"

namespace pyrt {
namespace {

// Multiply-adds a nanosecond on Zen 3 at 3.4 GHz: s8 70 of 78 at peak, f32 50 of 54. A tile of few
// rows is bound by loading and widening its weights instead: bytes of packed weights a nanosecond
// from L2.
constexpr double kCallNs = 60;
constexpr double kTileNs = 12;  // switch, accumulators to the stack and back, epilogue of 6 x 16

double cost(const Problem& problem, double macs_per_ns, double weight_bytes_per_ns, double bytes,
            double prepare_ns) {
  const auto& p = problem.as<GemmParams>();
  const double rows = static_cast<double>(p.batch * p.M);
  const double panels = static_cast<double>(ceil_div(p.N, kPanel));
  const double tiles = static_cast<double>(p.batch * ceil_div(p.M, 6)) * panels;
  const double K = static_cast<double>(p.K + 1);
  const double by_macs = rows * panels * 16 * K / macs_per_ns;
  const double by_weights = tiles * 16 * K * bytes / weight_bytes_per_ns;
  double ns = kCallNs + tiles * kTileNs + rows * K * prepare_ns;
  ns += by_macs > by_weights ? by_macs : by_weights;
  if (problem.inputs[kInputW].constant == nullptr) {  // packed in the run
    ns += static_cast<double>(p.batch) * panels * 16 * K * 0.5;
  }
  return ns;
}

double cost_f32(const Problem& problem) { return cost(problem, 50, 70, 4, 0); }
double cost_s8(const Problem& problem) { return cost(problem, 70, 60, 1, 0.04); }

template <class Isa>
constexpr Row row(const char* name, Exactness exactness, const char* packing,
                  double (*cost_ns)(const Problem&)) {
  using Rows = GemmRows<Isa>;
  return {.name = name,
          .family = "gemm",
          .exactness = exactness,
          .features = kPresetAvx2,
          .mr = Isa::kMr,
          .nr = kPanel,
          .kr = Isa::kKr,
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .packing_key = Rows::packing_key,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

constexpr Row kRows[] = {
    row<Avx2F32>("gemm_f32_f32_f32_6x16x1_avx2", Exactness::kFast, "gemm_f32_nr16", cost_f32),
    row<Avx2S8>("gemm_s8_s8_s32_6x16x2_avx2", Exactness::kExact, "gemm_s8_nr16kr2", cost_s8),
};

}  // namespace

extern constinit const Table gemm_avx2;
constinit const Table gemm_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
