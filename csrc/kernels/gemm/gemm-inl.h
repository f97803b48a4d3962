// The product engine that gemm, conv and conv_transpose rows share: blocking, packing and the loop
// over tiles. An ISA file supplies the arithmetic as a struct:
//
//   struct Isa {
//     using A, W, Acc;  // elements of prepared activations, packed weights, accumulators
//     static constexpr int kMr, kKr;     // rows of the largest tile; k packed together
//     static constexpr int kMaxAcc;      // accumulators of the largest tile
//     static int panels(int rows);       // panels of 16 columns that a tile of so many rows takes
//     // acc[rows][panels * 16] = the product of activations read as segments (below) with
//     // w[panels][K/kr][16][kr]; K = n_taps * segment, segment a multiple of kKr.
//     static void tile(int rows, int panels, const A* const* a, const int64_t* taps, int n_taps,
//                      int64_t segment, const W* w, int64_t K, Acc* acc);
//     // y[at + m * ldy + i] = epilogue(acc[m * ldacc + i], channel n + i) for m < rows and
//     // i < columns <= 16.
//     static void finish(const Epilogue& e, const Acc* acc, int ldacc, int rows, int columns,
//                        int64_t n, int64_t at, int64_t ldy);
//     // Optional: tile() and finish() at once for panels whose columns all exist, without the way
//     // over acc.
//     static constexpr bool kFinishesTiles = true;
//     static void finished_tile(const Epilogue& e, int rows, int panels, .. as tile() .., int64_t
//     K,
//                               int64_t n, int64_t at, int64_t ldy);
//     // Optional: many tiles of one panel of `columns` columns at once; false where it cannot.
//     static constexpr bool kFinishesPanels = true;
//     static bool finished_panel(const Epilogue& e, const Segments<A>& a, int64_t rows, const W* w,
//                                int64_t columns, int64_t n, int64_t at, int64_t ldy);
//     // Optional: a whole block; nothing else is asked for then.
//     static constexpr bool kMultiplies = true;
//     static void multiply(.. as multiply() below ..);
//     // Optional: computes what it can of panels [*first, *last), at both ends, and takes it off.
//     static constexpr bool kTakesPanels = true;
//     static void take_panels(const Epilogue& e, const Segments<A>& a, int64_t rows, const W* w,
//                             int64_t N, int64_t* first, int64_t* last, int64_t channel, int64_t
//                             at, int64_t ldy);
//   };
//
// Activations are read as segments, so that convolutions need no gathered im2col: row m of the
// product is the concatenation of n_taps runs of `segment` elements at rows[m] + taps[t]. A plain
// matrix has one tap of K elements.
//
// Other tiles store their accumulators to a stack buffer and finish() reads them back: 10 % at
// K = 64, nothing at K = 512, and the K loops stay free of the spills that g++ 12 makes when a long
// epilogue shares their function.
#pragma once

#include "kernels/common/epilogue-inl.h"

namespace pyrt {
namespace {

inline constexpr int kPanel = 16;  // columns

PYRT_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
PYRT_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }
PYRT_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
PYRT_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

// Begin of the i-th of `parts` balanced parts of n.
PYRT_INLINE int64_t part(int64_t n, int64_t parts, int64_t i) { return n * i / parts; }

// How a product of M x N x K is cut into tasks: m_blocks x n_blocks, each a block of rows times a
// run of panels.
struct Blocking {
  int64_t panels;
  int64_t m_blocks;
  int64_t n_blocks;
  int64_t block_rows;  // most rows of a block
  int64_t unit = 1;    // rows are cut at multiples of it

