// How conv rows find their operands without im2col. The input lines that a block of output pixels
// needs are prepared once, padding included, as [lines][columns][C/group]; an output pixel is then
// a pointer into them, and a kernel's taps are offsets from it (Segments in gemm/gemm-inl.h). Where
// nothing has to be padded or converted, the pointers go into the operand itself.
//
// Prepared lines of consecutive images (and of the planes of a volume) follow each other like those
// of one image, so tiles of the product may straddle output lines and images: 7 x 7 pixels still
// fill tiles of 6 rows.
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"

namespace pyrt {
namespace {

// What of a convolution does not depend on a block. Coordinates: a prepared plane (line, column) l
// is input plane (line, column) l * step - pad.
struct ConvGeometry {
  int64_t B, D, H, W, OD, OH, OW;  // a pointwise convolution is one line of all pixels
  int64_t Cg;                      // channels of a group
  bool in_place;                   // the operand serves as prepared lines
  bool runs;                       // the taps of a kernel row are one run
  int64_t taps_d, taps_h, taps_w;  // rows are multiplied at; taps_w is 1 where they are runs
  int64_t run, segment;            // elements of a tap, and the same rounded up to kKr
  int64_t step_d, step_h, step_w;
  // Prepared planes (lines, columns) from one output pixel to the next, and under a kernel.
  int64_t stride_d, stride_h, stride_w;
  int64_t reach_d, reach_h, reach_w;
  int64_t planes, plane_lines, columns;  // prepared ones of an image, of a plane, of a line

  PYRT_INLINE int64_t M() const { return B * OD * OH * OW; }
  PYRT_INLINE int64_t output_lines() const { return B * OD * OH; }
  PYRT_INLINE int64_t image_lines() const { return planes * plane_lines; }
  // The first prepared line under output line y, both counted over all images.
  PYRT_INLINE int64_t line_of(int64_t y) const {
    return y / OH / OD * image_lines() + y / OH % OD * stride_d * plane_lines + y % OH * stride_h;
  }
  // From there to the last under the same kernel.
  PYRT_INLINE int64_t reach_lines() const { return (reach_d - 1) * plane_lines + reach_h - 1; }
  PYRT_INLINE int64_t taps() const { return taps_d * taps_h * taps_w; }
  PYRT_INLINE int64_t K() const { return taps() * segment; }
};

// How the product is cut into tasks: blocks of rows of one group times runs of panels.
struct ConvBlocks {
  int64_t panels, n_blocks, m_blocks;
  int64_t line_blocks;  // of one output line; 0 where blocks run over lines
  int64_t cut;          // rows are cut at multiples of it
  int64_t rows;         // the most of a block, as are:
  int64_t lines, columns;
};

template <class Isa>
struct ConvLines {
  using X = typename Isa::X;
  using A = typename Isa::A;
  // Blocks are cut at multiples of it, but those of one unit evenly, for threads to share them.
  static constexpr int64_t kUnit = block_mr<Isa>();
  static constexpr int64_t kBlockBytes = 160 * 1024;  // L2 has 256 KiB and more
  static constexpr int64_t kMostRows = 1536;          // 12 KiB of pointers
  static constexpr int64_t kWeightBytes = 256 * 1024;
  static constexpr int64_t kTaskMacs = 1 << 18;  // a few microseconds

