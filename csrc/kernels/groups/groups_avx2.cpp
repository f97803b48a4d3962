// gemm_groups for AVX2: vpmaddubsw with one nibble of each byte as the unsigned operand. All bits
// are done by nibbles: at 4 bits a nibble is a weight, at 2 bits it is masked for the two it holds
// (the upper one counts four times), at 8 bits the upper nibble of a weight counts 16 times.
//
// Two nibbles of two blocks fit 16 bits (4 * 2 products * 15 * 127 < 2^15) and are widened together
// where they count alike.
#include "kernels/groups/groups-inl.h"
#include "kernels/groups/quantize_groups_avx2-inl.h"

namespace pyrt {
namespace {

// GNU vectors: g++ 12 spills arrays of __m256i.
using Int [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));
using Float [[gnu::may_alias]] = float __attribute__((vector_size(32)));

PYRT_INLINE Int broadcast(const int8_t* four) {
  int32_t value;
  memcpy(&value, four, sizeof(value));
  return reinterpret_cast<Int>(_mm256_set1_epi32(value));
}
PYRT_INLINE Int splat(int32_t value) { return reinterpret_cast<Int>(_mm256_set1_epi32(value)); }
PYRT_INLINE Int load(const uint8_t* from) {
  return reinterpret_cast<Int>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
PYRT_INLINE Int upper(Int bytes) {  // nibbles, with bits of the next byte
  return reinterpret_cast<Int>(_mm256_srli_epi16(reinterpret_cast<__m256i>(bytes), 4));
}
PYRT_INLINE Int products(Int u, Int a) {
  return reinterpret_cast<Int>(
      _mm256_maddubs_epi16(reinterpret_cast<__m256i>(u), reinterpret_cast<__m256i>(a)));
}
PYRT_INLINE Int add16(Int a, Int b) {
  return reinterpret_cast<Int>(
      _mm256_add_epi16(reinterpret_cast<__m256i>(a), reinterpret_cast<__m256i>(b)));
}
PYRT_INLINE Int widen(Int sums, int16_t factor) {
  return reinterpret_cast<Int>(
      _mm256_madd_epi16(reinterpret_cast<__m256i>(sums), _mm256_set1_epi16(factor)));
}
PYRT_INLINE Float to_float(Int value) {
  return reinterpret_cast<Float>(_mm256_cvtepi32_ps(reinterpret_cast<__m256i>(value)));
}

// Eight scales or zero points of columns from 8 * half on.
PYRT_INLINE Float load_scales(const GroupTile& t, int64_t group, int half) {
  const int64_t at = group * kPanel + 8 * half;
  if (t.half) {
    const auto* from = reinterpret_cast<const __m128i*>(static_cast<const uint16_t*>(t.scale) + at);
    return reinterpret_cast<Float>(_mm256_cvtph_ps(_mm_loadu_si128(from)));
  }
  return reinterpret_cast<Float>(_mm256_loadu_ps(static_cast<const float*>(t.scale) + at));
}
PYRT_INLINE Int load_zeros(const GroupTile& t, int64_t group, int half) {
  const auto* from = reinterpret_cast<const __m128i*>(t.zero + group * kPanel + 8 * half);
  return reinterpret_cast<Int>(_mm256_cvtepu8_epi32(_mm_loadl_epi64(from)));
}

struct Avx2Groups {
  static constexpr auto quantize = quantize_group_avx2;
  static constexpr int rows() { return 1; }
  static constexpr int panels(int, int) { return 1; }

  // Adds a block, or two of them, of 16 columns to sum[2], sums of q * u.
  template <int kBits, int kBlocks>
  PYRT_INLINE static void add_blocks(const int8_t* x, const uint8_t* w, Int sum[2]) {
    constexpr int kBlockK = 32 / kBits;
    const Int nibbles = splat(kBits == 2 ? 0x03030303 : 0x0f0f0f0f);
    Int low[2] = {}, high[2] = {};  // those that count once, and more
#pragma GCC unroll 2
    for (int b = 0; b < kBlocks; ++b, x += kBlockK) {
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Int bytes = load(w + b * kGroupBlock + 32 * half);
        const Int lo = bytes & nibbles, hi = upper(bytes) & nibbles;
        if constexpr (kBits == 8) {
          low[half] = add16(low[half], products(lo, broadcast(x)));
          high[half] = add16(high[half], products(hi, broadcast(x)));
        } else {
          constexpr int kNext = kBits == 4 ? 4 : 8;  // from a lower nibble to the upper one
          const Int both = add16(products(lo, broadcast(x)), products(hi, broadcast(x + kNext)));
          low[half] = add16(low[half], both);
        }
        if constexpr (kBits == 2) {
          const Int mask = splat(0x0c0c0c0c);
          const Int both = add16(products(bytes & mask, broadcast(x + 4)),
                                 products(upper(bytes) & mask, broadcast(x + 12)));
          high[half] = add16(high[half], both);
        }
      }
    }
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      if (kBits == 4) sum[half] += widen(low[half], 1);
      if (kBits == 8) sum[half] += widen(low[half], 1) + widen(high[half], 16);
      if (kBits == 2) {  // four times the sum, as that of the upper two bits is
        const Int twice = add16(low[half], low[half]);
        sum[half] += widen(add16(add16(twice, twice), high[half]), 1);
      }
    }
  }

  template <int kBits>
  [[gnu::noinline]] static void add_group(const int8_t* x, const uint8_t* w, int64_t blocks,
                                          Int* dots) {
    // At 2 bits two blocks do not fit the registers.
    constexpr int kBlockK = 32 / kBits, kAtOnce = kBits == 2 ? 1 : 2;
    Int sum[2] = {};
    for (; blocks >= kAtOnce; blocks -= kAtOnce, x += kAtOnce * kBlockK) {
      add_blocks<kBits, kAtOnce>(x, w, sum);
      w += kAtOnce * kGroupBlock;
    }
    if (blocks > 0) add_blocks<kBits, 1>(x, w, sum);
    dots[0] = kBits == 2 ? sum[0] >> 2 : sum[0];
    dots[1] = kBits == 2 ? sum[1] >> 2 : sum[1];
  }

  template <int kBits>
  static void tile(const GroupTile& t, int, int) {
    Float acc[2] = {};
    for (int64_t g = 0; g < t.groups; ++g) {
      alignas(32) Int dots[2];
      add_group<kBits>(t.a.q + g * t.group, t.w + g * t.blocks * kGroupBlock, t.blocks, dots);
      const int32_t total = t.a.total[g];
      const Float a_scale = reinterpret_cast<Float>(_mm256_set1_ps(t.a.scale[g]));
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const Int zero = t.zero == nullptr ? splat(1 << (kBits - 1)) : load_zeros(t, g, half);
        const Int dot = dots[half] - zero * splat(total);
        acc[half] += to_float(dot) * a_scale * load_scales(t, g, half);
      }
    }
    _mm256_storeu_ps(t.acc, reinterpret_cast<__m256>(acc[0]));
    _mm256_storeu_ps(t.acc + 8, reinterpret_cast<__m256>(acc[1]));
  }
};

// Zen 4 at 3.4 GHz.
constexpr GroupsRates kRates{95, 60, 4};

double cost_ns(const Problem& p) { return groups_cost_ns<Avx2Groups>(kRates, p); }

constexpr Row kRows[] = {
    groups_row<Avx2Groups>("gemm_groups_f32_u8_f32_1x16_avx2", kPresetAvx2, cost_ns)};

}  // namespace

extern constinit const Table groups_avx2;
constinit const Table groups_avx2{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
