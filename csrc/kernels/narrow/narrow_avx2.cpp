// Narrow rows for AVX2: vpmaddubsw with the weights, shifted by a nibble or masked, as its unsigned
// operand. The sums of two blocks of 4 bits fit 16 bits (2 blocks * 2 nibbles * 2 products * 15 *
// 128 < 2^15), and so do those of all fields of two blocks of fewer bits, each times the power of
// two that brings it to the highest field of its nibble (2 * 2 * 2 * 4 fields * 8 * 128 = 2^15,
// which only -128 reaches, below zero). Then vpmaddwd widens them.
#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/narrow/narrow-inl.h"

namespace pyrt {
namespace {

// A GNU vector: g++ 12 spills arrays of __m256i.
using Vector [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));

PYRT_INLINE Vector broadcast(const int8_t* four) {
  int32_t value;
  memcpy(&value, four, sizeof(value));
  return reinterpret_cast<Vector>(_mm256_set1_epi32(value));
}
PYRT_INLINE Vector products(Vector u, Vector a) {
  return reinterpret_cast<Vector>(
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(u), reinterpret_cast<__m256i>(a)));
}
PYRT_INLINE Vector add16(Vector a, Vector b) {
  return reinterpret_cast<Vector>(
      _mm256_add_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
PYRT_INLINE Vector widen(Vector sums) {
  return reinterpret_cast<Vector>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(sums), _mm256_set1_epi16(1)));
}

PYRT_INLINE Vector load(const uint8_t* from) {
  return reinterpret_cast<Vector>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
PYRT_INLINE void store(int32_t* to, Vector value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(value));
}
PYRT_INLINE Vector shifted_nibble(Vector bytes) {  // the upper one, with bits of the next byte
  return reinterpret_cast<Vector>(_mm256_srli_epi16(reinterpret_cast<__m256i>(bytes), 4));
}
PYRT_INLINE Vector nibbles() { return reinterpret_cast<Vector>(_mm256_set1_epi8(15)); }

struct Avx2Narrow {
  static constexpr int rows(int) { return 1; }
  static constexpr int panels(int, int) { return 1; }

  // Adds kBlocks <= 2 blocks of 4 bits.
  template <int kBlocks>
  PYRT_INLINE static void add_nibbles(const int8_t* x, const uint8_t* w, Vector sum[2]) {
    Vector sums[2] = {};
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b) {
      const Vector x0 = broadcast(x + 8 * b), x1 = broadcast(x + 8 * b + 4);
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Vector bytes = load(w + b * kNarrowBlock + 32 * half);
        sums[half] = add16(sums[half], add16(products(bytes & nibbles(), x0),
                                             products(shifted_nibble(bytes) & nibbles(), x1)));
      }
    }
    sum[0] += widen(sums[0]);
    sum[1] += widen(sums[1]);
  }

  [[gnu::noinline]] static void tile_of_nibbles(const int8_t* x, const uint8_t* w, int64_t blocks,
                                                int32_t* acc) {
    Vector sum[2] = {};
    for (; blocks >= 2; blocks -= 2, x += 16, w += 2 * kNarrowBlock) add_nibbles<2>(x, w, sum);
    if (blocks > 0) add_nibbles<1>(x, w, sum);
    store(acc, sum[0]);
    store(acc + 8, sum[1]);
  }

  // The 8 sums over kBlocks <= 2 blocks of half a panel, each times 2^(4 - kBits).
  template <int kBits, int kBlocks>
  PYRT_INLINE static Vector sum_blocks(const int8_t* x, const uint8_t* w) {
    constexpr int kFields = 4 / kBits;  // of a nibble
    Vector lo[kBlocks], hi[kBlocks];
#pragma GCC unroll 4
    for (int b = 0; b < kBlocks; ++b) {
      lo[b] = load(w + b * kNarrowBlock);
      hi[b] = shifted_nibble(lo[b]);
    }
    Vector sums = {};
#pragma GCC unroll 4
    for (int f = 0; f < kFields; ++f) {
      for (int bit = 0; f > 0 && bit < kBits; ++bit) sums = add16(sums, sums);
      const Vector mask = reinterpret_cast<Vector>(
          _mm256_set1_epi8(static_cast<char>(((1 << kBits) - 1) << (f * kBits))));
#pragma GCC unroll 4
      for (int b = 0; b < kBlocks; ++b) {
        const int8_t* at = x + (b * 2 * kFields + f) * 4;
        sums = add16(sums, add16(products(lo[b] & mask, broadcast(at)),
                                 products(hi[b] & mask, broadcast(at + 4 * kFields))));
      }
    }
    return widen(sums);
  }

  // Fewer bits take 8 columns at a time: 16 and their masks do not fit the registers.
  template <int kBits>
  [[gnu::noinline]] static void half_tile(const int8_t* x, const uint8_t* w, int64_t blocks,
                                          int32_t* acc) {
    constexpr int kBlockK = 32 / kBits;
    Vector sum = {};
    for (; blocks >= 2; blocks -= 2, x += 2 * kBlockK, w += 2 * kNarrowBlock) {
      sum += sum_blocks<kBits, 2>(x, w);
    }
    if (blocks > 0) sum += sum_blocks<kBits, 1>(x, w);
    store(acc, sum >> (4 - kBits));
  }

  template <int kBits>
  static void tile(int, int, const int8_t* const* a, const uint8_t* w, int64_t blocks,
                   int32_t* acc) {
    if constexpr (kBits == 4) return tile_of_nibbles(a[0], w, blocks, acc);
    half_tile<kBits>(a[0], w, blocks, acc);
    half_tile<kBits>(a[0], w + kNarrowBlock / 2, blocks, acc + kPanel / 2);
  }

  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx2(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};

// Zen 4 at 3.4 GHz: 95 to 105 multiply-adds a nanosecond at all bits; of equals, fewer bits.
template <int kBits>
double cost_ns(const Problem& p) {
  constexpr double kMacs = kBits == 4 ? 98 : (kBits == 2 ? 100 : 106);
  return narrow_cost_ns<Avx2Narrow, kBits>({60, kMacs, 0.5, 60}, p);
}

constexpr Row kRows[] = {
    narrow_row<Avx2Narrow, 4>("gemm_s8_u4_s32_1x16x8_avx2", kPresetAvx2, cost_ns<4>),
    narrow_row<Avx2Narrow, 2>("gemm_s8_u2_s32_1x16x16_avx2", kPresetAvx2, cost_ns<2>),
    narrow_row<Avx2Narrow, 1>("gemm_s8_u1_s32_1x16x32_avx2", kPresetAvx2, cost_ns<1>),
};

}  // namespace

extern constinit const Table narrow_avx2;
constinit const Table narrow_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