  static ConvGeometry geometry(const ConvParams& p) {
    ConvGeometry g{};
    g.B = p.B, g.D = p.D, g.H = p.H, g.W = p.W, g.OD = p.OD, g.OH = p.OH, g.OW = p.OW;
    if (p.pointwise()) {
      g.W = g.OW = p.B * p.D * p.H * p.W;
      g.B = g.D = g.H = g.OD = g.OH = 1;
    }
    g.Cg = p.C / p.group;
    // The last pixel's kernel ends inside, so all do.
    const bool inside = p.pad_d == 0 && p.pad_h == 0 && p.pad_w == 0 &&
                        (p.OD - 1) * p.stride_d + (p.kernel_d - 1) * p.dilation_d < p.D &&
                        (p.OH - 1) * p.stride_h + (p.kernel_h - 1) * p.dilation_h < p.H &&
                        (p.OW - 1) * p.stride_w + (p.kernel_w - 1) * p.dilation_w < p.W;
    const bool adjacent = p.kernel_w == 1 || p.dilation_w == 1;
    const int64_t row_run = p.kernel_w * g.Cg;
    const int64_t in_place_run = adjacent && p.group == 1 ? row_run : g.Cg;
    g.in_place = Isa::kInPlace && inside && in_place_run % Isa::kKr == 0;
    g.runs = adjacent && !(g.in_place && p.group != 1);
    g.taps_d = p.kernel_d;
    g.taps_h = p.kernel_h;
    g.taps_w = g.runs ? 1 : p.kernel_w;
    g.run = g.runs ? row_run : g.Cg;
    g.segment = round_up(g.run, Isa::kKr);
    // A kernel of one plane, line or column needs only every stride-th of them.
    const bool thin_d = p.kernel_d == 1 && !g.in_place;
    const bool thin_h = p.kernel_h == 1 && !g.in_place;
    const bool thin_w = p.kernel_w == 1 && !g.in_place;
    g.step_d = thin_d ? p.stride_d : 1;
    g.step_h = thin_h ? p.stride_h : 1;
    g.step_w = thin_w ? p.stride_w : 1;
    g.stride_d = thin_d ? 1 : p.stride_d;
    g.stride_h = thin_h ? 1 : p.stride_h;
    g.stride_w = thin_w ? 1 : p.stride_w;
    g.reach_d = (p.kernel_d - 1) * p.dilation_d + 1;
    g.reach_h = (p.kernel_h - 1) * p.dilation_h + 1;
    g.reach_w = (p.kernel_w - 1) * p.dilation_w + 1;
    g.planes = g.in_place ? g.D : (larger(g.OD, 1) - 1) * g.stride_d + g.reach_d;
    g.plane_lines = g.in_place ? g.H : (larger(g.OH, 1) - 1) * g.stride_h + g.reach_h;
    g.columns = g.in_place ? g.W : (larger(g.OW, 1) - 1) * g.stride_w + g.reach_w;
    return g;
  }

  // Hostile strides, dilations and paddings could ask for any amount of scratch.
  static bool reasonable(const ConvParams& p) {
    constexpr double kMostBytes = 1e9;
    const ConvGeometry g = geometry(p);
    if (g.in_place) return true;
    if (static_cast<double>(g.planes) * static_cast<double>(g.plane_lines) > 1e12) return false;
    if (static_cast<double>(g.taps()) * 8 > kMostBytes) return false;
    const ConvBlocks b = blocks(p, g);
    return static_cast<double>(b.lines) * static_cast<double>(b.columns) *
               static_cast<double>(g.Cg) * sizeof(A) <
           kMostBytes;
  }

