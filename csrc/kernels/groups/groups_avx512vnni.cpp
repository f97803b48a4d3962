// gemm_groups for AVX-512 with VNNI: masked weights are the unsigned operand of vpdpbusd, the
// quantised activations the signed one.
//
// One row has an accumulator for each field of a byte and shifts the sums, once for a group; more
// rows shift the weights, once for all of them.
#include "kernels/groups/groups-inl.h"
#include "kernels/groups/quantize_groups_avx2-inl.h"

namespace pyrt {
namespace {

// GNU vectors: g++ 12 spills arrays of __m512i when other code follows the loop.
using Int [[gnu::may_alias]] = int32_t __attribute__((vector_size(64)));
using Float [[gnu::may_alias]] = float __attribute__((vector_size(64)));

// Bytes ahead, from L3: 4 % with 2 MB of weights, nothing from L2.
constexpr int64_t kPrefetch = 256;

PYRT_INLINE Int broadcast(int32_t value) { return reinterpret_cast<Int>(_mm512_set1_epi32(value)); }
PYRT_INLINE Int load_block(const uint8_t* from) {
  auto block = reinterpret_cast<Int>(_mm512_loadu_si512(from));
#if !defined(PYRT_EMULATE_AVX512)
  asm("" : "+v"(block));  // else g++ 12 loads it again for every mask
#endif
  return block;
}
PYRT_INLINE Int dot(Int sum, Int u, Int a) {
  return reinterpret_cast<Int>(_mm512_dpbusd_epi32(
      reinterpret_cast<__m512i>(sum), reinterpret_cast<__m512i>(u), reinterpret_cast<__m512i>(a)));
}

// The scales of 16 columns.
PYRT_INLINE Float load_scales(const GroupTile& t, int64_t group) {
  if (t.half) {
    const auto* half = static_cast<const uint16_t*>(t.scale) + group * kPanel;
    return reinterpret_cast<Float>(
        _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(half))));
  }
  return reinterpret_cast<Float>(
      _mm512_loadu_ps(static_cast<const float*>(t.scale) + group * kPanel));
}

PYRT_INLINE Int load_zeros(const GroupTile& t, int64_t group) {
  const auto* from = reinterpret_cast<const __m128i*>(t.zero + group * kPanel);
  return reinterpret_cast<Int>(_mm512_cvtepu8_epi32(_mm_loadu_si128(from)));
}

PYRT_INLINE Float to_float(Int value) {
  return reinterpret_cast<Float>(_mm512_cvtepi32_ps(reinterpret_cast<__m512i>(value)));
}

struct Avx512Groups {
  static constexpr auto quantize = quantize_group_avx2;
  static constexpr int rows() { return 4; }
  static constexpr int panels(int bits, int rows) { return rows == 1 && bits != 2 ? 4 : 2; }

  // dots[kRows][kPanels] = sums of q * u of one group, from what is in them at first.
  template <int kBits, int kRows, int kPanels>
  PYRT_INLINE static void add_group(const int8_t* const* x, const uint8_t* w, int64_t panel_step,
                                    int64_t blocks, Int dots[kRows][kPanels]) {
    constexpr int kFields = 8 / kBits;
    constexpr int kOwn = kRows == 1 ? kFields : 1;  // accumulators of a row and panel
    constexpr uint32_t kLow = 0x01010101u * ((1u << kBits) - 1);
    Int c[kOwn][kRows][kPanels];
#pragma GCC unroll 4
    for (int f = 0; f < kOwn; ++f) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int i = 0; i < kPanels; ++i) c[f][r][i] = f == 0 ? dots[r][i] : Int{};
      }
    }
    for (int64_t k = 0; k < blocks * 4 * kFields; k += 4 * kFields, w += kGroupBlock) {
      Int weights[kPanels];
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i) {
        weights[i] = load_block(w + i * panel_step);
        _mm_prefetch(w + i * panel_step + kPrefetch, _MM_HINT_T0);
      }
