// Sparse list rows for AVX-VNNI: vpdpbusd in VEX form.
#include "kernels/gemm/gemm_avxvnni-inl.h"
#include "kernels/sparse/sparse_lists_ymm-inl.h"

namespace pyrt {
namespace {

using Blocks = ListTileAvx2<BlocksYmm<DotVex>>;
using Sell = ListTileAvx2<SellYmm<DotVex>>;

// Those of the EVEX form on Zen 4 at 3.5 GHz; not measured on a CPU with AVX-VNNI.
constexpr ListRates kBlocks{0.4, 0.6, 8, 1.5};
constexpr ListRates kSell{0.5, 0.5, 8, 1.5};

double blocks_gemm_ns(const Problem& p) { return list_ns<Blocks, GemmParams>(kBlocks, p); }
double blocks_conv_ns(const Problem& p) { return list_ns<Blocks, ConvParams>(kBlocks, p); }
double sell_gemm_ns(const Problem& p) { return list_ns<Sell, GemmParams>(kSell, p); }
double sell_conv_ns(const Problem& p) { return list_ns<Sell, ConvParams>(kSell, p); }

constexpr Row kRows[] = {
    list_row<Blocks, GemmParams>("gemm_s8_blocks_s32_4x16x4_avxvnni", kPresetAvxVnni,
                                 "sparse_s8_blocks", blocks_gemm_ns),
    list_row<Blocks, ConvParams>("conv_s8_blocks_s32_4x16x4_avxvnni", kPresetAvxVnni,
                                 "sparse_s8_blocks", blocks_conv_ns),
    list_row<Sell, GemmParams>("gemm_s8_sell_s32_8x8x4_avxvnni", kPresetAvxVnni, "sparse_s8_sell32",
                               sell_gemm_ns),
    list_row<Sell, ConvParams>("conv_s8_sell_s32_8x8x4_avxvnni", kPresetAvxVnni, "sparse_s8_sell32",
                               sell_conv_ns),
};

}  // namespace

extern constinit const Table sparse_avxvnni;
constinit const Table sparse_avxvnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