  // `computed`: the weights are packed in the run, by the tasks that use them.
  static ConvBlocks blocks(const ConvParams& p, const ConvGeometry& g, bool computed = false) {
    const int64_t M = g.M();
    // Bytes of an output line's input lines that are read; an operand in place has gaps.
    const int64_t pixel_bytes = g.Cg * static_cast<int64_t>(sizeof(A));
    const int64_t columns_each = smaller(g.stride_w, p.kernel_w);
    const int64_t lines_each = smaller(g.stride_h, p.kernel_h);
    const int64_t line_bytes = larger(1, g.OW * columns_each * pixel_bytes);
    const int64_t output_lines = larger(1, g.output_lines());
    ConvBlocks b{};
    b.panels = ceil_div(p.N(), kPanel);

    // Output lines whose input lines fit the budget.
    const int64_t halo = p.kernel_h - lines_each;
    const int64_t fit = (kBlockBytes / line_bytes / p.kernel_d - halo) / lines_each;
    const bool over_lines = output_lines > 1 && fit >= 2;
    // Blocks of few lines that begin inside one share more of the prepared lines with their
    // neighbours. Not where a panel would not stay in L2 beside them, nor with fitted weights,
    // whose rows are cut at multiples of kUnit.
    const bool whole_lines =
        over_lines && g.OW > 0 && !g.in_place && sizeof(A) == sizeof(float) &&
        kPanel * g.K() * static_cast<int64_t>(sizeof(typename Isa::W)) <= kBlockBytes;
    int64_t most;  // rows of a block
    if (over_lines) {
      // A run that begins inside a line touches one more.
      most = (whole_lines ? fit : fit - 1) * g.OW;
    } else {
      const int64_t columns = kBlockBytes / larger(1, p.kernel_d * p.kernel_h * pixel_bytes);
      most = smaller((columns - g.reach_w) / columns_each + 1, g.OW);
    }
    most = smaller(most, kMostRows);

    const double macs = static_cast<double>(M) * static_cast<double>(p.N()) *
                        static_cast<double>(g.K()) * static_cast<double>(p.group);
    const int64_t wanted =
        macs > 16.0 * kTaskMacs ? 16 : static_cast<int64_t>(macs / kTaskMacs) + 1;
    const int64_t weight_bytes =
        b.panels * kPanel * g.K() * static_cast<int64_t>(sizeof(typename Isa::W));
    // Weights beyond L2 are split between tasks rather than read by each.
    if (weight_bytes <= kWeightBytes) {
      const int64_t least = row_unit<Isa>() == 1 ? 4 : (M > 2 * kUnit ? 2 : 1);
      most = smaller(most, larger(least * kUnit, ceil_div(M, smaller(8, wanted))));
    }
    const bool whole = whole_lines && most >= g.OW && most <= 8 * g.OW;
    const int64_t unit = whole ? g.OW : kUnit;
    const int64_t tiles = larger(1, most / unit);
    b.cut = !whole && tiles == 1 ? Isa::kMr : unit;
    if (over_lines) {
      b.m_blocks = ceil_div(ceil_div(larger(1, M), unit), tiles);
      b.rows = ceil_div(ceil_div(larger(1, M), b.cut), b.m_blocks) * b.cut;
      const int64_t touched =
          whole ? b.rows / g.OW : smaller(output_lines, (b.rows + g.OW - 2) / larger(1, g.OW) + 1);
      b.lines = most_lines(g, touched);
      b.columns = g.columns;
    } else {
      b.line_blocks = ceil_div(ceil_div(larger(1, g.OW), kUnit), tiles);
      b.m_blocks = output_lines * b.line_blocks;
      b.rows = ceil_div(ceil_div(larger(1, g.OW), b.cut), b.line_blocks) * b.cut;
      b.lines = g.reach_lines() + 1;
      b.columns = smaller(g.columns, (b.rows - 1) * g.stride_w + g.reach_w);
    }
    const int64_t m_tasks = larger(1, b.m_blocks * p.group);
    b.n_blocks = larger(1, smaller(ceil_div(wanted, m_tasks), ceil_div(b.panels, 4)));
    if (computed) {  // a task's panels leave L2 room for its lines
      const int64_t least = ceil_div(weight_bytes, kWeightBytes / 2);
      b.n_blocks = larger(1, smaller(b.panels, larger(b.n_blocks, least)));
    }
    return b;
  }

  // Prepared lines from the first to the last under so many output lines: where they go on in
  // another plane or image, the rest of the one before is skipped.
  static int64_t most_lines(const ConvGeometry& g, int64_t output_lines) {
    const auto crossings = [&](int64_t lines, int64_t of) {
      return smaller(g.output_lines() / larger(1, lines) - 1, (of + lines - 2) / larger(1, lines));
    };
    const int64_t to_plane = g.stride_d * g.plane_lines - g.OH * g.stride_h;
    const int64_t to_image = g.image_lines() - g.OD * g.stride_d * g.plane_lines;
    return (output_lines - 1) * g.stride_h + g.reach_lines() + 1 +
           larger(0, crossings(g.OH, output_lines)) * larger(0, to_plane) +
           larger(0, crossings(g.OD * g.OH, output_lines)) * larger(0, to_image);
  }