#pragma GCC unroll 4
      for (int f = 0; f < kFields; ++f) {
        Int value[kRows];
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          int32_t four;
          memcpy(&four, x[r] + k + 4 * f, sizeof(four));
          value[r] = broadcast(four);
        }
        const int shift = kRows == 1 ? 0 : f * kBits;
        const int field = kRows == 1 ? f * kBits : 0;
        const Int mask = broadcast(static_cast<int32_t>(kLow << field));
#pragma GCC unroll 4
        for (int i = 0; i < kPanels; ++i) {
          const Int u = kBits == 8 ? weights[i] : weights[i] >> shift & mask;
#pragma GCC unroll 4
          for (int r = 0; r < kRows; ++r) {
            Int& sum = c[kOwn == 1 ? 0 : f][r][i];
            sum = dot(sum, u, value[r]);
          }
        }
      }
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i) {
        dots[r][i] = c[0][r][i];
#pragma GCC unroll 4
        for (int f = 1; f < kOwn; ++f) dots[r][i] += c[f][r][i] >> (f * kBits);
      }
    }
  }

  template <int kBits, int kRows, int kPanels>
  [[gnu::noinline]] static void tile_of(const GroupTile& t) {
    Float acc[kRows][kPanels];
    const int8_t* x[kRows];
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      x[r] = t.a.q + r * t.groups * t.group;
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i) acc[r][i] = Float{};
    }
    const int64_t group_step = t.blocks * kGroupBlock;
    for (int64_t g = 0; g < t.groups; ++g) {
      Int dots[kRows][kPanels];
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const int32_t total = t.a.total[r * t.groups + g];
#pragma GCC unroll 4
        for (int i = 0; i < kPanels; ++i) {
          dots[r][i] = t.zero == nullptr ? broadcast(-total * (1 << (kBits - 1)))
                                         : load_zeros(t, i * t.groups + g) * broadcast(-total);
        }
      }
      add_group<kBits, kRows, kPanels>(x, t.w + g * group_step, t.groups * group_step, t.blocks,
                                       dots);
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i) {
        const Float scale = load_scales(t, i * t.groups + g);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          const Float a_scale =
              reinterpret_cast<Float>(_mm512_set1_ps(t.a.scale[r * t.groups + g]));
          acc[r][i] += to_float(dots[r][i]) * a_scale * scale;
        }
      }
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) x[r] += t.group;
    }
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int i = 0; i < kPanels; ++i) {
        _mm512_store_ps(t.acc + (r * kPanels + i) * kPanel, reinterpret_cast<__m512>(acc[r][i]));
      }
    }
  }

  template <int kBits, int kRows>
  static void tile_rows(const GroupTile& t, int panels_of_tile) {
    if constexpr (panels(kBits, kRows) == 4) {
      if (panels_of_tile == 4) return tile_of<kBits, kRows, 4>(t);
    }
    if (panels_of_tile == 2) return tile_of<kBits, kRows, 2>(t);
    tile_of<kBits, kRows, 1>(t);
  }

  template <int kBits>
  static void tile(const GroupTile& t, int rows_of_tile, int panels_of_tile) {
    if (rows_of_tile == 4) return tile_rows<kBits, 4>(t, panels_of_tile);
    if (rows_of_tile == 2) return tile_rows<kBits, 2>(t, panels_of_tile);
    tile_rows<kBits, 1>(t, panels_of_tile);
  }
};

// Zen 4 at 3.4 GHz: 220 multiply-adds a nanosecond at its peak.
constexpr GroupsRates kRates{205, 90, 1.1};

double cost_ns(const Problem& p) { return groups_cost_ns<Avx512Groups>(kRates, p); }

constexpr Row kRows[] = {
    groups_row<Avx512Groups>("gemm_groups_f32_u8_f32_4x32_avx512vnni", kPresetAvx512Vnni, cost_ns)};

}  // namespace

extern constinit const Table groups_avx512vnni;
constinit const Table groups_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
