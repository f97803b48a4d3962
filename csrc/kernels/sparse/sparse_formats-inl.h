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

  // Of element k of a tap's segment; zero beyond the weights.
  PYRT_INLINE int8_t at(int64_t tap, int64_t k, int64_t column) const {
    const int64_t i = tap * segment + k, n = first + column;
    if (k >= segment || n >= view.N) return 0;
    if (!view.columns_first) return w[i * view.N + n];
    return w[(n * view.C + i % view.C) * view.taps + i / view.C];
  }
  // The first k from there on with a weight that is not zero; `segment` where there is none.
  PYRT_INLINE int64_t next_nonzero(int64_t tap, int64_t k, int64_t column) const {
    while (k < segment && at(tap, k, column) == 0) ++k;
    return k;
  }
};

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
    return regular(facts) && view.C % Window::kSize == 0 ? Window::kAlignedTime : 1;
  }
  // Each 16 k of each column have as many non-zeros.
  static bool regular(const WeightFacts& facts) {
    return facts.nonzeros * 16 >= facts.count * facts.most_of_16;
  }
  // Zeros at random (in runs of 4 k as they come): fitted to simulations of 192 to 3072 k. Columns
  // that advance alike (N:M) fill every slot.
  static double pieces(const WeightFacts& facts, const WeightView& view, int64_t segment) {
    const auto nonzeros = static_cast<double>(larger(facts.nonzeros, 1));
    const double columns = static_cast<double>(round_up(view.N, kPanel));
    const double full = nonzeros / kSlots * columns / static_cast<double>(view.N) * Window::kUnfit;
    if (regular(facts)) return full;
    const double in_window = Window::kSize * nonzeros / static_cast<double>(facts.count);
    const double clump = nonzeros / static_cast<double>(larger(facts.quads, 1));
    return full * (1 + (1.5 + Window::kClump * clump) / in_window) *
           (1 + 12 / static_cast<double>(segment));
  }

  // The slots of one column: its next non-zeros before `end`, from k on; gives where the others
  // begin.
  static int64_t fill(const SparsePanel& panel, int64_t tap, int64_t k, int64_t base, int64_t end,
                      int64_t column, int8_t* bytes) {
    for (int64_t i = 4 * column; i < 4 * column + 4 && k < end; ++i) {
      const int8_t weight = panel.at(tap, k, column);
      if (i % 2 == 1 && !Window::pair_fits(bytes[kSlots + i - 1], weight)) continue;
      bytes[i] = Window::position(k - base);
      bytes[kSlots + i] = weight;
      k = panel.next_nonzero(tap, k + 1, column);
    }
    return k;
  }

  // Windows begin at multiples of `step`.
  template <class Emit>
  static void visit_windows(const SparsePanel& panel, int64_t step, const Emit& emit) {
    for (int64_t tap = 0; tap < panel.taps; ++tap) {
      int64_t next[kColumns];
      for (int64_t i = 0; i < kColumns; ++i) next[i] = panel.next_nonzero(tap, 0, i);
      while (true) {
        int64_t base = panel.segment;
        for (int64_t i = 0; i < kColumns; ++i) base = smaller(base, next[i]);
        if (base == panel.segment) break;
        base = base / step * step;
        const int64_t end = smaller(panel.segment, base + Window::kSize);
        int8_t bytes[kBytes] = {};
        for (int64_t i = 0; i < kColumns; ++i) {
          next[i] = fill(panel, tap, next[i], base, end, i, bytes);
        }
        emit(sparse_place(tap, base), bytes);
      }
    }
  }
  static int64_t count(const SparsePanel& panel, int64_t step) {
    int64_t pieces = 0;
    visit_windows(panel, step, [&](SparsePlace, const int8_t*) { ++pieces; });
    return pieces;
  }

  template <class Emit>
  static void visit(const SparsePanel& panel, const Emit& emit) {
    int64_t step = Window::kStep;
    if constexpr (Window::kAlignedTime < 1) {
      const double time = panel.view.C % Window::kSize == 0 ? Window::kAlignedTime : 1;
      const auto aligned = static_cast<double>(count(panel, Window::kSize));
      if (aligned * time <= static_cast<double>(count(panel, step))) step = Window::kSize;
    }
    visit_windows(panel, step, emit);
  }
};

// 64 activations for vpermb. Steps of 16 cost 2 % of the slots against steps of 1. With steps of
// 64, where a load is one line of the cache and takes 0.82 of the time, more pieces are needed,
// unless the columns advance alike.
struct Window64 {
  static constexpr int64_t kColumns = kPanel;
  static constexpr int64_t kSize = 64, kStep = 16;
  static constexpr double kUnfit = 1, kClump = 1.1, kAlignedTime = 0.82;

  PYRT_INLINE static bool pair_fits(int, int) { return true; }
  PYRT_INLINE static int8_t position(int64_t k) { return static_cast<int8_t>(k); }
};

// Two times 16 activations for vpshufb, which gives zero where a position is negative: those in the
// second half are. Pairs that are multiplied by vpmaddubsw must fit s16, see gemm/fitted-inl.h; at
// worst (weights evenly spread to +-127) that leaves 8 % of the slots empty.
template <bool kPairsFit>
struct Window32 {
  static constexpr int64_t kColumns = 8;
  static constexpr int64_t kSize = 32, kStep = 1;
  static constexpr double kUnfit = kPairsFit ? 1.08 : 1, kClump = 0.8, kAlignedTime = 1;

  PYRT_INLINE static bool pair_fits(int a, int b) {
    return !kPairsFit || (a < 0) != (b < 0) || (a + b <= 128 && a + b >= -128);
  }
  PYRT_INLINE static int8_t position(int64_t k) {
    return static_cast<int8_t>(k < 16 ? k : k - 16 - 128);
  }
};

}  // namespace
}  // namespace pyrt
