// The int8 depthwise row of an ISA with vpmaddwd, which adds the products of two neighbouring s16:
// lines of the image are widened once into *pair lines*, where two taps of a channel lie side by
// side, and every output pixel multiplies pairs straight from there. See depthwise.h for the
// formula.
//
// Taps are paired down the kernel (rows 2j and 2j + 1), or along it if it has one row. The pair
// line of image row r holds rows r and r + dilation; a ring keeps as many as one output row spans.
// For stride 1 and an odd number of kernel rows, rows of output in twos read the same lines: the
// upper one of 3 x 3 taps has weights (w0, w1) and (w2, 0), the lower one (0, w0) and (w1, w2).
// Positions outside the image hold x_zero_point, so that kernels see no borders.
//
//   pair line  [x][16 channels][2] s16, x + 128  64 bytes for each x: widening unsigned bytes needs
//                                                no shuffle across halves of a vector
//   weights    sums [block, 16] s32, then [block, half, row of output in two, pair row, pair
//   column,
//              8, 2] s16; a missing tap is 0
//
// A task is a tile of output (rows of a band, columns of a tile) for a group of 4 blocks of 16
// channels, each with a ring of its own. Blocks take turns every few rows, while the cache lines of
// the image that they share are still in L1. An ISA file supplies
//
//   struct Isa {
//     // Widens and interleaves n neighbouring pixels, channels apart by `step` bytes (0: all the
//     // same); shuffle: which byte of each 16 loaded goes to which channel, or null for as they
//     are. static void widen(int16_t* line, const int8_t* a, const int8_t* b, int64_t a_step,
//                       int64_t b_step, int64_t n, const uint8_t* shuffle);
//     // acc[row][i][16], half a block: sum over pair rows and columns, for n output pixels of rows
//     static void multiply(const PairLines* lines, int64_t rows, const int16_t* w, int64_t n,
//                          int32_t* acc);
//     static void finish(...);  // as in gemm/gemm-inl.h
//   };
#pragma once

#include "kernels/depthwise/depthwise.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

constexpr int64_t kPairElements = 2 * kDepthwiseBlock;  // of a pair line for each x
constexpr int64_t kHalf = kDepthwiseBlock / 2;
constexpr int64_t kMaxPairRows = 8;  // kernels of up to 16 rows

// What a row of output pixels multiplies.
struct PairLines {
  const int16_t* row[kMaxPairRows];  // at the first output pixel's first tap
  int64_t rows, columns;             // pairs of taps
  int64_t column_step, pixel_step;   // elements between neighbouring pairs and output pixels
};

template <class Isa>
struct DepthwiseS8Rows {
  static constexpr int64_t kGroup = 4;  // blocks: a cache line of s8
  // Columns of input that a tile spans, about. On Zen 3 64 beats 32 by 7-14 % on wide images,
  // although the lines of a whole group then exceed L1: fewer tiles widen the columns between them
  // twice.
  static constexpr int64_t kSpan = 64;
  static constexpr int64_t kTurnPixels =
      56;                                 // of input columns, before the next block takes its turn
  static constexpr int64_t kMaxTurn = 8;  // rows
  static constexpr int64_t kBandRows = 32;

  // How one problem is cut; cheap enough to make per run.
  struct Shape {
    bool along;        // taps paired along the row
    int64_t together;  // rows of output that read the same lines: 1 or 2
    int64_t pair_rows, pair_columns;
    int64_t row_step, column_step;  // image pixels between pairs
    int64_t down, right;            // from the first to the second tap of a pair
    int64_t ring;                   // pair lines kept
    int64_t tile, tiles;            // output columns
    int64_t band, bands;            // output rows
    int64_t span;                   // pixels of a pair line
    int64_t turn;                   // output rows computed before the next block
    int64_t multiplier, blocks, groups;
  };

