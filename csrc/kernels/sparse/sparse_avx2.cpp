// Sparse list rows for AVX2: blocks of 16 x 4, and scattered weights.
#include "kernels/sparse/sparse_lists_avx2-inl.h"

namespace pyrt {
namespace {

using Blocks = ListTileAvx2<BlocksAvx2>;
using Sell = ListTileAvx2<SellAvx2>;

// Zen 4 at 3.5 GHz.
constexpr ListRates kBlocks{0.7, 0.6, 8, 1.5};
constexpr ListRates kSell{0.62, 0.5, 8, 1.5};

double blocks_gemm_ns(const Problem& p) { return list_ns<Blocks, GemmParams>(kBlocks, p); }
double blocks_conv_ns(const Problem& p) { return list_ns<Blocks, ConvParams>(kBlocks, p); }
double sell_gemm_ns(const Problem& p) { return list_ns<Sell, GemmParams>(kSell, p); }
double sell_conv_ns(const Problem& p) { return list_ns<Sell, ConvParams>(kSell, p); }

constexpr Row kRows[] = {
    list_row<Blocks, GemmParams>("gemm_s8_blocks_s32_4x16x4_avx2", kPresetAvx2,
                                 "sparse_s8_blocks_pairs", blocks_gemm_ns),
    list_row<Blocks, ConvParams>("conv_s8_blocks_s32_4x16x4_avx2", kPresetAvx2,
                                 "sparse_s8_blocks_pairs", blocks_conv_ns),
    list_row<Sell, GemmParams>("gemm_s8_sell_s32_8x8x4_avx2", kPresetAvx2,
                               "sparse_s8_sell32_fitted", sell_gemm_ns),
    list_row<Sell, ConvParams>("conv_s8_sell_s32_8x8x4_avx2", kPresetAvx2,
                               "sparse_s8_sell32_fitted", sell_conv_ns),
};

}  // namespace

extern constinit const Table sparse_avx2;
constinit const Table sparse_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