  // First row of block i of M.
  PYRT_INLINE int64_t row(int64_t M, int64_t i) const {
    return smaller(M, part(ceil_div(M, unit), m_blocks, i) * unit);
  }
};

inline constexpr int64_t kMaxTiles = 16;  // of a block of rows, above each other

// `a_bytes` of one row of a block of prepared activations. A block is at most 16 tiles high, so
// that a panel of weights is fetched once for 96 rows, and at most 160 KiB, which leaves L2 (256
// KiB and more) room for a panel.
PYRT_INLINE Blocking make_blocking(int64_t M, int64_t N, int64_t K, int64_t a_bytes, int64_t mr,
                                   int64_t unit = 1) {
  constexpr int64_t kBlockBytes = 160 * 1024;
  constexpr int64_t kTaskMacs =
      1 << 18;  // a few microseconds: what a hand-over between threads costs
  constexpr int64_t kTaskWeights = 1 << 16;  // as long, read from L3
  Blocking b;
  b.panels = ceil_div(N, kPanel);
  int64_t tiles = larger(1, smaller(kMaxTiles, kBlockBytes / larger(1, a_bytes * mr)));
  // Few rows stay together: the weights are read once.
  constexpr int64_t kFewTiles = 4, kFewBytes = 320 * 1024;
  if (M <= kFewTiles * mr && M * a_bytes <= kFewBytes) tiles = kFewTiles;
  // Eight tasks or more where M allows blocks of at least four tiles.
  tiles = smaller(tiles, larger(4, ceil_div(ceil_div(M, 8), mr)));
  b.m_blocks = ceil_div(larger(M, 1), tiles * mr);
  b.unit = unit;
  b.block_rows = ceil_div(ceil_div(larger(M, 1), unit), b.m_blocks) * unit;
  const double macs = static_cast<double>(M) * static_cast<double>(N) * static_cast<double>(K);
  const int64_t wanted = macs > 16.0 * kTaskMacs ? 16 : static_cast<int64_t>(macs / kTaskMacs) + 1;
  // Few rows are bound by reading weights, and take up to 4 panels at once: whole groups of them.
  const int64_t groups = ceil_div(b.panels, 4);
  const int64_t by_weights = M <= 3 ? smaller(16, N * K / kTaskWeights) : 0;
  b.n_blocks = larger(1, smaller(ceil_div(larger(wanted, by_weights), b.m_blocks), groups));
  for (int64_t n = b.n_blocks; M <= 3 && 2 * n > b.n_blocks; --n) {
    if (groups % n == 0) {
      b.n_blocks = n;
      break;
    }
  }
  return b;
}

// Bytes of the column sums in front of packed s8 panels; a multiple of 64.
PYRT_INLINE int64_t sums_bytes(int64_t N) { return round_up(N, kPanel) * 4; }

// Writes panels [first, last) of weights(k, n) as [panel][K/kr][16][kr], with zeros beyond K and N,
// and, where `sums` is given, their column sums to sums[0 .. (last - first) * 16).
template <int kKr, class W, class Weights>
void pack_panels(const Weights& weights, int64_t K, int64_t N, int64_t first, int64_t last, W* out,
                 int32_t* sums) {
  const int64_t padded = round_up(K, kKr);
  for (int64_t panel = first; panel < last; ++panel) {
    uint32_t sum[kPanel] = {};
    const int64_t n0 = panel * kPanel;
    const int64_t columns = smaller(kPanel, N - n0);
    for (int64_t k = 0; k < padded; k += kKr) {
      for (int64_t i = 0; i < kPanel; ++i) {
        for (int64_t j = 0; j < kKr; ++j) {
          const bool inside = k + j < K && i < columns;
          const W value = inside ? weights(k + j, n0 + i) : W{0};
          if constexpr (sizeof(W) == 1) sum[i] += static_cast<uint32_t>(int32_t{value});
          *out++ = value;
        }
      }
    }
    if (sums != nullptr) memcpy(sums + (panel - first) * kPanel, sum, sizeof(sum));
  }
}

// Rows of activations as segments.
template <class A>
struct Segments {
  const A* const* rows;
  const int64_t* taps;  // [n_taps] elements
  int n_taps;
  int64_t segment;  // elements, a multiple of kKr
};

// One block: `rows` rows of prepared activations times panels [first, last) of packed weights at w
// (panel 0), K = n_taps * segment. Column i of the product is output channel `channel` + i, row m
// and column i are element at + m * ldy + i of y.
template <class Isa>
void multiply_tiles(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
                    const typename Isa::W* w, int64_t N, int64_t first, int64_t last,
                    int64_t channel, int64_t at, int64_t ldy) {
  const int64_t K = a.n_taps * a.segment;
  alignas(64) typename Isa::Acc acc[Isa::kMaxAcc];
  const int64_t tiles = ceil_div(rows, Isa::kMr);
  if (tiles == 0) return;
  const int64_t wide = Isa::panels(static_cast<int>(ceil_div(rows, tiles)));
  constexpr bool kCanFinish = requires { Isa::kFinishesTiles; };
  constexpr bool kPanelAtOnce = requires { Isa::kFinishesPanels; };
  if constexpr (requires { Isa::kTakesPanels; }) {
    Isa::take_panels(e, a, rows, w, N, &first, &last, channel, at, ldy);
  }
  // A block goes panel by panel, all tiles each. Where a tile's rows fit L1 and all panels L2, tile
  // by tile, so that y is written in long runs: 10 % at 512 x 512 x 64.
  constexpr int64_t kTileBytes = 8 * 1024;
  constexpr int64_t kPanelsBytes = 128 * 1024;
  const bool small = Isa::kMr * K * static_cast<int64_t>(sizeof(typename Isa::A)) <= kTileBytes &&
                     (last - first) * kPanel * K * static_cast<int64_t>(sizeof(*w)) <= kPanelsBytes;
  const int64_t group = small ? (kPanelAtOnce ? kMaxTiles : 1) : tiles;
  const int64_t least = rows / tiles, more = rows % tiles;  // tiles of one row more
  const auto row_of = [&](int64_t tile) { return tile * least + smaller(tile, more); };
  for (int64_t begin = 0; begin < tiles; begin += group) {
    const int64_t end = smaller(begin + group, tiles);
    for (int64_t panel = first; panel < last;) {
      if constexpr (kPanelAtOnce) {
        const int64_t m = row_of(begin), n = panel * kPanel;
        const Segments<typename Isa::A> some{a.rows + m, a.taps, a.n_taps, a.segment};
        if (Isa::finished_panel(e, some, row_of(end) - m, w + n * K, smaller(kPanel, N - n),
                                channel + n, at + m * ldy + n, ldy)) {
          ++panel;
          continue;
        }
      }
      int64_t width = wide;
      while (width > last - panel) width /= 2;  // Isa::panels() is a power of two
      for (int64_t tile = begin; tile < end; ++tile) {
        // Balanced heights: 16 rows are 6 + 5 + 5, not 6 + 6 + 4.
        const int64_t m = row_of(tile);
        const int height = static_cast<int>(least + (tile < more ? 1 : 0));
        if constexpr (kCanFinish) {
          if ((panel + width) * kPanel <= N) {
            Isa::finished_tile(e, height, static_cast<int>(width), a.rows + m, a.taps, a.n_taps,
                               a.segment, w + panel * kPanel * K, K, channel + panel * kPanel,
                               at + m * ldy + panel * kPanel, ldy);
            continue;
          }
        }
        Isa::tile(height, static_cast<int>(width), a.rows + m, a.taps, a.n_taps, a.segment,
                  w + panel * kPanel * K, K, acc);
        for (int64_t i = 0; i < width; ++i) {
          const int64_t n = (panel + i) * kPanel;
          Isa::finish(e, acc + i * kPanel, static_cast<int>(width * kPanel), height,
                      static_cast<int>(smaller(kPanel, N - n)), channel + n, at + m * ldy + n, ldy);
        }
      }
      panel += width;
    }
  }
}

template <class Isa>
void multiply(const Epilogue& e, const Segments<typename Isa::A>& a, int64_t rows,
              const typename Isa::W* w, int64_t N, int64_t first, int64_t last, int64_t channel,
              int64_t at, int64_t ldy) {
  if constexpr (requires { Isa::kMultiplies; }) {
    Isa::multiply(e, a, rows, w, N, first, last, channel, at, ldy);
  } else {
    multiply_tiles<Isa>(e, a, rows, w, N, first, last, channel, at, ldy);
  }
}

// Rows that blocks are cut at multiples of, and whether weights are fitted (fitted-inl.h):
// Isa::multiply(.., side, fresh) takes the place of multiply() then.
template <class Isa>
constexpr int row_unit() {
  if constexpr (requires { Isa::kRowUnit; }) {
    return Isa::kRowUnit;
  } else {
    return 1;
  }
}
template <class Isa>
constexpr bool is_fitted() {
  return requires { Isa::kFitted; };
}
// Rows of the unit of which a block has kMaxTiles at most.
template <class Isa>
constexpr int block_mr() {
  return Isa::kMr > row_unit<Isa>() ? Isa::kMr : row_unit<Isa>();
}

// The same for the rows of a matrix [rows][K] with `lda` elements from row to row; at most
// kMaxTiles tiles.
template <class Isa>
void multiply_matrix(const Epilogue& e, const typename Isa::A* a, int64_t lda, int64_t rows,
                     const typename Isa::W* w, int64_t K, int64_t N, int64_t first, int64_t last,
                     int64_t channel, int64_t at, int64_t ldy, void* side = nullptr,
                     bool fresh = true) {
  const typename Isa::A* pointers[kMaxTiles * block_mr<Isa>()];
  for (int64_t m = 0; m < rows; ++m) pointers[m] = a + m * lda;
  const int64_t tap = 0;
  const Segments<typename Isa::A> segments{pointers, &tap, 1, K};
  if constexpr (is_fitted<Isa>()) {
    Isa::multiply(e, segments, rows, w, N, first, last, channel, at, ldy, side, fresh);
  } else {
    multiply<Isa>(e, segments, rows, w, N, first, last, channel, at, ldy);
  }
}

}  // namespace
}  // namespace pyrt
