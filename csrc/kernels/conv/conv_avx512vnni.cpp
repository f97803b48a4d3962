// conv and conv_transpose rows for AVX-512 with VNNI, with the arithmetic of gemm.
#include "kernels/conv/conv_rows-inl.h"
#include "kernels/conv/conv_transpose_rows-inl.h"
#include "kernels/conv/conv_transpose_tiles-inl.h"
#include "kernels/conv/winograd-inl.h"
#include "kernels/gemm/gemm_avx512vnni-inl.h"

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
  const Product512& rates = Rows::kInteger ? kAvx512S8Rates : kAvx512F32Rates;
  const ConvGeometry g = Rows::Lines::geometry(p);
  return kCallNs + Rows::prepare_ns(problem) +
         static_cast<double>(p.group) * product_ns_avx512(rates, static_cast<double>(g.M()),
                                                          static_cast<double>(p.N()),
                                                          static_cast<double>(g.K()), false);
}

// As in conv_avx2.cpp.
double winograd_ns(const Problem& problem) {
  using Rows = WinogradRows<Avx512F32>;
  const auto& p = problem.as<ConvParams>();
  const Rows::Blocks b = Rows::blocks(p);
  const auto tiles = static_cast<double>(Rows::tiles(p));
  const auto C = static_cast<double>(p.C);
  const auto O = static_cast<double>(p.O);
  const auto blocks = static_cast<double>(b.m_blocks);
  const double weight_bytes = O * C * Rows::kElements * 4;
  return kCallNs + tiles * (C * 4 + O * 3.5) + (weight_bytes > 4e6 ? weight_bytes / 13 : 0) +
         Rows::kElements * blocks *
             (40 + product_ns_avx512(kAvx512F32Rates, tiles / blocks, O, C, false));
}

double transpose_ns(const Problem& problem) {
  const auto& p = problem.as<ConvParams>();
  const auto phases = static_cast<double>(p.stride_h * p.stride_w);
  const double pixels = static_cast<double>(p.B * p.OH * p.OW);
  return kCallNs + pixels * kLocateNs +
         phases * static_cast<double>(p.group) *
             product_ns_avx512(kAvx512F32Rates, pixels / phases + 1, static_cast<double>(p.N()),
                               static_cast<double>(p.K()) / phases + 1, true);
}

double transpose_tiles_ns(const Problem& problem) {
  using Tiles = ConvTransposeTiles<Avx512F32>;
  const auto& p = problem.as<ConvParams>();
  const auto M = static_cast<double>(Tiles::M(p));
  const auto N = static_cast<double>(Tiles::columns(p));
  return kCallNs + M * N * kStoreNs +
         product_ns_avx512(kAvx512F32Rates, M, N, static_cast<double>(p.C), false);
}

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

constexpr Row kRows[] = {
    row<ConvRows<Avx512F32>>("conv_f32_f32_f32_6x64x1_avx512vnni", "conv", Exactness::kFast,
                             Offset::kNever, "conv_f32_nr16", 1, conv_ns<Avx512F32>),
    row<WinogradRows<Avx512F32>>("conv_f32_winograd_f32_6x64x1_avx512vnni", "conv",
                                 Exactness::kFast, Offset::kNever, "conv_f32_winograd_nr16", 1,
                                 winograd_ns),
    row<ConvRows<Avx512S8>>("conv_s8_s8_s32_6x64x4_avx512vnni", "conv", Exactness::kExact,
                            Offset::kTakes, "conv_s8_nr16kr4", 4, conv_ns<Avx512S8>),
    row<ConvTransposeRows<Avx512F32>>("conv_transpose_f32_f32_f32_6x64x1_avx512vnni",
                                      "conv_transpose", Exactness::kFast, Offset::kNever,
                                      "conv_transpose_f32_nr16", 1, transpose_ns),
    row<ConvTransposeTiles<Avx512F32>>("conv_transpose_tiles_f32_f32_f32_6x64x1_avx512vnni",
                                       "conv_transpose", Exactness::kFast, Offset::kNever,
                                       "conv_transpose_tiles_f32_nr16", 1, transpose_tiles_ns),
};

}  // namespace

extern constinit const Table conv_avx512vnni;
constinit const Table conv_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
