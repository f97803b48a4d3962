// gemm_sign for AVX2: bits are counted by a table of 16 entries, a nibble at a time, in bytes, and
// the bytes added up before they can overflow.
#include "kernels/sign/sign-inl.h"

namespace pyrt {
namespace {

// A GNU vector: g++ 12 spills arrays of __m256i.
using Vector [[gnu::may_alias]] = int64_t __attribute__((vector_size(32)));

PYRT_INLINE Vector splat(uint64_t value) {
  return reinterpret_cast<Vector>(_mm256_set1_epi64x(static_cast<int64_t>(value)));
}
PYRT_INLINE Vector looked_up(Vector nibbles) {
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,  //
                                         0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  return reinterpret_cast<Vector>(_mm256_shuffle_epi8(table, reinterpret_cast<__m256i>(nibbles)));
}
PYRT_INLINE Vector add_bytes(Vector a, Vector b) {
  return reinterpret_cast<Vector>(
      _mm256_add_epi8(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}

struct Avx2Sign {
  static constexpr int kPanels = 1;

  [[gnu::noinline]] static void tile(const SignRow& row, const uint64_t* w, int64_t words, int,
                                     int32_t* counts) {
    constexpr int64_t kBytesHold = 31;  // words: 8 bits each, below 256
    const Vector nibbles = splat(0x0f0f0f0f0f0f0f0f);
    Vector sum[2] = {};
    for (int64_t k = 0; k < words;) {
      const int64_t end = smaller(words, k + kBytesHold);
      Vector bytes[2] = {};
      for (; k < end; ++k, w += kSignPanel) {
        const Vector negative = splat(row.negative[k]), nonzero = splat(row.nonzero[k]);
#pragma GCC unroll 2
        for (int half = 0; half < 2; ++half) {
          const auto* from = reinterpret_cast<const __m256i*>(w + 4 * half);
          const Vector bits = reinterpret_cast<Vector>(_mm256_loadu_si256(from));
          const Vector differ = (bits ^ negative) & nonzero;
          const Vector both =
              add_bytes(looked_up(differ & nibbles), looked_up((differ >> 4) & nibbles));
          bytes[half] = add_bytes(bytes[half], both);
        }
      }
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        sum[half] += reinterpret_cast<Vector>(
            _mm256_sad_epu8(reinterpret_cast<__m256i>(bytes[half]), _mm256_setzero_si256()));
      }
    }
    for (int i = 0; i < 8; ++i) counts[i] = static_cast<int32_t>(sum[i / 4][i % 4]);
  }
};

// Zen 4 at 3.4 GHz.
double cost_ns(const Problem& problem) { return sign_cost_ns<Avx2Sign>(4, problem); }

constexpr Row kRows[] = {
    sign_row<Avx2Sign>("gemm_sign_f32_u1_f32_1x8x64_avx2", kPresetAvx2, cost_ns)};

}  // namespace

extern constinit const Table sign_avx2;
constinit const Table sign_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
