// The s8 conv row for AVX-VNNI, with the arithmetic of gemm; f32 takes the AVX2 rows.
#include "kernels/conv/conv_cost-inl.h"
#include "kernels/gemm/gemm_avxvnni-inl.h"

namespace pyrt {
namespace {

using Rows = ConvRows<AvxVnniS8>;

struct CostS8 {
  static double product_ns(double M, double N, double K, bool) { return vnni_ymm_ns(M, N, K); }
};

constexpr Row kRows[] = {{.name = "conv_s8_s8_s32_6x16x4_avxvnni",
                          .family = "conv",
                          .exactness = Exactness::kExact,
                          .features = kPresetAvxVnni,
                          .forms = FormRule::kChannelsLast,
                          .offset = Offset::kTakes,
                          .mr = AvxVnniS8::kMr,
                          .nr = kPanel,
                          .kr = AvxVnniS8::kKr,
                          .supports = Rows::supports,
                          .cost_ns = conv_ns<AvxVnniS8, CostS8>,
                          .packing = "conv_s8_nr16kr4",
                          .packed_bytes = Rows::packed_bytes,
                          .pack = Rows::pack,
                          .tasks = Rows::tasks,
                          .scratch_bytes = Rows::scratch_bytes,
                          .run = Rows::run}};

}  // namespace

extern constinit const Table conv_avxvnni;
constinit const Table conv_avxvnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
