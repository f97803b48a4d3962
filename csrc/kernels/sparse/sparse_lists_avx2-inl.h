// The tiles of list rows (sparse_lists-inl.h) on ymm registers: blocks exactly in s16 pairs,
// scattered weights by byte shuffle and vpmaddubsw.
//
//   struct Step {
//     using Format, A;
//     static constexpr int kMr, kSums;   // rows of a tile, vectors of sums of a row
//     static constexpr bool kInPlace;
//     static void prepare(const int8_t* x, int64_t count, A* a);
//     struct Piece;                      // in registers
//     static Piece load(const int8_t* piece);
//     static void dot(ListSum* sums, const A* a, const Piece& piece);
//   };
#pragma once

#include "kernels/common/epilogue_avx2-inl.h"
#include "kernels/sparse/sparse_lists-inl.h"

namespace pyrt {
namespace {

// A GNU vector: g++ 12 spills arrays of __m256i.
using ListSum [[gnu::may_alias]] = int32_t __attribute__((vector_size(32)));

template <class Step>
struct ListTileAvx2 {
  using Format = typename Step::Format;
  using X = int8_t;
  using A = typename Step::A;
  using W = int8_t;
  static constexpr int kMr = Step::kMr;
  static constexpr int kKr = 1;
  static constexpr bool kInPlace = Step::kInPlace;
  static constexpr int kSums = Step::kSums;

  static void prepare(const int8_t* x, int64_t count, A* a) { Step::prepare(x, count, a); }

  // acc[kRows][16] = kRows rows times one list. Few rows have several sums each.
  template <int kRows>
  [[gnu::noinline]] static void list_of(const A* a, int64_t lda, const int64_t* taps,
                                        const SparsePlace* places, const int8_t* pieces,
                                        int64_t count, int32_t* acc) {
    constexpr int kChains = kRows * kSums < 4 ? 4 / (kRows * kSums) : 1;
    ListSum c[kChains][kRows][kSums] = {};
    for (; count >= kChains; count -= kChains) {
#pragma GCC unroll 4
      for (int u = 0; u < kChains; ++u) {
        add<kRows>(a + taps[places[u].tap] + places[u].k, lda, pieces + u * Format::kBytes, c[u]);
      }
      places += kChains;
      pieces += kChains * Format::kBytes;
    }
    for (; kChains > 1 && count > 0; --count, ++places, pieces += Format::kBytes) {
      add<kRows>(a + taps[places->tap] + places->k, lda, pieces, c[0]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 2
      for (int s = 0; s < kSums; ++s) {
        ListSum sum = c[0][r][s];
#pragma GCC unroll 4
        for (int u = 1; u < kChains; ++u) sum += c[u][r][s];
        *reinterpret_cast<ListSum*>(acc + r * kPanel + 8 * s) = sum;
      }
    }
  }
  template <int kRows>
  PYRT_INLINE static void add(const A* a, int64_t lda, const int8_t* from, ListSum (*sums)[kSums]) {
    const typename Step::Piece piece = Step::load(from);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r, a += lda) Step::dot(sums[r], a, piece);
  }

  template <int... kRows>
  struct Lists {
    using List = void (*)(const A*, int64_t, const int64_t*, const SparsePlace*, const int8_t*,
                          int64_t, int32_t*);
    static constexpr List kAll[] = {list_of<kRows>...};
  };
  static auto list_for(int64_t rows) {
    if constexpr (kMr == 4) {
      return Lists<1, 2, 3, 4>::kAll[rows - 1];
    } else {
      return Lists<1, 2, 3, 4, 5, 6, 7, 8>::kAll[rows - 1];
    }
  }

  static void tile(const Epilogue& e, int64_t rows, const A* a, int64_t lda, const int64_t* taps,
                   const SparseLists& lists, int64_t first, int64_t last, int64_t at) {
    constexpr int64_t kLists = kPanel / Format::kColumns;  // of a panel
    alignas(32) int32_t acc[kMr * kPanel];
    const auto list = list_for(rows);
    for (int64_t panel = first; panel < last; ++panel) {
      for (int64_t i = 0; i < kLists; ++i) {
        const uint32_t* starts = lists.starts + panel * kLists + i;
        list(a, lda, taps, lists.places + starts[0], lists.pieces + starts[0] * Format::kBytes,
             starts[1] - starts[0], acc + i * Format::kColumns);
      }
      const int64_t n = panel * kPanel;
      finish_s32_avx2(e, acc, kPanel, static_cast<int>(rows),
                      static_cast<int>(smaller(kPanel, lists.N - n)), n, at + n, lists.N);
    }
  }
};

struct BlocksAvx2 {
  using Format = SparseBlocks<true>;
  using A = int16_t;  // widened: vpmaddwd cannot overflow
  static constexpr int kMr = 4, kSums = 2;
  static constexpr bool kInPlace = false;

  static void prepare(const int8_t* x, int64_t count, int16_t* a) {
    int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(a + i), _mm256_cvtepi8_epi16(bytes));
    }
    for (; i < count; ++i) a[i] = x[i];
  }

  struct Piece {
    __m256i pairs[2][2];  // of the quad's pair, of columns 0-7 and 8-15
  };
  PYRT_INLINE static Piece load(const int8_t* piece) {
    Piece p;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      p.pairs[i / 2][i % 2] =
          _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(piece + 16 * i)));
    }
    return p;
  }
  PYRT_INLINE static void dot(ListSum* sums, const int16_t* a, const Piece& piece) {
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      int32_t two;
      memcpy(&two, a + 2 * i, sizeof(two));
      const __m256i pair = _mm256_set1_epi32(two);
#pragma GCC unroll 2
      for (int s = 0; s < 2; ++s) {
        sums[s] += reinterpret_cast<ListSum>(_mm256_madd_epi16(pair, piece.pairs[i][s]));
      }
    }
  }
};

// The activations of a piece of SELL with windows of 32, in place.
struct ShuffledWindow {
  __m256i low, high;  // positions in each half

  PYRT_INLINE static ShuffledWindow load(const int8_t* piece) {
    const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(piece));
    return {low, _mm256_xor_si256(low, _mm256_set1_epi8(-128))};
  }
  PYRT_INLINE static __m256i half(const uint8_t* a) {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(a)));
  }
  PYRT_INLINE __m256i values(const uint8_t* a) const {
    return _mm256_or_si256(_mm256_shuffle_epi8(half(a), low),
                           _mm256_shuffle_epi8(half(a + 16), high));
  }
};

struct SellAvx2 {
  using Format = SparseSell<Window32<true>>;
  using A = uint8_t;  // s8 + 128: the offset form of the operand
  static constexpr int kMr = 8, kSums = 1;
  static constexpr bool kInPlace = true;

  static void prepare(const int8_t* x, int64_t count, uint8_t* a) {
    memcpy(a, x, static_cast<size_t>(count));
  }

  struct Piece {
    ShuffledWindow window;
    __m256i weights;
  };
  PYRT_INLINE static Piece load(const int8_t* piece) {
    return {ShuffledWindow::load(piece),
            _mm256_loadu_si256(reinterpret_cast<const __m256i*>(piece + Format::kSlots))};
  }
  PYRT_INLINE static void dot(ListSum* sums, const uint8_t* a, const Piece& piece) {
    const __m256i pairs = _mm256_maddubs_epi16(piece.window.values(a), piece.weights);
    sums[0] += reinterpret_cast<ListSum>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};

}  // namespace
}  // namespace pyrt
