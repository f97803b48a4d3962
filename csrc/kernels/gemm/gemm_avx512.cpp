// The s8 gemm row for AVX-512 without VNNI; f32 and computed weights take the AVX2 rows.
#include "kernels/gemm/fitted_avx512-inl.h"
#include "kernels/gemm/gemm_rows-inl.h"

namespace pyrt {
namespace {

using Rows = GemmRows<Avx512U8>;

constexpr double kCallNs = 60;

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<GemmParams>();
  return kCallNs + kFittedZmmTime * fitted_ns(Rows::fit_estimate(problem), p.M, p.N, p.K);
}

constexpr Row kRows[] = {{.name = "gemm_u8_s8_s32_8x16x8_avx512",
                          .family = "gemm",
                          .exactness = Exactness::kExact,
                          .features = kPresetAvx512,
                          .offset = Offset::kTakes,
                          .mr = Avx512U8::kMr,
                          .nr = kPanel,
                          .kr = Avx512U8::kKr,
                          .supports = Rows::supports,
                          .cost_ns = cost_ns,
                          .packing = "gemm_s8_nr16fitted",
                          .packed_bytes = Rows::packed_bytes,
                          .pack = Rows::pack,
                          .fast_share = Rows::fast_share,
                          .tasks = Rows::tasks,
                          .scratch_bytes = Rows::scratch_bytes,
                          .run = Rows::run}};

}  // namespace

extern constinit const Table gemm_avx512;
constinit const Table gemm_avx512{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
