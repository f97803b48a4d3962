// The tile of list rows (sparse_lists-inl.h) on zmm registers: a panel's 16 sums are one, and s8
// outputs leave from registers.
//
//   struct Step {
//     using Format;
//     struct Piece;                          // in registers
//     static Piece load(const int8_t* piece);
//     // The piece's weights times the activations at a, added to sum.
//     static S32x16 dot(S32x16 sum, const uint8_t* a, const Piece& piece);
//   };
#pragma once

#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/sparse/sparse_lists-inl.h"

namespace pyrt {
namespace {

// A GNU vector: g++ 12 spills arrays of __m512i where an epilogue shares their function.
using S32x16 [[gnu::may_alias]] = int32_t __attribute__((vector_size(64)));

// Quantises sums of up to 16 columns.
struct Quantize512 {
  __mmask16 columns;
  __m512i base;
  __m512 scale, lo, hi;
  __m512i zero_point;
  __m512i mask;  // of the output's offset

  PYRT_INLINE __m512i s32(S32x16 sum) const {
    const __m512i acc = _mm512_add_epi32(reinterpret_cast<__m512i>(sum), base);
    __m512 f = _mm512_mul_ps(_mm512_cvtepi32_ps(acc), scale);
    f = _mm512_min_ps(_mm512_max_ps(f, lo), hi);
    return _mm512_add_epi32(_mm512_cvtps_epi32(f), zero_point);
  }
  PYRT_INLINE void store1(S32x16 sum, uint8_t* y) const {
    const __m128i bytes = _mm512_cvtepi32_epi8(s32(sum));
    _mm_mask_storeu_epi8(y, columns, _mm_xor_si128(bytes, _mm512_castsi512_si128(mask)));
  }
  // Four rows of 16 columns at once: packing puts 4 columns of each row side by side, a permutation
  // the rows.
  PYRT_INLINE void store4(const S32x16* sums, uint8_t* y, int64_t ldy) const {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low = _mm512_packs_epi32(s32(sums[0]), s32(sums[1]));
    const __m512i high = _mm512_packs_epi32(s32(sums[2]), s32(sums[3]));
    __m512i bytes = _mm512_xor_si512(_mm512_packs_epi16(low, high), mask);
    bytes = _mm512_permutexvar_epi32(order, bytes);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y), _mm512_castsi512_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + ldy), _mm512_extracti32x4_epi32(bytes, 1));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 2 * ldy), _mm512_extracti32x4_epi32(bytes, 2));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(y + 3 * ldy), _mm512_extracti32x4_epi32(bytes, 3));
  }
};

template <class Step>
struct ListTile512 {
  using Format = typename Step::Format;
  using X = int8_t;
  using A = uint8_t;  // s8 + 128: the offset form of the operand
  using W = int8_t;
  static constexpr int kMr = 16;
  static constexpr int kKr = 1;
  static constexpr bool kInPlace = true;

  static void prepare(const int8_t* x, int64_t count, uint8_t* a) {
    memcpy(a, x, static_cast<size_t>(count));
  }

  static bool quantizes(const Epilogue& e) {
    return e.params.has_scale && e.params.output == DType::kS8 && e.residual == nullptr;
  }
  PYRT_INLINE static Quantize512 quantize(const Epilogue& e, int64_t n, int columns) {
    const ChannelVectors512 v = load_channels_avx512(e, n, columns);
    return {v.mask,
            v.base,
            v.scale,
            _mm512_set1_ps(e.params.q_lo),
            _mm512_set1_ps(e.params.q_hi),
            _mm512_set1_epi32(e.params.y_zero_point),
            _mm512_set1_epi8(static_cast<char>(e.y_mask))};
  }

  // A piece times kRows rows, lda elements apart.
  template <int kRows>
  PYRT_INLINE static void add(const uint8_t* a, int64_t lda, const int8_t* from, S32x16* sums) {
    const typename Step::Piece piece = Step::load(from);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r, a += lda) sums[r] = Step::dot(sums[r], a, piece);
  }

  template <int kRows>
  [[gnu::noinline]] static void tile_of(const Epilogue& e, const uint8_t* a, int64_t lda,
                                        const int64_t* taps, const SparseLists& lists,
                                        int64_t first, int64_t last, int64_t at) {
    // Few rows have several sums each: chains enough for the latency of 4 cycles.
    constexpr int kChains = kRows < 4 ? 4 / kRows : 1;
    const SparsePlace* places = lists.places + lists.starts[first];
    const int8_t* pieces = lists.pieces + lists.starts[first] * Format::kBytes;
    for (int64_t panel = first; panel < last; ++panel) {
      S32x16 c[kChains][kRows] = {};
      int64_t count = lists.starts[panel + 1] - lists.starts[panel];
      for (; count >= kChains; count -= kChains) {
#pragma GCC unroll 4
        for (int u = 0; u < kChains; ++u) {
          add<kRows>(a + taps[places[u].tap] + places[u].k, lda, pieces + u * Format::kBytes, c[u]);
        }
        places += kChains;
        pieces += kChains * Format::kBytes;
      }
      if (kChains > 1 && count > 0) {  // at once: a loop would end unforeseen
        alignas(64) static constexpr int8_t kNothing[Format::kBytes] = {};
#pragma GCC unroll 4
        for (int u = 0; u < kChains - 1; ++u) {
          const bool there = u < count;
          const SparsePlace place = places[there ? u : 0];
          add<kRows>(a + taps[place.tap] + place.k, lda,
                     there ? pieces + u * Format::kBytes : kNothing, c[u]);
        }
        places += count;
        pieces += count * Format::kBytes;
      }
#pragma GCC unroll 4
      for (int u = 1; u < kChains; ++u) {
#pragma GCC unroll 3
        for (int r = 0; r < kRows; ++r) c[0][r] += c[u][r];
      }
      const int64_t n = panel * kPanel;
      const int columns = static_cast<int>(smaller(kPanel, lists.N - n));
      if (quantizes(e)) {
        const Quantize512 q = quantize(e, n, columns);
        auto* y = static_cast<uint8_t*>(e.y) + at + n;
        int done = 0;
        if (columns == kPanel) {
          done = kRows / 4 * 4;
#pragma GCC unroll 4
          for (int r = 0; r + 4 <= kRows; r += 4) q.store4(c[0] + r, y + r * lists.N, lists.N);
        }
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) {
          if (r >= done) q.store1(c[0][r], y + r * lists.N);
        }
      } else {
        alignas(64) S32x16 acc[kRows];  // the sums themselves would go to memory
#pragma GCC unroll 16
        for (int r = 0; r < kRows; ++r) acc[r] = c[0][r];
        finish_s32_avx512(e, reinterpret_cast<const int32_t*>(acc), kPanel, kRows, columns, n,
                          at + n, lists.N);
      }
    }
  }
  template <int... kRows>
  struct Tiles {
    using Tile = void (*)(const Epilogue&, const uint8_t*, int64_t, const int64_t*,
                          const SparseLists&, int64_t, int64_t, int64_t);
    static constexpr Tile kAll[] = {tile_of<kRows>...};
  };
  static void tile(const Epilogue& e, int64_t rows, const uint8_t* a, int64_t lda,
                   const int64_t* taps, const SparseLists& lists, int64_t first, int64_t last,
                   int64_t at) {
    using All = Tiles<1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16>;
    All::kAll[rows - 1](e, a, lda, taps, lists, first, last, at);
  }
};

}  // namespace
}  // namespace pyrt