  // Scratch: prepared lines, then row pointers, then taps. 64 bytes of slack for segments that are
  // longer than their run (their weights are zero).
  static int64_t lines_bytes(const ConvGeometry& g, const ConvBlocks& b) {
    if (g.in_place) return 0;
    const int64_t elements = b.lines * b.columns * g.Cg;
    return round_up(elements * static_cast<int64_t>(sizeof(A)) + 64, 64);
  }
  static int64_t pointers_bytes(const ConvBlocks& b) {
    return b.rows * static_cast<int64_t>(sizeof(const A*));
  }
  static int64_t scratch_bytes(const ConvGeometry& g, const ConvBlocks& b) {
    return lines_bytes(g, b) + pointers_bytes(b) + g.taps() * static_cast<int64_t>(sizeof(int64_t));
  }

  static void taps(const ConvParams& p, const ConvGeometry& g, const ConvBlocks& b, int64_t* out) {
    const int64_t pixel = g.in_place ? p.C : g.Cg;
    const int64_t line = pixel * (g.in_place ? g.W : b.columns);
    for (int64_t t = 0; t < g.taps_d * g.taps_h; ++t) {
      const int64_t down =
          t / g.taps_h * p.dilation_d * g.plane_lines + t % g.taps_h * p.dilation_h;
      for (int64_t t_w = 0; t_w < g.taps_w; ++t_w) {
        *out++ = down * line + t_w * p.dilation_w * pixel;
      }
    }
  }

  // Predicted time of preparing all lines of a group: an element costs 0.04 ns to widen or copy, a
  // line about 15 ns, a run of channels that is not a line 4 ns.
  static double prepare_ns(const ConvParams& p, const ConvGeometry& g, const ConvBlocks& b) {
    if (g.in_place) return 0;
    const double lines = static_cast<double>(b.m_blocks) * static_cast<double>(b.lines);
    const double runs = g.step_w > 1 || p.group > 1 ? 4 * static_cast<double>(b.columns) : 15;
    return lines * (runs + 0.04 * static_cast<double>(b.columns * g.Cg));
  }

  // Output pixels [*first, *first + returned) of block i.
  static int64_t rows_of(const ConvGeometry& g, const ConvBlocks& b, int64_t i, int64_t* first) {
    if (g.M() == 0) return 0;
    const int64_t per_line = b.line_blocks == 0 ? b.m_blocks : b.line_blocks;
    const int64_t pixels = b.line_blocks == 0 ? g.M() : g.OW;
    const int64_t tiles = ceil_div(pixels, b.cut);
    const int64_t begin = part(tiles, per_line, i % per_line) * b.cut;
    const int64_t end = smaller(pixels, part(tiles, per_line, i % per_line + 1) * b.cut);
    *first = i / per_line * pixels + begin;
    return end - begin;
  }

