// Sparse list rows for AVX-512 with VNNI: blocks of 16 x 4, and scattered weights on ymm registers
// for CPUs without VBMI, whose byte shuffles stay within 16 bytes.
#include "kernels/gemm/gemm_avx512vnni-inl.h"
#include "kernels/sparse/sparse_lists_avx512-inl.h"
#include "kernels/sparse/sparse_lists_ymm-inl.h"

namespace pyrt {
namespace {

struct BlockStep {
  using Format = SparseBlocks<false>;

  struct Piece {
    __m512i weights;
  };

  PYRT_INLINE static Piece load(const int8_t* piece) { return {_mm512_loadu_si512(piece)}; }
  PYRT_INLINE static S32x16 dot(S32x16 sum, const uint8_t* a, const Piece& piece) {
    int32_t four;
    memcpy(&four, a, sizeof(four));
    return reinterpret_cast<S32x16>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                        _mm512_set1_epi32(four), piece.weights));
  }
};
using Blocks = ListTile512<BlockStep>;
using Sell = ListTileAvx2<SellYmm<DotEvex>>;

// Zen 4 at 3.5 GHz.
constexpr ListRates kBlocks{0.29, 0.3, 8, 1.0};
constexpr ListRates kSell{0.5, 0.5, 8, 1.5};

double blocks_gemm_ns(const Problem& p) { return list_ns<Blocks, GemmParams>(kBlocks, p); }
double blocks_conv_ns(const Problem& p) { return list_ns<Blocks, ConvParams>(kBlocks, p); }
double sell_gemm_ns(const Problem& p) { return list_ns<Sell, GemmParams>(kSell, p); }
double sell_conv_ns(const Problem& p) { return list_ns<Sell, ConvParams>(kSell, p); }

constexpr Row kRows[] = {
    list_row<Blocks, GemmParams>("gemm_s8_blocks_s32_16x16x4_avx512vnni", kPresetAvx512Vnni,
                                 "sparse_s8_blocks", blocks_gemm_ns),
    list_row<Blocks, ConvParams>("conv_s8_blocks_s32_16x16x4_avx512vnni", kPresetAvx512Vnni,
                                 "sparse_s8_blocks", blocks_conv_ns),
    list_row<Sell, GemmParams>("gemm_s8_sell_s32_8x8x4_avx512vnni", kPresetAvx512Vnni,
                               "sparse_s8_sell32", sell_gemm_ns),
    list_row<Sell, ConvParams>("conv_s8_sell_s32_8x8x4_avx512vnni", kPresetAvx512Vnni,
                               "sparse_s8_sell32", sell_conv_ns),
};

}  // namespace

extern constinit const Table sparse_avx512vnni;
constinit const Table sparse_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
