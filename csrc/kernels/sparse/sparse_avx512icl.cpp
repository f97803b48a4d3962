// Sparse list rows for AVX-512 with VNNI and VBMI: scattered zeros by vpermb and vpdpbusd.
#include "kernels/sparse/sparse_lists_avx512-inl.h"

namespace pyrt {
namespace {

struct SellStep {
  using Format = SparseSell<Window64>;

  struct Piece {
    __m512i positions, weights;
  };

  PYRT_INLINE static Piece load(const int8_t* piece) {
    return {_mm512_loadu_si512(piece), _mm512_loadu_si512(piece + 64)};
  }
  PYRT_INLINE static S32x16 dot(S32x16 sum, const uint8_t* a, const Piece& piece) {
    const __m512i values = _mm512_permutexvar_epi8(piece.positions, _mm512_loadu_si512(a));
    return reinterpret_cast<S32x16>(
        _mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum), values, piece.weights));
  }
};
using Icl = ListTile512<SellStep>;

// Zen 4 at 3.5 GHz.
constexpr ListRates kRates{0.47, 0.9, 8, 1.0};

double gemm_ns(const Problem& p) { return list_ns<Icl, GemmParams>(kRates, p); }
double conv_ns(const Problem& p) { return list_ns<Icl, ConvParams>(kRates, p); }

constexpr Row kRows[] = {
    list_row<Icl, GemmParams>("gemm_s8_sell_s32_16x16x4_avx512icl", kPresetAvx512Icl,
                              "sparse_s8_sell", gemm_ns),
    list_row<Icl, ConvParams>("conv_s8_sell_s32_16x16x4_avx512icl", kPresetAvx512Icl,
                              "sparse_s8_sell", conv_ns),
};

}  // namespace

extern constinit const Table sparse_avx512icl;
constinit const Table sparse_avx512icl{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
