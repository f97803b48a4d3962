// How a block of f32 products is walked: as runs of tiles, each run by one call, because a call for
// each tile costs 20 % at K = 16. Isa has, beside what gemm-inl.h asks for,
//
//   static void finished_run(const Epilogue& e, const TileRun& run, const Segments<A>& a, const W*
//   w,
//                            int64_t n, int64_t at, int64_t ldy);
//   static void half_tile(..);    // kHalfRows x 8
//   static constexpr int kOddRows;  // rows of a tile of 24 columns
#pragma once

#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

// Tiles of `rows` x `columns` beside (across) or above each other.
struct TileRun {
  int rows, columns;
  int64_t count;
  bool across = false;
  // Fetches the panel behind where parts > 0: each tile one of so many parts, from `part` on.
  int64_t part = 0, parts = 0;
};

// A block's last panel where it has 8 columns and Isa a tile for it. The last tile may repeat rows
// of the one before: the same sums in the same order.
template <class Isa>
void multiply_half_panel(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
                         const typename Isa::W* w, int64_t channel, int64_t at, int64_t ldy) {
  for (int64_t begin = 0; begin < rows; begin += Isa::kHalfRows) {
    const int64_t m = smaller(begin, rows - Isa::kHalfRows);
    Isa::half_tile(e, a.rows + m, a.taps, a.n_taps, a.segment, w, channel, at + m * ldy, ldy);
  }
}

// The same with the panel before it: three vectors of columns.
template <class Isa>
void multiply_odd_panels(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
                         const typename Isa::W* w, int64_t channel, int64_t at, int64_t ldy) {
  const int64_t tiles = ceil_div(rows, Isa::kOddRows);
  const int64_t least = rows / tiles, more = rows % tiles;
  const int64_t m = more * (least + 1);
  constexpr int kColumns = kPanel + kPanel / 2;
  if (more > 0) {
    Isa::finished_run(e, {static_cast<int>(least + 1), kColumns, more}, a, w, channel, at, ldy);
  }
  const Segments<typename Isa::A> below{a.rows + m, a.taps, a.n_taps, a.segment};
  Isa::finished_run(e, {static_cast<int>(least), kColumns, tiles - more}, below, w, channel,
                    at + m * ldy, ldy);
}

// Whole panels [first, last) of a block where Isa takes tiles by the run: beside each other where
// that writes y in longer pieces (K of medium size), above each other where calls and beginnings
// count more (small K, few panels) or where a panel should stay in L1 (large K).
template <class Isa>
void multiply_runs(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
                   const typename Isa::W* w, int64_t N, int64_t first, int64_t last,
                   int64_t channel, int64_t at, int64_t ldy) {
  constexpr int64_t kSmallK = 64;
  constexpr int64_t kTileBytes = 16 * 1024;     // of a tile's rows, half of L1
  constexpr int64_t kPanelsBytes = 128 * 1024;  // of panels that stay in L2 meanwhile
  constexpr int64_t kFew = 3;                   // panels
  constexpr int64_t kFarBytes = 512 * 1024, kFarK = 128, kFewTiles = 6;
  const int64_t K = a.n_taps * a.segment;
  const int64_t tiles = ceil_div(rows, Isa::kMr);
  const int64_t least = rows / tiles, more = rows % tiles;
  const int64_t wide = Isa::panels(static_cast<int>(ceil_div(rows, tiles)));
  // Few rows wait for weights from beyond L2: each tile fetches a part of the next panel. Products
  // of 8 to 24 rows by 8 MB and more become 1.2 to 1.9 times as fast.
  const bool far = N * K * static_cast<int64_t>(sizeof(*w)) > kFarBytes && K >= kFarK;
  const bool fetch = far && a.n_taps == 1 && tiles > 1 && tiles <= kFewTiles && least >= 4;
  const auto run = [&](int64_t m, int64_t height, int64_t panel, int64_t width, int64_t count,
                       bool across, int64_t part_of, int64_t parts) {
    const Segments<typename Isa::A> below{a.rows + m, a.taps, a.n_taps, a.segment};
    const TileRun run_of{
        static_cast<int>(height), static_cast<int>(width * kPanel), count, across, part_of, parts};
    Isa::finished_run(e, run_of, below, w + panel * kPanel * K, channel + panel * kPanel,
                      at + m * ldy + panel * kPanel, ldy);
  };
  const int64_t fitting = kPanelsBytes / larger(1, kPanel * K * static_cast<int64_t>(sizeof(*w)));
  const bool fits = Isa::kMr * K * static_cast<int64_t>(sizeof(**a.rows)) <= kTileBytes;
  if (tiles > 1 && (fetch || K <= kSmallK || !fits || smaller(fitting, last - first) <= kFew)) {
    int64_t width = wide;
    for (int64_t panel = first; panel < last; panel += width) {
      while (width > last - panel) width /= 2;  // Isa::panels() is a power of two
      const int64_t parts = fetch ? tiles : 0;
      if (more > 0) run(0, least + 1, panel, width, more, false, 0, parts);
      run(more * (least + 1), least, panel, width, tiles - more, false, more, parts);
    }
    return;
  }
  const int64_t group = tiles == 1 ? last - first : fitting;
  for (int64_t begin = first; begin < last; begin += group) {
    const int64_t end = smaller(begin + group, last);
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t m = tile * least + smaller(tile, more);
      const int64_t height = least + (tile < more ? 1 : 0);
      int64_t width = wide;
      for (int64_t panel = begin; panel < end;) {
        while (width > end - panel) width /= 2;
        const int64_t count = (end - panel) / width;
        run(m, height, panel, width, count, true, 0, 0);
        panel += count * width;
      }
    }
  }
}

// Whole panels and a last one of 8 columns: all but a panel that ends elsewhere.
template <class Isa>
void take_panels_of(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
                    const typename Isa::W* w, int64_t N, int64_t* first, int64_t* last,
                    int64_t channel, int64_t at, int64_t ldy) {
  const int64_t K = a.n_taps * a.segment;
  const bool half = *first < *last && *last * kPanel - N == kPanel / 2;
  if (half && *last - *first > 1) {
    *last -= 2;
    const int64_t n = *last * kPanel;
    multiply_odd_panels<Isa>(e, a, rows, w + n * K, channel + n, at + n, ldy);
  } else if (half && rows >= Isa::kHalfRows) {
    *last -= 1;
    const int64_t n = *last * kPanel;
    multiply_half_panel<Isa>(e, a, rows, w + n * K, channel + n, at + n, ldy);
  }
  const int64_t whole = smaller(*last, N / kPanel);
  if (*first >= whole) return;
  multiply_runs<Isa>(e, a, rows, w, N, *first, whole, channel, at, ldy);
  *first = whole;
}

}  // namespace
}  // namespace pyrt