  // Pointers to output pixels [m0, m0 + rows), and the lines they point to prepared where they do
  // not go to x itself.
  static void prepare(const ConvParams& p, const ConvGeometry& g, const ConvBlocks& b, const X* x,
                      int64_t group, int64_t m0, int64_t rows, A padding, A* lines,
                      const A** pointers) {
    const int64_t y0 = m0 / g.OW;  // output lines, over all images
    const int64_t first_line = g.line_of(y0);
    const int64_t first_column = b.line_blocks == 0 ? 0 : m0 % g.OW * g.stride_w;
    const int64_t pixel = g.in_place ? p.C : g.Cg;
    const int64_t line = pixel * (g.in_place ? g.W : b.columns);
    const A* from = lines;
    if (g.in_place) {
      from = reinterpret_cast<const A*>(x) + group * g.Cg;
      from += first_line * line + first_column * pixel;
    } else {
      const int64_t y1 = (m0 + rows - 1) / g.OW;
      const int64_t last_line = g.line_of(y1) + g.reach_lines();
      const int64_t columns = b.line_blocks == 0 ? b.columns : (rows - 1) * g.stride_w + g.reach_w;
      for (int64_t l = first_line; l <= last_line; ++l) {
        prepare_line(p, g, x + group * g.Cg, l, y0, y1, first_column, columns, padding,
                     lines + (l - first_line) * line);
      }
    }
    int64_t column = m0 % g.OW;
    for (int64_t y = y0; rows > 0; ++y, column = 0) {
      const int64_t l = g.line_of(y) - first_line;
      const int64_t count = smaller(rows, g.OW - column);
      const A* at = from + l * line + (column * g.stride_w - first_column) * pixel;
      for (int64_t i = 0; i < count; ++i) pointers[i] = at + i * g.stride_w * pixel;
      pointers += count;
      rows -= count;
    }
  }

  // Columns [first, first + count) of prepared line l; `x` is the group's first channel. Lines that
  // no output line in [y0, y1] needs are left out.
  static void prepare_line(const ConvParams& p, const ConvGeometry& g, const X* x, int64_t l,
                           int64_t y0, int64_t y1, int64_t first, int64_t count, A padding,
                           A* out) {
    const int64_t image = l / g.image_lines();
    const int64_t plane = l % g.image_lines() / g.plane_lines;
    const int64_t in_plane = l % g.plane_lines;
    if ((p.kernel_d > 1 || p.dilation_h > 1 || g.stride_h > p.kernel_h) &&
        !needed(p, g, image, plane, in_plane, y0, y1)) {
      return;
    }
    const int64_t id = plane * g.step_d - p.pad_d;
    const int64_t ih = in_plane * g.step_h - p.pad_h;
    if (id < 0 || id >= g.D || ih < 0 || ih >= g.H) {
      fill(out, count * g.Cg, padding);
      return;
    }
    const X* from = x + ((image * g.D + id) * g.H + ih) * g.W * p.C;
    if (g.step_w > 1 || p.group > 1) {
      for (int64_t i = 0; i < count; ++i, out += g.Cg) {
        const int64_t iw = (first + i) * g.step_w - p.pad_w;
        if (iw < 0 || iw >= g.W) {
          fill(out, g.Cg, padding);
        } else {
          Isa::prepare(from + iw * p.C, g.Cg, out);
        }
      }
      return;
    }
    const int64_t before = smaller(count, larger(0, p.pad_w - first));
    const int64_t begin = first + before - p.pad_w;
    const int64_t inside = larger(0, smaller(count - before, g.W - begin));
    out = fill(out, before * g.Cg, padding);
    if (inside > 0) Isa::prepare(from + begin * g.Cg, inside * g.Cg, out);
    fill(out + inside * g.Cg, (count - before - inside) * g.Cg, padding);
  }

  static bool needed(const ConvParams& p, const ConvGeometry& g, int64_t image, int64_t plane,
                     int64_t in_plane, int64_t y0, int64_t y1) {
    for (int64_t t = 0; t < p.kernel_d * p.kernel_h; ++t) {
      const int64_t d = plane - t / p.kernel_h * p.dilation_d;
      const int64_t h = in_plane - t % p.kernel_h * p.dilation_h;
      if (d < 0 || h < 0 || d % g.stride_d != 0 || h % g.stride_h != 0) continue;
      const int64_t od = d / g.stride_d;
      const int64_t oh = h / g.stride_h;
      const int64_t y = (image * g.OD + od) * g.OH + oh;
      if (od < g.OD && oh < g.OH && y >= y0 && y <= y1) return true;
    }
    return false;
  }

  static A* fill(A* to, int64_t count, A value) {
    for (int64_t i = 0; i < count; ++i) to[i] = value;
    return to + count;
  }
};

}  // namespace
}  // namespace pyrt
