// gemm_sign by vpopcntq: 64 products in each of 8 columns with three instructions.
#include "kernels/sign/sign-inl.h"

namespace pyrt {
namespace {

struct IclSign {
  static constexpr int kPanels = 4;

  template <int kCount>
  [[gnu::noinline]] static void tile_of(const SignRow& row, const uint64_t* w, int64_t words,
                                        int32_t* counts) {
    __m512i sum[kCount];
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) sum[i] = _mm512_setzero_si512();
    for (int64_t k = 0; k < words; ++k, w += kSignPanel) {
      const __m512i negative = _mm512_set1_epi64(static_cast<int64_t>(row.negative[k]));
      const __m512i nonzero = _mm512_set1_epi64(static_cast<int64_t>(row.nonzero[k]));
#pragma GCC unroll 4
      for (int i = 0; i < kCount; ++i) {
        const __m512i bits = _mm512_loadu_si512(w + i * words * kSignPanel);
        const __m512i differ = _mm512_and_si512(_mm512_xor_si512(bits, negative), nonzero);
        sum[i] = _mm512_add_epi64(sum[i], _mm512_popcnt_epi64(differ));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) {
      alignas(64) int64_t lanes[kSignPanel];
      _mm512_store_si512(lanes, sum[i]);
      for (int j = 0; j < kSignPanel; ++j) {
        counts[i * kSignPanel + j] = static_cast<int32_t>(lanes[j]);
      }
    }
  }

  static void tile(const SignRow& row, const uint64_t* w, int64_t words, int panels,
                   int32_t* counts) {
    if (panels == 4) return tile_of<4>(row, w, words, counts);
    if (panels == 2) return tile_of<2>(row, w, words, counts);
    tile_of<1>(row, w, words, counts);
  }
};

// Zen 4 at 3.4 GHz, from L2.
double cost_ns(const Problem& problem) { return sign_cost_ns<IclSign>(12, problem); }

constexpr Row kRows[] = {
    sign_row<IclSign>("gemm_sign_f32_u1_f32_1x32x64_avx512icl", kPresetAvx512Icl, cost_ns)};

}  // namespace

extern constinit const Table sign_avx512icl;
constinit const Table sign_avx512icl{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
