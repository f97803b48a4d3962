// The s8 conv row for AVX-512 without VNNI, with the arithmetic of gemm; f32 takes the AVX2 rows.
#include "kernels/conv/conv_cost-inl.h"
#include "kernels/gemm/fitted_avx512-inl.h"

namespace pyrt {
namespace {

using Rows = ConvRows<Avx512U8>;

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<ConvParams>();
  const ConvGeometry g = Rows::Lines::geometry(p);
  return kConvCallNs + Rows::prepare_ns(problem) +
         kFittedZmmTime * fitted_ns(Rows::fit_estimate(problem, g), g.M(), p.N(), g.K());
}

constexpr Row kRows[] = {{.name = "conv_u8_s8_s32_8x16x8_avx512",
                          .family = "conv",
                          .exactness = Exactness::kExact,
                          .features = kPresetAvx512,
                          .forms = FormRule::kChannelsLast,
                          .offset = Offset::kTakes,
                          .mr = Avx512U8::kMr,
                          .nr = kPanel,
                          .kr = Avx512U8::kKr,
                          .supports = Rows::supports,
                          .cost_ns = cost_ns,
                          .packing = "conv_s8_nr16fitted",
                          .packed_bytes = Rows::packed_bytes,
                          .pack = Rows::pack,
                          .fast_share = Rows::fast_share,
                          .tasks = Rows::tasks,
                          .scratch_bytes = Rows::scratch_bytes,
                          .run = Rows::run}};

}  // namespace

extern constinit const Table conv_avx512;
constinit const Table conv_avx512{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
