// The pieces of list rows (sparse.h): how the weights of a panel become a list, and how many pieces
// that is predicted to give.
//
//   struct Format {
//     static constexpr int64_t kColumns;        // of a list: 16 or 8
//     static constexpr int64_t kBytes;          // of a piece; the last 4 * kColumns are weights
//     static int64_t column(int64_t i);         // of weight i of a piece
//     // Why weights are not worth it, or null.
//     static const char* refusal(const WeightFacts& facts, const WeightView& view, int64_t taps,
//                                int64_t segment);
//     static double pieces(const WeightFacts& facts, const WeightView& view, int64_t segment);
//     static double row_time(const WeightFacts& facts, const WeightView& view);
//     // emit(SparsePlace, bytes) for every piece.
//     static void visit(const SparsePanel& panel, const Emit& emit);
//   };
#pragma once

#include "kernels/gemm/gemm-inl.h"
#include "kernels/sparse/sparse.h"

namespace pyrt {
namespace {

// The columns of a list as the product reads them: segment by segment.
struct SparsePanel {
  const int8_t* w;
  WeightView view;
  int64_t first;  // column
  int64_t taps, segment;
  bool regular;  // the columns advance alike

  // Of element k of a tap's segment; zero beyond the weights.
  PYRT_INLINE int8_t at(int64_t tap, int64_t k, int64_t column) const {
    const int64_t n = first + column;
    if (k >= segment || n >= view.N) return 0;
    return w[view.index(tap * segment + k, n)];
  }
};

// Each 16 k of each column have as many non-zeros, as with N:M.
PYRT_INLINE bool sparse_regular(const WeightFacts& facts) {
  return facts.nonzeros * 16 >= facts.count * facts.most_of_16;
}

PYRT_INLINE SparsePlace sparse_place(int64_t tap, int64_t k) {
  return {static_cast<uint16_t>(tap), static_cast<uint16_t>(k)};
}

// Quads of 16 columns: [16][4], or as pairs [2][16][2].
template <bool kPairs>
struct SparseBlocks {
  static constexpr int64_t kColumns = kPanel;
  static constexpr int64_t kBytes = 64;

  PYRT_INLINE static int64_t column(int64_t i) { return kPairs ? i / 2 % kColumns : i / 4; }
  PYRT_INLINE static int64_t in_quad(int64_t i) { return kPairs ? i / 32 * 2 + i % 2 : i % 4; }

  static const char* refusal(const WeightFacts& facts, const WeightView& view, int64_t taps,
                             int64_t segment) {
    if (taps > 1 && segment % 4 != 0) return "its channels are not a multiple of 4";
    const int64_t all = ceil_div(view.K(), 4) * ceil_div(view.N, kPanel);
    if (facts.blocks * 4 > all * 3) return "under a quarter of the 16 x 4 blocks are zero";
    return nullptr;
  }
  static double pieces(const WeightFacts& facts, const WeightView&, int64_t) {
    return static_cast<double>(facts.blocks);
  }
  static double row_time(const WeightFacts&, const WeightView&) { return 1; }

  template <class Emit>
  static void visit(const SparsePanel& panel, const Emit& emit) {
    for (int64_t tap = 0; tap < panel.taps; ++tap) {
      for (int64_t k = 0; k < panel.segment; k += 4) {
        int8_t bytes[kBytes];
        bool any = false;
        for (int64_t i = 0; i < kBytes; ++i) {
          bytes[i] = panel.at(tap, k + in_quad(i), column(i));
          any = any || bytes[i] != 0;
        }
        if (any) emit(sparse_place(tap, k), bytes);
      }
    }
  }
};

// Columns [kColumns][4] of positions in a window of activations, then as many weights.
template <class Window>
struct SparseSell {
  static constexpr int64_t kColumns = Window::kColumns;
  static constexpr int64_t kSlots = kColumns * 4;
  static constexpr int64_t kBytes = 2 * kSlots;

  PYRT_INLINE static int64_t column(int64_t i) { return i / 4; }

  static const char* refusal(const WeightFacts& facts, const WeightView&, int64_t, int64_t) {
    if (facts.nonzeros * 4 > facts.count * 3) return "under a quarter of the weights are zero";
    return nullptr;
  }
  // Time of a piece times a row, where 1 is the usual.
  static double row_time(const WeightFacts& facts, const WeightView& view) {
    return sparse_regular(facts) && view.C % Window::kSize == 0 ? Window::kAlignedTime : 1;
  }
  // Zeros at random (in runs of 4 k as they come): fitted to simulations of 192 to 3072 k. Columns
  // that advance alike (N:M) fill every slot.
  static double pieces(const WeightFacts& facts, const WeightView& view, int64_t segment) {
    const auto nonzeros = static_cast<double>(larger(facts.nonzeros, 1));
    const double columns = static_cast<double>(round_up(view.N, kPanel));
    const double full = nonzeros / kSlots * columns / static_cast<double>(view.N) * Window::kUnfit;
    if (sparse_regular(facts)) return full;
    const double in_window = Window::kSize * nonzeros / static_cast<double>(facts.count);
    const double clump = nonzeros / static_cast<double>(larger(facts.quads, 1));
    return full * (1 + (1.5 + Window::kClump * clump) / in_window) *
           (1 + 12 / static_cast<double>(segment));
  }

