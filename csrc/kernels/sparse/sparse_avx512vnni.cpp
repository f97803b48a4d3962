// Sparse list rows for AVX-512 with VNNI: blocks of 16 x 4 by vpdpbusd.
#include "kernels/sparse/sparse_lists_avx512-inl.h"

namespace pyrt {
namespace {

struct BlockStep {
  using Format = SparseBlocks;

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
using Vnni = ListTile512<BlockStep>;

// Zen 4 at 3.5 GHz.
constexpr ListRates kRates{0.29, 0.3, 8, 0.7};

double gemm_ns(const Problem& p) { return list_ns<Vnni, GemmParams>(kRates, p); }
double conv_ns(const Problem& p) { return list_ns<Vnni, ConvParams>(kRates, p); }

constexpr Row kRows[] = {
    list_row<Vnni, GemmParams>("gemm_s8_blocks_s32_16x16x4_avx512vnni", kPresetAvx512Vnni,
                               "sparse_s8_blocks", gemm_ns),
    list_row<Vnni, ConvParams>("conv_s8_blocks_s32_16x16x4_avx512vnni", kPresetAvx512Vnni,
                               "sparse_s8_blocks", conv_ns),
};

}  // namespace

extern constinit const Table sparse_avx512vnni;
constinit const Table sparse_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
