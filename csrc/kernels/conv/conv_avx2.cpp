// conv and conv_transpose rows for AVX2, with the arithmetic of gemm.
#include "kernels/conv/conv_cost-inl.h"
#include "kernels/conv/winograd_f32-inl.h"
#include "kernels/conv/winograd_s8_avx2-inl.h"
#include "kernels/gemm/fitted_avx2-inl.h"
#include "kernels/gemm/gemm_avx2-inl.h"

namespace pyrt {
namespace {

struct CostS8 {
  static double product_ns(double M, double N, double K, bool prepare) {
    return pyrt::product_ns(kAvx2S8Rates, M, N, K, prepare);
  }
};
struct CostWinogradS8 {
  static constexpr double kInputNs = 1.8, kOutputNs = 2.6;  // on Zen 3, as all here
  static constexpr double kMemoryBytesPerNs = 13;
  static double product_ns(double M, double N, double K, bool prepare) {
    return pyrt::product_ns(kAvx2S16Rates, M, N, K, prepare);
  }
};
struct CostF32 {
  static constexpr double kInputNs = 4, kOutputNs = 3.5;
  static constexpr double kMemoryBytesPerNs = 13;
  static double product_ns(double M, double N, double K, bool prepare) {
    return pyrt::product_ns(kAvx2F32Rates, M, N, K, prepare);
  }
};

double fitted_conv_ns(const Problem& problem) {
  using Rows = ConvRows<Avx2U8>;
  const auto& p = problem.as<ConvParams>();
  const ConvGeometry g = Rows::Lines::geometry(p);
  return kConvCallNs + Rows::prepare_ns(problem) +
         fitted_ns(Rows::fit_estimate(problem, g), g.M(), p.N(), g.K());
}

template <class Rows>
constexpr Row row(const char* name, const char* family, Exactness exactness, const char* packing,
                  uint16_t kr, double (*cost_ns)(const Problem&)) {
  return {.name = name,
          .family = family,
          .exactness = exactness,
          .features = kPresetAvx2,
          .forms = FormRule::kChannelsLast,
          .mr = 6,
          .nr = kPanel,
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

constexpr Row fitted_row() {
  using Rows = ConvRows<Avx2U8>;
  Row r = row<Rows>("conv_u8_s8_s32_4x16x8_avx2", "conv", Exactness::kExact, "conv_s8_nr16fitted",
                    kFittedKr, fitted_conv_ns);
  r.offset = Offset::kTakes;
  r.fast_share = Rows::fast_share;
  r.mr = Avx2U8::kMr;
  return r;
}

// Bytes with the offset where all that follow take it: no conversion between the two.
constexpr Row giving_offset(Row r) {
  r.offset = Offset::kGives;
  return r;
}

constexpr Row kRows[] = {
    row<ConvRows<Avx2F32>>("conv_f32_f32_f32_6x16x1_avx2", "conv", Exactness::kFast,
                           "conv_f32_nr16", 1, conv_ns<Avx2F32, CostF32>),
    row<WinogradRows<WinogradF32<Avx2F32>>>("conv_f32_winograd_f32_6x16x1_avx2", "conv",
                                            Exactness::kFast, "conv_f32_winograd_nr16", 1,
                                            winograd_ns<WinogradF32<Avx2F32>, CostF32>),
    giving_offset(row<WinogradRows<WinogradS8>>("conv_s8_winograd_s32_6x16x2_avx2", "conv",
                                                Exactness::kExact, "conv_s8_winograd_nr16kr2", 2,
                                                winograd_ns<WinogradS8, CostWinogradS8>)),
    giving_offset(row<ConvRows<Avx2S8>>("conv_s8_s8_s32_6x16x2_avx2", "conv", Exactness::kExact,
                                        "conv_s8_nr16kr2", 2, conv_ns<Avx2S8, CostS8>)),
    fitted_row(),
    row<ConvTransposeRows<Avx2F32>>("conv_transpose_f32_f32_f32_6x16x1_avx2", "conv_transpose",
                                    Exactness::kFast, "conv_transpose_f32_nr16", 1,
                                    transpose_ns<CostF32>),
    row<ConvTransposeTiles<Avx2F32>>(
        "conv_transpose_tiles_f32_f32_f32_6x16x1_avx2", "conv_transpose", Exactness::kFast,
        "conv_transpose_tiles_f32_nr16", 1, transpose_tiles_ns<Avx2F32, CostF32>),
};

}  // namespace

extern constinit const Table conv_avx2;
constinit const Table conv_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