  template <class Emit>
  static void visit(const SparsePanel& panel, const Emit& emit) {
    const bool lines = panel.regular && panel.view.C % Window::kSize == 0;
    const int step = lines && Window::kAlignedTime < 1 ? 64 : Window::kStep;
    for (int64_t tap = 0; tap < panel.taps; ++tap) {
      Cursor cursor{&panel, tap, 0, {}, {}};
      cursor.load(0, cursor.low);
      cursor.load(64, cursor.high);
      while (cursor.chunk < panel.segment) {
        const int first = cursor.first();
        if (first == 64) {
          cursor.advance();
          continue;
        }
        const int base = first / step * step;
        int8_t bytes[kBytes] = {};
        for (int i = 0; i < kColumns; ++i) cursor.fill(i, base, bytes);
        emit(sparse_place(tap, cursor.chunk + base), bytes);
      }
    }
  }

 private:
  // The non-zeros that are in no piece yet: of each column, bits of the 64 k from `chunk` on, where
  // the next window begins, and of the 64 behind them.
  struct Cursor {
    const SparsePanel* panel;
    int64_t tap, chunk;
    uint64_t low[kColumns], high[kColumns];

    void load(int64_t from, uint64_t* bits) const {
      for (int64_t i = 0; i < kColumns; ++i) bits[i] = 0;
      const int64_t count = smaller(64, panel->segment - from);
      for (int64_t k = 0; k < count; ++k) {
        for (int64_t i = 0; i < kColumns; ++i) {
          bits[i] |= static_cast<uint64_t>(panel->at(tap, from + k, i) != 0) << k;
        }
      }
    }
    void advance() {
      for (int64_t i = 0; i < kColumns; ++i) low[i] = high[i];
      chunk += 64;
      load(chunk + 64, high);
    }
    // The first in the chunk of any column; 64 where there is none.
    int first() const {
      uint64_t any = 0;
      for (int64_t i = 0; i < kColumns; ++i) any |= low[i];
      return any == 0 ? 64 : __builtin_ctzll(any);
    }
    // The slots of a column of the piece whose window begins at chunk + base.
    void fill(int column, int base, int8_t* bytes) {
      const uint64_t behind = base > 0 ? high[column] << (64 - base) : 0;
      constexpr uint64_t kWindow = ~uint64_t{0} >> (64 - Window::kSize);
      uint64_t bits = (low[column] >> base | behind) & kWindow;
      for (int i = 4 * column; i < 4 * column + 4 && bits != 0; ++i) {
        const int at = __builtin_ctzll(bits);
        const int8_t weight = panel->at(tap, chunk + base + at, column);
        if (i % 2 == 1 && !Window::pair_fits(bytes[kSlots + i - 1], weight)) continue;
        bytes[i] = Window::position(at);
        bytes[kSlots + i] = weight;
        bits &= bits - 1;
        if (base + at < 64) {
          low[column] &= ~(uint64_t{1} << (base + at));
        } else {
          high[column] &= ~(uint64_t{1} << (base + at - 64));
        }
      }
    }
  };
};

// 64 activations for vpermb. Steps of 16 cost 2 % of the slots against steps of 1. With steps of
// 64, where a load is one line of the cache and takes 0.82 of the time, more pieces are needed,
// unless the columns advance alike.
struct Window64 {
  static constexpr int64_t kColumns = kPanel;
  static constexpr int kSize = 64, kStep = 16;
  static constexpr double kUnfit = 1, kClump = 1.1, kAlignedTime = 0.82;

  PYRT_INLINE static bool pair_fits(int, int) { return true; }
  PYRT_INLINE static int8_t position(int k) { return static_cast<int8_t>(k); }
};

// Two times 16 activations for vpshufb, which gives zero where a position is negative: those in the
// second half are. Pairs that are multiplied by vpmaddubsw must fit s16, see gemm/fitted-inl.h; at
// worst (weights evenly spread to +-127) that leaves 8 % of the slots empty.
template <bool kPairsFit>
struct Window32 {
  static constexpr int64_t kColumns = 8;
  static constexpr int kSize = 32, kStep = 1;
  static constexpr double kUnfit = kPairsFit ? 1.08 : 1, kClump = 0.8, kAlignedTime = 1;

  PYRT_INLINE static bool pair_fits(int a, int b) {
    return !kPairsFit || (a < 0) != (b < 0) || (a + b <= 128 && a + b >= -128);
  }
  PYRT_INLINE static int8_t position(int k) {
    return static_cast<int8_t>(k < 16 ? k : k - 16 - 128);
  }
};

}  // namespace
}  // namespace pyrt
