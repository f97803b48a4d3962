// The int8 depthwise row of an ISA with vpdpbusd, which adds the products of four neighbouring
// bytes to an s32: four rows of the image are interleaved, so that every dword holds four taps of a
// channel below each other, and one instruction multiplies a column of up to four taps. See
// depthwise.h for the formula.
//
// Two rows of output are computed at once where the rows that both read fit into as many quads of
// rows as one reads: for 3 x 3 taps of stride 1 the upper one has weights (w0, w1, w2, 0), the
// lower one (0, w0, w1, w2). Positions outside the image hold x_zero_point, so that kernels see no
// borders.
//
//   image      with the offset of 128 (u8)
//   quad line  [x][vector j < 4][lane l of 16 bytes][channel 16 l + 4 j + i, i < 4][row < 4] u8:
//              what unpacking bytes, then words, makes of 4 vectors; packing sums to words, then
//              bytes, brings the channels back into their order
//   weights    per block: sums [64] s32, then [vector j][quad][column][row of output][as a vector
//              of a quad line] s8; missing taps are 0
//
// A block is a vector of channels: 64, or 32 at the end; the last one overlaps the one before. A
// task is a tile of output (rows of a band, columns of a tile) of a block. An ISA file supplies
//
//   struct Isa {
//     using Wide, Narrow;  // vectors of 64 and of 32 bytes; see QuadTiles for what they do
//     static void finish(...);  // as in gemm/gemm-inl.h
//   };
#pragma once

#include "kernels/depthwise/depthwise.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

// Up to 4 neighbouring pixels of output of 1 or 2 rows.
struct QuadTile {
  const uint8_t* line;              // first column of the first pixel
  int64_t column_step, pixel_step;  // bytes of a quad line between columns and pixels
  int64_t line_step;                // bytes from quad line to quad line
  int64_t quads, columns;           // of taps
  const int8_t* w;
  int64_t w_step;       // bytes from column to column
  const int32_t* base;  // [vector j][lane][4]: what sums begin with
  const float* scale;   // [vector j][lane][4]
  int16_t y_zero_point;
  int8_t lo, hi;   // of outputs
  uint8_t y_mask;  // outputs xor this are stored
  uint8_t* y;      // or sums, s32 [row][pixel][channel]
  int64_t ldy, y_row_step;
};

// The kernels for one width of vectors.
template <class V>
struct QuadTiles {
  using Int = typename V::Int;
  static constexpr int64_t kBytes = sizeof(Int);
  static constexpr int64_t kColumn = 4 * kBytes;  // of a quad line
  static constexpr int kPixels = 4;

