// conv and conv_transpose rows for AVX-512 with VNNI, with the arithmetic of gemm.
#include "kernels/conv/conv_cost-inl.h"
#include "kernels/conv/winograd_f32-inl.h"
#include "kernels/gemm/gemm_avx512vnni-inl.h"

namespace pyrt {
namespace {

struct CostS8 {
  static double product_ns(double M, double N, double K, bool prepare) {
    return product_ns_avx512(kAvx512S8Rates, M, N, K, prepare);
  }
};
struct CostYmmS8 {
  static double product_ns(double M, double N, double K, bool) { return vnni_ymm_ns(M, N, K); }
};
struct CostF32 {
  static constexpr double kInputNs = 4, kOutputNs = 3.5;  // as with AVX2, whose transforms they are
  static constexpr double kMemoryBytesPerNs = 28;         // 16 to 40 on Zen 4, between products
  static double product_ns(double M, double N, double K, bool prepare) {
    return product_ns_avx512(kAvx512F32Rates, M, N, K, prepare);
  }
};

template <class Rows>
constexpr Row row(const char* name, const char* family, Exactness exactness, Offset offset,
                  const char* packing, uint16_t kr, double (*cost_ns)(const Problem&)) {
  return {.name = name,
          .family = family,
          .exactness = exactness,
          .features = kPresetAvx512Vnni,
          .forms = FormRule::kChannelsLast,
          .offset = offset,
          .mr = 6,
          .nr = 4 * kPanel,
          .kr = kr,
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

constexpr Row ymm_row() {
  Row r = row<ConvRows<Avx512YmmS8>>("conv_s8_s8_s32_6x32x4_avx512vnni", "conv", Exactness::kExact,
                                     Offset::kTakes, "conv_s8_nr16kr4", 4,
                                     conv_ns<Avx512YmmS8, CostYmmS8>);
  r.nr = 2 * kPanel;
  return r;
}

constexpr Row kRows[] = {
    row<ConvRows<Avx512F32>>("conv_f32_f32_f32_6x64x1_avx512vnni", "conv", Exactness::kFast,
                             Offset::kNever, "conv_f32_nr16", 1, conv_ns<Avx512F32, CostF32>),
    row<WinogradRows<WinogradF32<Avx512F32>>>(
        "conv_f32_winograd_f32_6x64x1_avx512vnni", "conv", Exactness::kFast, Offset::kNever,
        "conv_f32_winograd_nr16", 1, winograd_ns<WinogradF32<Avx512F32>, CostF32>),
    row<ConvRows<Avx512S8>>("conv_s8_s8_s32_6x64x4_avx512vnni", "conv", Exactness::kExact,
                            Offset::kTakes, "conv_s8_nr16kr4", 4, conv_ns<Avx512S8, CostS8>),
    ymm_row(),
    row<ConvTransposeRows<Avx512F32>>("conv_transpose_f32_f32_f32_6x64x1_avx512vnni",
                                      "conv_transpose", Exactness::kFast, Offset::kNever,
                                      "conv_transpose_f32_nr16", 1, transpose_ns<CostF32>),
    row<ConvTransposeTiles<Avx512F32>>(
        "conv_transpose_tiles_f32_f32_f32_6x64x1_avx512vnni", "conv_transpose", Exactness::kFast,
        Offset::kNever, "conv_transpose_tiles_f32_nr16", 1, transpose_tiles_ns<Avx512F32, CostF32>),
};

}  // namespace

extern constinit const Table conv_avx512vnni;
constinit const Table conv_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
