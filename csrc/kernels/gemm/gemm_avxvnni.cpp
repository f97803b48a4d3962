// The s8 gemm row for AVX-VNNI; f32 takes the AVX2 rows.
#include "kernels/gemm/gemm_avxvnni-inl.h"
#include "kernels/gemm/gemm_rows-inl.h"

namespace pyrt {
namespace {

using Rows = GemmRows<AvxVnniS8>;

constexpr double kCallNs = 60;
constexpr double kPackNs = 0.5;  // per weight that is packed in the run

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<GemmParams>();
  const auto N = static_cast<double>(p.N);
  const auto K = static_cast<double>(p.K);
  double ns = kCallNs;
  ns += static_cast<double>(p.batch) * vnni_ymm_ns(static_cast<double>(p.M), N, K);
  if (!Rows::packed_once(problem)) ns += static_cast<double>(p.batch) * N * K * kPackNs;
  return ns;
}

constexpr Row kRows[] = {{.name = "gemm_s8_s8_s32_6x16x4_avxvnni",
                          .family = "gemm",
                          .exactness = Exactness::kExact,
                          .features = kPresetAvxVnni,
                          .offset = Offset::kTakes,
                          .mr = AvxVnniS8::kMr,
                          .nr = kPanel,
                          .kr = AvxVnniS8::kKr,
                          .supports = Rows::supports,
                          .cost_ns = cost_ns,
                          .packing = "gemm_s8_nr16kr4",
                          .packed_bytes = Rows::packed_bytes,
                          .pack = Rows::pack,
                          .tasks = Rows::tasks,
                          .scratch_bytes = Rows::scratch_bytes,
                          .run = Rows::run}};

}  // namespace

extern constinit const Table gemm_avxvnni;
constinit const Table gemm_avxvnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