  // Interleaves n neighbouring pixels of 4 rows, which are `step` bytes apart.
  [[gnu::noinline]] static void interleave(const uint8_t* const* rows, const int64_t* steps,
                                           int64_t n, uint8_t* line) {
    const uint8_t *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3];
    const int64_t a_step = steps[0], b_step = steps[1], c_step = steps[2], d_step = steps[3];
    for (; n > 0; --n, a += a_step, b += b_step, c += c_step, d += d_step, line += kColumn) {
      V::interleave(V::load(a), V::load(b), V::load(c), V::load(d), line);
    }
  }

  // Sums of vector j of all pixels. kStride > 0: of three columns, whose vectors several pixels
  // share.
  template <int kRows, int kCount, int kStride>
  PYRT_INLINE static void multiply(const QuadTile& t, int j, Int sum[kRows * kCount]) {
    const Int base = V::load(t.base + j * (kBytes / 4));
#pragma GCC unroll 8
    for (int i = 0; i < kRows * kCount; ++i) sum[i] = base;
    const uint8_t* line = t.line + j * kBytes;
    if constexpr (kStride > 0) {
      const int8_t* w = t.w + 3 * j * t.w_step;
#pragma GCC unroll 3
      for (int i = 0; i < 3; ++i) {
        column<kRows, kCount>(line + i * kColumn, kStride * kColumn, w + i * t.w_step, sum);
      }
    } else {
      const int8_t* w = t.w + j * t.quads * t.columns * t.w_step;
      for (int64_t q = t.quads; q > 0; --q, line += t.line_step) {
        const uint8_t* x = line;
        for (int64_t i = t.columns; i > 0; --i, w += t.w_step, x += t.column_step) {
          column<kRows, kCount>(x, t.pixel_step, w, sum);
        }
      }
    }
  }

  template <int kRows, int kCount>
  PYRT_INLINE static void column(const uint8_t* x, int64_t pixel_step, const int8_t* w,
                                 Int sum[kRows * kCount]) {
    Int weights[kRows];
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) weights[r] = V::load(w + r * kBytes);
#pragma GCC unroll 4
    for (int m = 0; m < kCount; ++m) {
      const Int pixel = V::load(x + m * pixel_step);
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
        sum[r * kCount + m] = V::dot(sum[r * kCount + m], pixel, weights[r]);
      }
    }
  }

  // Two outputs at a time become words: pairs[i] holds words of outputs 2i and 2i + 1 in turns.
  template <int kRows, int kCount, int kStride>
  PYRT_INLINE static void quantize(const QuadTile& t, int j, Int pairs[]) {
    constexpr int kSums = kRows * kCount;
    Int sum[kSums];
    multiply<kRows, kCount, kStride>(t, j, sum);
    const Int scale = V::load(t.scale + j * (kBytes / 4));
    const Int zero_point = V::words(t.y_zero_point);
#pragma GCC unroll 4
    for (int i = 0; i < (kSums + 1) / 2; ++i) {
      const Int first = V::scaled(sum[2 * i], scale);
      const Int second = 2 * i + 1 < kSums ? V::scaled(sum[2 * i + 1], scale) : first;
      pairs[i] = V::to_words(first, second, zero_point);
    }
  }

  template <int kRows, int kCount, int kStride>
  [[gnu::noinline]] static void quantized(const QuadTile& t) {
    constexpr int kSums = kRows * kCount;
    constexpr int kPairs = (kSums + 1) / 2;
    Int low[kPairs], high[kPairs], words[kPairs];
    quantize<kRows, kCount, kStride>(t, 0, low);
    quantize<kRows, kCount, kStride>(t, 1, words);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) low[i] = V::to_bytes(low[i], words[i]);
    quantize<kRows, kCount, kStride>(t, 2, high);
    quantize<kRows, kCount, kStride>(t, 3, words);
#pragma GCC unroll 4
    for (int i = 0; i < kPairs; ++i) high[i] = V::to_bytes(high[i], words[i]);
    const Int lo = V::bytes(t.lo), hi = V::bytes(t.hi),
              mask = V::bytes(static_cast<int8_t>(t.y_mask));
#pragma GCC unroll 8
    for (int i = 0; i < kSums; ++i) {
      const Int bytes =
          i % 2 == 0 ? V::even(low[i / 2], high[i / 2]) : V::odd(low[i / 2], high[i / 2]);
      V::store(t.y + i / kCount * t.y_row_step + i % kCount * t.ldy,
               V::clamp(bytes, lo, hi) ^ mask);
    }
  }

  // Sums as they are, one pixel, channels in order: for what finish() does to them.
  template <int kRows>
  [[gnu::noinline]] static void sums(const QuadTile& t) {
    for (int j = 0; j < 4; ++j) {
      Int sum[kRows];
      multiply<kRows, 1, 0>(t, j, sum);
      for (int r = 0; r < kRows; ++r) {
        V::store_lanes(reinterpret_cast<int32_t*>(t.y + r * t.y_row_step) + 4 * j, sum[r]);
      }
    }
  }

  template <int kStride>
  static void run_of(int rows, int pixels, const QuadTile& t) {
    using Kernel = void (*)(const QuadTile&);
    static constexpr Kernel kKernels[2][kPixels] = {
        {quantized<1, 1, kStride>, quantized<1, 2, kStride>, quantized<1, 3, kStride>,
         quantized<1, 4, kStride>},
        {quantized<2, 1, kStride>, quantized<2, 2, kStride>, quantized<2, 3, kStride>,
         quantized<2, 4, kStride>}};
    kKernels[rows - 1][pixels - 1](t);
  }
  static void run(int rows, int pixels, const QuadTile& t) {
    const bool three = t.quads == 1 && t.columns == 3 && t.column_step == kColumn;
    if (three && t.pixel_step == kColumn) return run_of<1>(rows, pixels, t);
    if (three && t.pixel_step == 2 * kColumn) return run_of<2>(rows, pixels, t);
    run_of<0>(rows, pixels, t);
  }
  static void run_sums(int rows, const QuadTile& t) { rows == 1 ? sums<1>(t) : sums<2>(t); }
};