  static Shape shape_of(const ConvParams& p) {
    Shape s{};
    s.along = p.kernel_h == 1;
    const bool both = p.stride_h == 1 && p.dilation_h == 1 && p.kernel_h % 2 == 1 && !s.along;
    s.together = both ? 2 : 1;
    s.pair_rows = ceil_div(p.kernel_h, 2);
    s.pair_columns = s.along ? ceil_div(p.kernel_w, 2) : p.kernel_w;
    s.row_step = 2 * p.dilation_h;
    s.column_step = s.along ? 2 * p.dilation_w : p.dilation_w;
    s.down = s.along ? 0 : p.dilation_h;
    s.right = s.along ? p.dilation_w : 0;
    s.tiles = ceil_div(p.OW, larger(8, kSpan / p.stride_w));
    s.tile = ceil_div(p.OW, larger(1, s.tiles));
    s.turn = larger(1, smaller(kMaxTurn, kTurnPixels / larger(1, s.tile * p.stride_w)));
    s.ring = (s.pair_rows - 1) * s.row_step + (s.turn - 1) * p.stride_h + s.together;
    s.bands = ceil_div(p.OH, kBandRows);
    s.band = ceil_div(p.OH, larger(1, s.bands));
    s.span = (s.tile - 1) * p.stride_w + (s.pair_columns - 1) * s.column_step + 1;
    s.multiplier = p.O / p.C;
    s.blocks = depthwise_blocks(p.O);
    s.groups = ceil_div(s.blocks, kGroup);
    return s;
  }

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (!p.epilogue.integer) return "the operands are f32";
    if (p.volume) return "it has three spatial dims";
    if (!p.depthwise()) return "not one input channel per group";
    if (p.kernel_h > 2 * kMaxPairRows) return "the kernel has more than 16 rows";
    // Far-apart taps would keep lines that no two rows of output share.
    if (p.dilation_h > 16) return "the dilation is above 16";
    return problem.inputs[kInputW].constant != nullptr ? nullptr : "the weights are not constant";
  }

  static int64_t row_elements(const Shape& s) {
    return s.pair_rows * s.pair_columns * kDepthwiseBlock;
  }
  static int64_t half_elements(const Shape& s) { return s.together * row_elements(s); }

  static size_t packed_bytes(const Problem& problem) {
    const Shape s = shape_of(problem.as<ConvParams>());
    return static_cast<size_t>(s.blocks * kDepthwiseBlock) * sizeof(int32_t) +
           static_cast<size_t>(s.blocks * 2 * half_elements(s)) * sizeof(int16_t);
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    const auto* w = static_cast<const int8_t*>(problem.inputs[kInputW].constant);
    auto* sums = static_cast<int32_t*>(packed);
    auto* out = reinterpret_cast<int16_t*>(sums + s.blocks * kDepthwiseBlock);
    memset(packed, 0, packed_bytes(problem));
    for (int64_t block = 0; block < s.blocks; ++block) {
      const int64_t c0 = depthwise_channel(p.O, kDepthwiseBlock, block);
      for (int64_t i = 0; i < smaller(kDepthwiseBlock, p.O - c0); ++i) {
        for (int64_t t = 0; t < p.kernel_h * p.kernel_w; ++t) {
          const int64_t t_h = t / p.kernel_w, t_w = t % p.kernel_w;
          const int8_t value = w[(c0 + i) * p.kernel_h * p.kernel_w + t];
          int16_t* half = out + (2 * block + i / kHalf) * half_elements(s);
          for (int64_t r = 0; r < s.together; ++r, half += row_elements(s)) {
            const int64_t pair = s.along ? t_w / 2 : (t_h + r) / 2 * p.kernel_w + t_w;
            half[pair * kDepthwiseBlock + i % kHalf * 2 + (s.along ? t_w : t_h + r) % 2] = value;
          }
          sums[block * kDepthwiseBlock + i] += value;
        }
      }
    }
  }

  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    return p.B * s.bands * s.tiles * s.groups;
  }

  // Scratch: for each block of a group a ring of pair lines and the image row that each holds; the
  // accumulators of a turn.
  static int64_t ring_elements(const Shape& s) { return s.ring * s.span * kPairElements; }
  static int64_t acc_elements(const Shape& s) { return s.turn * s.tile * kDepthwiseBlock; }
  static size_t scratch_bytes(const Problem& problem) {
    const Shape s = shape_of(problem.as<ConvParams>());
    return static_cast<size_t>(kGroup * ring_elements(s)) * sizeof(int16_t) +
           static_cast<size_t>(acc_elements(s)) * sizeof(int32_t) +
           static_cast<size_t>(kGroup * s.ring) * sizeof(int64_t);
  }
  struct Scratch {
    int16_t* lines;  // [block, ring, span, 16, 2]
    int32_t* acc;    // [turn, tile, 16]
    int64_t* held;   // [block, ring]
  };

  // One task's view of the input.
  struct Source {
    const int8_t* image;  // [H, W, C]
    int64_t first;        // channel that loads start from
    int64_t loaded;       // channels there are: 16, or fewer if C is
    const uint8_t* shuffle;
    const int8_t* padding;  // 16 times x_zero_point
  };

  static const int8_t* pixel(const ConvParams& p, const Source& from, int64_t h, int64_t w) {
    const bool inside = h >= 0 && h < p.H && w >= 0 && w < p.W;
    return inside ? from.image + (h * p.W + w) * p.C + from.first : from.padding;
  }

  // One pixel of a pair line, which may lie outside or have fewer than 16 channels.
  static void widen_one(const Source& from, int16_t* line, const int8_t* a, const int8_t* b) {
    if (from.loaded == kDepthwiseBlock) return Isa::widen(line, a, b, 0, 0, 1, from.shuffle);
    alignas(16) int8_t copies[2][16] = {};
    memcpy(copies[0], a, static_cast<size_t>(from.loaded));
    memcpy(copies[1], b, static_cast<size_t>(from.loaded));
    Isa::widen(line, copies[0], copies[1], 0, 0, 1, from.shuffle);
  }

  // Elements [begin, end) of a pair line: not both columns of their pairs are inside.
  static void widen_edge(const ConvParams& p, const Shape& s, const Source& from, int64_t h,
                         int64_t w, int64_t begin, int64_t end, int16_t* line) {
    if (s.right == 0 && from.loaded == kDepthwiseBlock) {  // so all are padding
      Isa::widen(line + begin * kPairElements, from.padding, from.padding, 0, 0, end - begin,
                 from.shuffle);
      return;
    }
    for (int64_t x = begin; x < end; ++x) {
      widen_one(from, line + x * kPairElements, pixel(p, from, h, w + x),
                pixel(p, from, h + s.down, w + x + s.right));
    }
  }

  // The pair line of image row h, from column w on.
  static void widen_line(const ConvParams& p, const Shape& s, const Source& from, int64_t h,
                         int64_t w, int16_t* line) {
    // Both columns of a pair inside: [begin, end) of the line.
    int64_t begin = smaller(s.span, larger(0, -w));
    int64_t end = larger(begin, smaller(s.span, p.W - s.right - w));
    if (from.loaded < kDepthwiseBlock) begin = end = s.span;
    widen_edge(p, s, from, h, w, 0, begin, line);
    if (begin < end) {
      const bool a_inside = h >= 0 && h < p.H, b_inside = h + s.down >= 0 && h + s.down < p.H;
      Isa::widen(line + begin * kPairElements, pixel(p, from, h, w + begin),
                 pixel(p, from, h + s.down, w + begin + s.right), a_inside ? p.C : 0,
                 b_inside ? p.C : 0, end - begin, from.shuffle);
    }
    widen_edge(p, s, from, h, w, end, s.span, line);
  }

  // A tile of output for one block.
  struct Part {
    const ConvParams* p;
    const Shape* s;
    Source from;
    Scratch scratch;  // its own ring
    const int16_t* w;
    const Epilogue* epilogue;    // of all blocks
    const int32_t* column_sums;  // of this one
    int64_t c0;
    int columns;     // channels
    int64_t x0, n;   // output columns
    int64_t pixels;  // of output in the images before
  };

  static Source source_of(const ConvParams& p, const Shape& s, const int8_t* image, int64_t c0,
                          const int8_t* padding, uint8_t* shuffle) {
    Source from{};
    from.image = image;
    from.loaded = smaller(kDepthwiseBlock, p.C);
    from.first = smaller(c0 / s.multiplier, p.C - from.loaded);
    from.padding = padding;
    if (s.multiplier == 1) return from;
    for (int64_t i = 0; i < kDepthwiseBlock; ++i) {
      shuffle[i] = static_cast<uint8_t>(smaller(p.O - 1, c0 + i) / s.multiplier - from.first);
    }
    from.shuffle = shuffle;
    return from;
  }

  // Half a block of rows [y0, y1).
  static void multiply(const Part& part, const PairLines* lines, int64_t y0, int64_t y1,
                       const int16_t* w, int32_t* acc) {
    const Shape& s = *part.s;
    if (s.together == 1) return Isa::multiply(lines, y1 - y0, w, part.n, acc);
    for (int64_t y = y0; y < y1; ++y, ++lines, acc += part.n * kDepthwiseBlock) {
      Isa::multiply(lines, 1, w + y % 2 * row_elements(s), part.n, acc);
    }
  }

  // Output rows [y0, y1), at most a turn.
  static void run_turn(const Part& part, int64_t y0, int64_t y1) {
    const ConvParams& p = *part.p;
    const Shape& s = *part.s;
    PairLines lines[kMaxTurn];
    for (int64_t y = y0; y < y1; ++y) {
      PairLines& row = lines[y - y0];
      row.rows = s.pair_rows;
      row.columns = s.pair_columns;
      row.column_step = s.column_step * kPairElements;
      row.pixel_step = p.stride_w * kPairElements;
      for (int64_t j = 0; j < s.pair_rows; ++j) {
        const int64_t h = y / s.together * s.together * p.stride_h - p.pad_h + j * s.row_step;
        const auto slot = static_cast<uint32_t>(h + p.pad_h) % static_cast<uint32_t>(s.ring);
        int16_t* line = part.scratch.lines + slot * s.span * kPairElements;
        if (part.scratch.held[slot] != h) {
          widen_line(p, s, part.from, h, part.x0 * p.stride_w - p.pad_w, line);
          part.scratch.held[slot] = h;
        }
        row.row[j] = line;
      }
    }
    multiply(part, lines, y0, y1, part.w, part.scratch.acc);
    if (part.columns > kHalf) {
      for (int64_t y = 0; y < y1 - y0; ++y) {
        for (int64_t j = 0; j < s.pair_rows; ++j) lines[y].row[j] += kDepthwiseBlock;
      }
      multiply(part, lines, y0, y1, part.w + half_elements(s), part.scratch.acc + kHalf);
    }
    Epilogue e = *part.epilogue;
    e.column_sums = part.column_sums;
    // Rows of a tile as wide as the image are one run of pixels.
    const int64_t runs = part.n == p.OW ? 1 : y1 - y0, length = (y1 - y0) / runs * part.n;
    for (int64_t i = 0; i < runs; ++i) {
      const int64_t pixel = part.pixels + (y0 + i) * p.OW + part.x0;
      Isa::finish(e, part.scratch.acc + i * length * kDepthwiseBlock, kDepthwiseBlock,
                  static_cast<int>(length), part.columns, part.c0, pixel * p.O + part.c0, p.O);
    }
  }

  static void run_task(const ConvParams& p, const Shape& s, const Epilogue& epilogue,
                       const Call& call, const Scratch& scratch, int64_t task) {
    const int64_t group = task % s.groups;
    const int64_t tile = task / s.groups % s.tiles;
    const int64_t band = task / (s.groups * s.tiles) % s.bands;
    const int64_t image = task / (s.groups * s.tiles * s.bands);
    const int64_t x0 = tile * s.tile, n = smaller(s.tile, p.OW - x0);
    const int64_t y0 = band * s.band, y1 = smaller(p.OH, y0 + s.band);
    if (n <= 0 || y0 >= y1) return;

    alignas(16) int8_t padding[16];
    memset(padding, p.epilogue.x_zero_point, sizeof(padding));
    alignas(16) uint8_t shuffles[kGroup][16];
    const auto* x = static_cast<const int8_t*>(call.inputs[kInputX]) + image * p.H * p.W * p.C;
    const auto* sums = static_cast<const int32_t*>(call.packed);
    const auto* w = reinterpret_cast<const int16_t*>(sums + s.blocks * kDepthwiseBlock);
    const int64_t blocks = smaller(kGroup, s.blocks - group * kGroup);
    Part parts[kGroup];
    for (int64_t i = 0; i < blocks; ++i) {
      const int64_t block = group * kGroup + i;
      Part& part = parts[i];
      part.c0 = depthwise_channel(p.O, kDepthwiseBlock, block);
      part.p = &p;
      part.s = &s;
      part.from = source_of(p, s, x, part.c0, padding, shuffles[i]);
      part.scratch = {scratch.lines + i * ring_elements(s), scratch.acc, scratch.held + i * s.ring};
      part.w = w + 2 * block * half_elements(s);
      part.epilogue = &epilogue;
      part.column_sums = sums + block * kDepthwiseBlock - part.c0;
      part.columns = static_cast<int>(smaller(kDepthwiseBlock, p.O - part.c0));
      part.x0 = x0;
      part.n = n;
      part.pixels = image * p.OH * p.OW;
    }
    for (int64_t i = 0; i < kGroup * s.ring; ++i) scratch.held[i] = INT64_MIN;
    for (int64_t y = y0; y < y1; y += s.turn) {
      for (int64_t i = 0; i < blocks; ++i) run_turn(parts[i], y, smaller(y1, y + s.turn));
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    Scratch scratch{};
    scratch.lines = static_cast<int16_t*>(call.scratch);
    scratch.acc = reinterpret_cast<int32_t*>(scratch.lines + kGroup * ring_elements(s));
    scratch.held = reinterpret_cast<int64_t*>(scratch.acc + acc_elements(s));
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    e.x_zero_point += 128;  // of pair lines
    for (int64_t task = begin; task < end; ++task) run_task(p, s, e, call, scratch, task);
  }
};

}  // namespace
}  // namespace pyrt
