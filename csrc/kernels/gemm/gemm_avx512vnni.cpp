// gemm rows for AVX-512 with VNNI.
#include "kernels/gemm/gemm_avx512vnni-inl.h"
#include "kernels/gemm/gemm_rows-inl.h"

namespace pyrt {
namespace {

constexpr double kCallNs = 60;
constexpr double kPackNs = 0.5;  // per weight that is packed in the run

template <class Isa>
double cost_ns(const Problem& problem) {
  using Rows = GemmRows<Isa>;
  const auto& p = problem.as<GemmParams>();
  const Product512& rates = Rows::kInteger ? kAvx512S8Rates : kAvx512F32Rates;
  const auto N = static_cast<double>(p.N);
  const auto K = static_cast<double>(p.K);
  const auto batch = static_cast<double>(p.batch);
  double ns = kCallNs +
              batch * product_ns_avx512(rates, static_cast<double>(p.M), N, K, !Rows::in_place(p));
  if (!Rows::packed_once(problem)) ns += batch * N * K * kPackNs;
  return ns;
}

double ymm_cost_ns(const Problem& problem) {
  using Rows = GemmRows<Avx512YmmS8>;
  const auto& p = problem.as<GemmParams>();
  const auto N = static_cast<double>(p.N);
  const auto K = static_cast<double>(p.K);
  double ns = kCallNs;
  ns += static_cast<double>(p.batch) * vnni_ymm_ns(static_cast<double>(p.M), N, K);
  if (!Rows::packed_once(problem)) ns += static_cast<double>(p.batch) * N * K * kPackNs;
  return ns;
}

template <class Isa>
constexpr Row row(const char* name, Exactness exactness, Offset offset, const char* packing) {
  using Rows = GemmRows<Isa>;
  return {.name = name,
          .family = "gemm",
          .exactness = exactness,
          .features = kPresetAvx512Vnni,
          .offset = offset,
          .mr = Isa::kMr,
          .nr = 4 * kPanel,
          .kr = Isa::kKr,
          .supports = Rows::supports,
          .cost_ns = cost_ns<Isa>,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

constexpr Row ymm_row() {
  Row r = row<Avx512YmmS8>("gemm_s8_s8_s32_6x32x4_avx512vnni", Exactness::kExact, Offset::kTakes,
                           "gemm_s8_nr16kr4");
  r.nr = 2 * kPanel;
  r.cost_ns = ymm_cost_ns;
  return r;
}

constexpr Row kRows[] = {
    row<Avx512F32>("gemm_f32_f32_f32_6x64x1_avx512vnni", Exactness::kFast, Offset::kNever,
                   "gemm_f32_nr16"),
    row<Avx512S8>("gemm_s8_s8_s32_6x64x4_avx512vnni", Exactness::kExact, Offset::kTakes,
                  "gemm_s8_nr16kr4"),
    ymm_row(),
};

}  // namespace

extern constinit const Table gemm_avx512vnni;
constinit const Table gemm_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