template <class Isa>
struct DepthwiseQuadRows {
  using Wide = QuadTiles<typename Isa::Wide>;
  using Narrow = QuadTiles<typename Isa::Narrow>;
  static constexpr int64_t kWide = Wide::kBytes, kNarrow = Narrow::kBytes;
  static constexpr int64_t kSpan = 64;  // columns of input that a tile spans, about: 16 KiB
  static constexpr int64_t kMaxQuads = 4;

  // How one problem is cut; cheap enough to make per run.
  struct Shape {
    int64_t rows;         // of output at once
    int64_t quads;        // of image rows that those read
    int64_t tile, tiles;  // output columns
    int64_t band, bands;  // output rows
    int64_t span;         // columns of a quad line
    int64_t blocks;
  };

  static Shape shape_of(const ConvParams& p) {
    Shape s{};
    s.quads = ceil_div(p.kernel_h, 4);
    const bool both = p.dilation_h == 1 && ceil_div(p.kernel_h + p.stride_h, 4) == s.quads;
    s.rows = both && p.OH > 1 ? 2 : 1;
    s.tiles = ceil_div(p.OW, larger(8, kSpan / p.stride_w));
    s.tile = ceil_div(p.OW, larger(1, s.tiles));
    s.span = (s.tile - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w + 1;
    s.blocks = p.C < kWide ? ceil_div(p.C, kNarrow) : ceil_div(p.C, kWide);

    // Some microseconds of work.
    constexpr int64_t kTaskMacs = 1 << 18;
    const int64_t row_macs = s.tile * kWide * p.kernel_h * p.kernel_w;
    const int64_t rows = round_up(larger(1, kTaskMacs / larger(1, row_macs)), s.rows);
    s.bands = ceil_div(p.OH, rows);
    s.band = round_up(ceil_div(p.OH, larger(1, s.bands)), s.rows);
    s.bands = ceil_div(p.OH, larger(1, s.band));
    return s;
  }

  struct Block {
    int64_t c0;
    bool wide;
    int64_t width() const { return wide ? kWide : kNarrow; }
  };
  static Block block_of(const ConvParams& p, int64_t i) {
    const bool wide = p.C >= kWide && (p.C - i * kWide > kNarrow);
    const int64_t c0 = i * (p.C < kWide ? kNarrow : kWide);
    return {smaller(c0, p.C - (wide ? kWide : kNarrow)), wide};
  }

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (!p.epilogue.integer) return "the operands are f32";
    if (p.volume) return "it has three spatial dims";
    if (!p.depthwise() || p.O != p.C) return "not one input and one output channel per group";
    if (p.C < kNarrow) return "there are fewer than 32 channels";
    if (p.kernel_h > 4 * kMaxQuads) return "the kernel has more than 16 rows";
    return problem.inputs[kInputW].constant != nullptr ? nullptr : "the weights are not constant";
  }

