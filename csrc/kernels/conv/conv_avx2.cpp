// conv and conv_transpose rows for AVX2, with the arithmetic of gemm.
#include "kernels/conv/conv_rows-inl.h"
#include "kernels/conv/conv_transpose_rows-inl.h"
#include "kernels/conv/conv_transpose_tiles-inl.h"
#include "kernels/conv/winograd-inl.h"
#include "kernels/gemm/fitted_avx2-inl.h"
#include "kernels/gemm/gemm_avx2-inl.h"

namespace pyrt {
namespace {

constexpr double kLocateNs =
    40;  // an output pixel of conv_transpose: gathered, and copied to its place
constexpr double kStoreNs = 0.25;  // an element cut from a row of the product
constexpr double kCallNs = 80;

template <class Isa>
double conv_ns(const Problem& problem) {
  using Rows = ConvRows<Isa>;
  const auto& p = problem.as<ConvParams>();
  const ProductRates& rates = Rows::kInteger ? kAvx2S8Rates : kAvx2F32Rates;
  const ConvGeometry g = Rows::Lines::geometry(p);
  return kCallNs + Rows::prepare_ns(problem) +
         static_cast<double>(p.group) * product_ns(rates, static_cast<double>(g.M()),
                                                   static_cast<double>(p.N()),
                                                   static_cast<double>(g.K()), false);
}

double fitted_conv_ns(const Problem& problem) {
  using Rows = ConvRows<Avx2U8>;
  const auto& p = problem.as<ConvParams>();
  const ConvGeometry g = Rows::Lines::geometry(p);
  return kCallNs + Rows::prepare_ns(problem) +
         fitted_ns(Rows::fit_count(problem, g), g.M(), p.N(), g.K());
}

// Transforms on Zen 3: an input channel of a tile takes 4 ns, an output channel 3.5 ns. Transformed
// weights are four times as many, so a network reads them from memory again in each run: 13 bytes a
// nanosecond beyond a few MB.
double winograd_ns(const Problem& problem) {
  using Rows = WinogradRows<Avx2F32>;
  const auto& p = problem.as<ConvParams>();
  const Rows::Blocks b = Rows::blocks(p);
  const auto tiles = static_cast<double>(Rows::tiles(p));
  const auto C = static_cast<double>(p.C);
  const auto O = static_cast<double>(p.O);
  const auto blocks = static_cast<double>(b.m_blocks);
  const double weight_bytes = O * C * Rows::kElements * 4;
  return kCallNs + tiles * (C * 4 + O * 3.5) + (weight_bytes > 4e6 ? weight_bytes / 13 : 0) +
         Rows::kElements * blocks * (40 + product_ns(kAvx2F32Rates, tiles / blocks, O, C, false));
}

double transpose_ns(const Problem& problem) {
  const auto& p = problem.as<ConvParams>();
  const auto phases = static_cast<double>(p.stride_h * p.stride_w);
  const double pixels = static_cast<double>(p.B * p.OH * p.OW);
  return kCallNs + pixels * kLocateNs +
         phases * static_cast<double>(p.group) *
             product_ns(kAvx2F32Rates, pixels / phases + 1, static_cast<double>(p.N()),
                        static_cast<double>(p.K()) / phases + 1, true);
}

double transpose_tiles_ns(const Problem& problem) {
  using Tiles = ConvTransposeTiles<Avx2F32>;
  const auto& p = problem.as<ConvParams>();
  const auto M = static_cast<double>(Tiles::M(p));
  const auto N = static_cast<double>(Tiles::columns(p));
  return kCallNs + M * N * kStoreNs +
         product_ns(kAvx2F32Rates, M, N, static_cast<double>(p.C), false);
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
  r.mr = Avx2U8::kMr;
  return r;
}

constexpr Row kRows[] = {
    row<ConvRows<Avx2F32>>("conv_f32_f32_f32_6x16x1_avx2", "conv", Exactness::kFast,
                           "conv_f32_nr16", 1, conv_ns<Avx2F32>),
    row<WinogradRows<Avx2F32>>("conv_f32_winograd_f32_6x16x1_avx2", "conv", Exactness::kFast,
                               "conv_f32_winograd_nr16", 1, winograd_ns),
    row<ConvRows<Avx2S8>>("conv_s8_s8_s32_6x16x2_avx2", "conv", Exactness::kExact,
                          "conv_s8_nr16kr2", 2, conv_ns<Avx2S8>),
    fitted_row(),
    row<ConvTransposeRows<Avx2F32>>("conv_transpose_f32_f32_f32_6x16x1_avx2", "conv_transpose",
                                    Exactness::kFast, "conv_transpose_f32_nr16", 1, transpose_ns),
    row<ConvTransposeTiles<Avx2F32>>("conv_transpose_tiles_f32_f32_f32_6x16x1_avx2",
                                     "conv_transpose", Exactness::kFast,
                                     "conv_transpose_tiles_f32_nr16", 1, transpose_tiles_ns),
};

}  // namespace

extern constinit const Table conv_avx2;
constinit const Table conv_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