  static int64_t taps(const ConvParams& p, const Shape& s) { return s.quads * p.kernel_w; }
  static int64_t sums_bytes() { return kWide * static_cast<int64_t>(sizeof(int32_t)); }
  static int64_t block_bytes(const ConvParams& p, const Shape& s) {
    return sums_bytes() + 4 * taps(p, s) * s.rows * kWide;
  }

  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    return static_cast<size_t>(s.blocks * block_bytes(p, s));
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    const auto* w = static_cast<const int8_t*>(problem.inputs[kInputW].constant);
    memset(packed, 0, packed_bytes(problem));
    for (int64_t i = 0; i < s.blocks; ++i) {
      const Block block = block_of(p, i);
      auto* sums = reinterpret_cast<int32_t*>(static_cast<char*>(packed) + i * block_bytes(p, s));
      auto* out = reinterpret_cast<int8_t*>(sums) + sums_bytes();
      for (int64_t c = 0; c < block.width(); ++c) {
        const int64_t j = c % 16 / 4, at = c / 16 * 16 + c % 4 * 4;  // byte of a vector
        for (int64_t t = 0; t < p.kernel_h * p.kernel_w; ++t) {
          const int8_t value = w[(block.c0 + c) * p.kernel_h * p.kernel_w + t];
          sums[c] += value;
          for (int64_t r = 0; r < s.rows; ++r) {
            const int64_t row = t / p.kernel_w + r * p.stride_h;
            const int64_t tap = (j * s.quads + row / 4) * p.kernel_w + t % p.kernel_w;
            out[(tap * s.rows + r) * block.width() + at + row % 4] = value;
          }
        }
      }
    }
  }

  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    return p.B * s.bands * s.tiles * s.blocks;
  }

  // What every tile of a block uses.
  struct Constants {
    alignas(64) int32_t base[kWide];
    alignas(64) float scale[kWide];
    bool quantized;  // else sums are finished apart
  };
  // Scratch: quad lines [quad, span]; base and scale; sums [2, 64].
  static int64_t lines_bytes(const Shape& s) { return s.quads * s.span * Wide::kColumn; }
  static size_t scratch_bytes(const Problem& problem) {
    const Shape s = shape_of(problem.as<ConvParams>());
    return static_cast<size_t>(lines_bytes(s)) + sizeof(Constants) + 2 * kWide * sizeof(int32_t);
  }

  struct Context {
    const ConvParams* p;
    const Shape* s;
    Epilogue epilogue;
    bool quantized;  // outputs are s8 without a residual
    const uint8_t* x;
    const char* packed;
    uint8_t* lines;
    Constants* constants;
    int32_t* sums;
    alignas(64) uint8_t padding[kWide];
  };

  // Kernels do not clamp scaled sums before they round them, so those must not leave the range of
  // s32: scales of 1 and more are left to finish().
  static void set_constants(const Context& c, const Block& block, const int32_t* sums) {
    const Epilogue& e = c.epilogue;
    Constants& to = *c.constants;
    const auto zero_point = static_cast<uint32_t>(e.x_zero_point);
    const auto* bias = static_cast<const uint32_t*>(e.bias);
    to.quantized = c.quantized;
    for (int64_t n = 0; n < block.width() && to.quantized; n += 4) {
      const int64_t at = n % 16 / 4 * (block.width() / 4) + n / 16 * 4;
      for (int64_t i = 0; i < 4; ++i) {
        const int64_t channel = block.c0 + n + i;
        const uint32_t base = bias != nullptr ? bias[channel] : 0;
        to.base[at + i] =
            static_cast<int32_t>(base - zero_point * static_cast<uint32_t>(sums[n + i]));
        const float scale = e.scale[e.params.per_channel ? channel : 0];
        to.quantized &= scale > -1 && scale < 1;
        to.scale[at + i] = scale;
      }
    }
    if (!to.quantized) memset(to.base, 0, sizeof(to.base));
  }

  // A row of output, or several at once, of a tile of columns.
  struct Step {
    int64_t image, y, rows;
    int64_t x0, n;        // columns of output
    int64_t first, last;  // columns of quad lines that lie inside the image
  };

  // The rows of the image that quad q of a step interleaves, at the first column of the tile.
  struct Sources {
    const uint8_t* rows[4];
    int64_t steps[4];
  };
  static Sources sources_of(const Context& c, const Step& step, int64_t c0, int64_t q) {
    const ConvParams& p = *c.p;
    Sources from{};
    for (int64_t i = 0; i < 4; ++i) {
      // Rows that no weight is for: another one's cache lines will do.
      const int64_t last = p.kernel_h - 1 + (step.rows - 1) * p.stride_h;
      const int64_t row = smaller(4 * q + i, last);
      const int64_t h = step.y * p.stride_h - p.pad_h + row * p.dilation_h;
      const bool inside = h >= 0 && h < p.H;
      const int64_t w = step.x0 * p.stride_w - p.pad_w;
      const int64_t at = ((step.image * p.H + h) * p.W + w) * p.C + c0;
      from.rows[i] = inside ? c.x + at : c.padding;
      from.steps[i] = inside ? p.C : 0;
    }
    return from;
  }

  // The columns of a quad line inside the image.
  template <class Tiles>
  static void fill_line(const Context& c, const Step& step, int64_t c0, int64_t q) {
    Sources from = sources_of(c, step, c0, q);
    for (int64_t i = 0; i < 4; ++i) from.rows[i] += step.first * from.steps[i];
    Tiles::interleave(from.rows, from.steps, step.last - step.first,
                      c.lines + (q * c.s->span + step.first) * Tiles::kColumn);
  }
  // And those outside, which stay as they are.
  template <class Tiles>
  static void pad_line(const Context& c, const Step& step, int64_t q) {
    const Sources padding = {{c.padding, c.padding, c.padding, c.padding}, {}};
    uint8_t* line = c.lines + q * c.s->span * Tiles::kColumn;
    Tiles::interleave(padding.rows, padding.steps, step.first, line);
    Tiles::interleave(padding.rows, padding.steps, c.s->span - step.last,
                      line + step.last * Tiles::kColumn);
  }

  template <class Tiles>
  static void run_step(const Context& c, const Step& step, const Block& block, const int8_t* w,
                       const int32_t* column_sums) {
    const ConvParams& p = *c.p;
    const Shape& s = *c.s;
    const Epilogue& e = c.epilogue;
    const Constants& constants = *c.constants;
    for (int64_t q = 0; q < s.quads; ++q) fill_line<Tiles>(c, step, block.c0, q);

    QuadTile t{};
    t.column_step = p.dilation_w * Tiles::kColumn;
    t.pixel_step = p.stride_w * Tiles::kColumn;
    t.line_step = s.span * Tiles::kColumn;
    t.quads = s.quads;
    t.columns = p.kernel_w;
    t.w = w;
    t.w_step = s.rows * Tiles::kBytes;
    t.base = constants.base;
    t.scale = constants.scale;
    t.y_zero_point = static_cast<int16_t>(e.params.y_zero_point);
    t.lo = static_cast<int8_t>(static_cast<int32_t>(e.params.q_lo) + e.params.y_zero_point);
    t.hi = static_cast<int8_t>(static_cast<int32_t>(e.params.q_hi) + e.params.y_zero_point);
    t.y_mask = e.y_mask;
    t.ldy = p.O;
    t.y_row_step = p.OW * p.O;

    for (int64_t x = 0; x < step.n;) {
      const int64_t rest = step.n - x;
      const int64_t count =
          constants.quantized ? ceil_div(rest, ceil_div(rest, Tiles::kPixels)) : 1;
      t.line = c.lines + x * t.pixel_step;
      const int64_t pixel = (step.image * p.OH + step.y) * p.OW + step.x0 + x;
      if (constants.quantized) {
        t.y = static_cast<uint8_t*>(e.y) + pixel * p.O + block.c0;
        Tiles::run(static_cast<int>(step.rows), static_cast<int>(count), t);
      } else {
        run_apart<Tiles>(c, step, block, column_sums, pixel, t);
      }
      x += count;
    }
  }

  // Pixels with another epilogue, one by one.
  template <class Tiles>
  static void run_apart(const Context& c, const Step& step, const Block& block,
                        const int32_t* column_sums, int64_t pixel, QuadTile t) {
    const ConvParams& p = *c.p;
    t.y = reinterpret_cast<uint8_t*>(c.sums);
    t.y_row_step = kWide * static_cast<int64_t>(sizeof(int32_t));
    Tiles::run_sums(static_cast<int>(step.rows), t);
    Epilogue e = c.epilogue;
    e.column_sums = column_sums - block.c0;
    for (int64_t r = 0; r < step.rows; ++r) {
      for (int64_t n = 0; n < block.width(); n += 16) {
        const int64_t channel = block.c0 + n;
        Isa::finish(e, c.sums + r * kWide + n, kWide, 1, 16, channel,
                    (pixel + r * p.OW) * p.O + channel, p.O);
      }
    }
  }

  template <class Tiles>
  static void run_block(const Context& c, Step step, int64_t y1, const Block& block,
                        const void* packed) {
    const auto* sums = static_cast<const int32_t*>(packed);
    const auto* w = static_cast<const int8_t*>(packed) + sums_bytes();
    set_constants(c, block, sums);
    for (int64_t q = 0; q < c.s->quads; ++q) pad_line<Tiles>(c, step, q);
    for (; step.y < y1; step.y += step.rows) {
      step.rows = smaller(c.s->rows, y1 - step.y);
      run_step<Tiles>(c, step, block, w, sums);
    }
  }

  static void run_task(const Context& c, int64_t task) {
    const ConvParams& p = *c.p;
    const Shape& s = *c.s;
    const int64_t i = task % s.blocks;
    const int64_t tile = task / s.blocks % s.tiles;
    const int64_t band = task / (s.blocks * s.tiles) % s.bands;
    Step step{};
    step.image = task / (s.blocks * s.tiles * s.bands);
    step.y = band * s.band;
    step.x0 = tile * s.tile;
    step.n = smaller(s.tile, p.OW - step.x0);
    const int64_t column = step.x0 * p.stride_w - p.pad_w;  // of the image
    step.first = smaller(s.span, larger(0, -column));
    step.last = larger(step.first, smaller(s.span, p.W - column));
    const int64_t y1 = smaller(p.OH, step.y + s.band);
    const Block block = block_of(p, i);
    const char* packed = c.packed + i * block_bytes(p, s);
    if (block.wide) {
      run_block<Wide>(c, step, y1, block, packed);
    } else {
      run_block<Narrow>(c, step, y1, block, packed);
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const Shape s = shape_of(p);
    Context c{};
    c.p = &p;
    c.s = &s;
    c.epilogue = make_epilogue(p.epilogue, problem, call, nullptr);
    c.quantized = c.epilogue.scale != nullptr && c.epilogue.residual == nullptr &&
                  p.epilogue.output == DType::kS8;
    c.x = static_cast<const uint8_t*>(call.inputs[kInputX]);
    c.packed = static_cast<const char*>(call.packed);
    c.lines = static_cast<uint8_t*>(call.scratch);
    c.constants = reinterpret_cast<Constants*>(c.lines + lines_bytes(s));
    c.sums = reinterpret_cast<int32_t*>(c.constants + 1);
    memset(c.padding, c.epilogue.x_zero_point, sizeof(c.padding));
    for (int64_t task = begin; task < end; ++task) run_task(c, task);
  }
};

}  // namespace
}  // namespace pyrt
