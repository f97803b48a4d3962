// What the plane rows of all ISAs share (planes.h): the plane, the loops over tasks and tiles. An
// ISA file supplies
//
//   struct Isa {
//     using X;      // elements of a and w: int8_t or float
//     using P;      // elements of the plane: int16_t, uint8_t, uint32_t (four channels) or float
//     using Acc;    // int32_t or float
//     using Entry;  // one of planes.h
//     static constexpr bool kOffset;       // activations have the offset of 128
//     static constexpr int kTile;          // T, output pixels at a time, at most
//     static constexpr int kUnit;          // fewer are a multiple of it
//     static constexpr int64_t kBlockK;    // most k of a block; 0 where all k are one
//     static constexpr int64_t kGroup;     // columns that blocks are computed for, a multiple of
//     16 static constexpr int64_t kPlaneBytes;  // leave L2 room for weights
//     // acc[0..pixels) = (first ? 0 : acc) + the sum over entries [from, to).
//     static void column(const Entry* from, const Entry* to, const P* plane,
//                        const int32_t* offsets, int pixels, bool first, Acc* acc);
//     // acc[16][T], of which `columns` were computed, to out[T][16].
//     static void transpose(const Acc* acc, int columns, int pixels, Acc* out);
//     // plane[c * channel_step + j] = x[j * pixel_step + c] for j < count, c < C.
//     static void spread(const X* x, int64_t pixel_step, int64_t count, int64_t C, P* plane,
//                        int64_t channel_step);
//     static P filling(int32_t zero_point);  // of an element outside the image
//     static void finish(...);             // as in gemm/gemm-inl.h
//     // Optional, s8: the epilogue for s8 outputs without a residual on acc as it is, to
//     // out[T][16]; and rows of it to y.
//     static constexpr bool kQuantizes = true;
//     static void quantize(const Epilogue& e, const Acc* acc, int columns, int pixels, int64_t n,
//                          uint8_t* out);
//     static void copy(const uint8_t* from, int64_t rows, int columns, uint8_t* to, int64_t step);
//   };
#pragma once

#include "kernels/sparse_planes/planes_weights-inl.h"

namespace pyrt {
namespace {

// Params: GemmParams or ConvParams.
template <class Isa, class Params>
struct SparseRows {
  using X = typename Isa::X;
  using P = typename Isa::P;
  using Acc = typename Isa::Acc;
  using Entry = typename Isa::Entry;
  using Weights = SparseWeights<Isa>;
  static constexpr bool kInteger = Weights::kInteger;
  static constexpr int64_t kT = Isa::kTile;

  static SparseGeometry geometry(const Problem& problem) {
    return sparse_geometry(problem.as<Params>());
  }

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<Params>();
    if (p.epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    if (const char* reason = sparse_refusal(problem, p)) return reason;
    if (problem.facts == nullptr) return "there are no weights";
    const SparseGeometry g = geometry(problem);
    if (Weights::K(g) > kSparseMaxK) return "K is above 65535";
    if (plane_elements(g) > INT32_MAX) return "two lines of the input exceed 2^31 elements";
    const int64_t size = problem.inputs[kInputW].dims.count();
    if (problem.facts->nonzeros * 4 > size * 3) return "under a quarter of the weights are zero";
    return nullptr;
  }

  static size_t packed_bytes(const Problem& problem) {
    return Weights::packed_bytes(problem, geometry(problem));
  }
  static void pack(const Problem& problem, void* packed) {
    Weights::pack(problem, geometry(problem), packed);
  }

  // Tasks: images x bands; a band is a tile of columns (flat) or a run of output rows.
  static int64_t bands(const SparseGeometry& g) {
    const ConvParams& c = g.conv;
    if (g.flat) return larger(1, ceil_div(c.OW, kT));
    const int64_t line = Weights::channels(g) * g.phases() * g.columns({0, 0, 1, 0, c.OW}) *
                         static_cast<int64_t>(sizeof(P));
    const int64_t most =
        larger(2, Isa::kPlaneBytes / larger(1, line) - g.lines({0, 0, 1, 0, c.OW}) + 1);
    const int64_t least = larger(1, ceil_div(c.OH, most));
    // Two cores or more: at least four bands where each keeps several tiles.
    if (c.B * least < 4 && c.OH * c.OW >= 16 * kT) return larger(least, smaller(4, c.OH));
    return least;
  }
  static Rectangle rectangle(const SparseGeometry& g, int64_t task) {
    const int64_t count = bands(g), band = task % count, image = task / count;
    if (g.flat) return {image, 0, 1, band * kT, smaller(g.conv.OW, (band + 1) * kT)};
    return {image, part(g.conv.OH, count, band), part(g.conv.OH, count, band + 1), 0, g.conv.OW};
  }
  static int64_t tasks(const Problem& problem) {
    const SparseGeometry g = geometry(problem);
    return g.conv.B * bands(g);
  }

  // Elements of a phase: of the largest of the tasks' rectangles, so that offsets serve all; an odd
  // number of lines, else channels would compete for the same ones of L1.
  static int64_t area(const SparseGeometry& g) {
    if (g.flat) return kT;
    const Rectangle most{0, 0, ceil_div(g.conv.OH, bands(g)), 0, g.conv.OW};
    constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(P));
    return round_up(g.lines(most) * g.columns(most), 2 * kLine) + kLine;
  }
  static int64_t channel_step(const SparseGeometry& g) { return g.phases() * area(g); }
  static int64_t plane_elements(const SparseGeometry& g) {
    // A tile may begin at the last pixel and read T values at every offset.
    return round_up(Weights::channels(g) * channel_step(g) + kT + 16, 64);
  }
  static int64_t offsets_bytes(const SparseGeometry& g) { return round_up(Weights::K(g) * 4, 64); }
  // What a tile reads, aligned: a copy where it lies elsewhere in the plane for every tap.
  static int64_t tile_elements(const SparseGeometry& g) {
    return g.flat ? 0 : ceil_div(Weights::K(g), Weights::blocks(g)) * kT;
  }
  static constexpr int64_t kOutBytes = kPanel * kT * static_cast<int64_t>(sizeof(Acc));
  static constexpr int64_t kAccBytes = Isa::kGroup * kT * static_cast<int64_t>(sizeof(Acc));

  static size_t scratch_bytes(const Problem& problem) {
    const SparseGeometry g = geometry(problem);
    return static_cast<size_t>(kOutBytes + kAccBytes + 2 * offsets_bytes(g) +
                               (tile_elements(g) + plane_elements(g)) *
                                   static_cast<int64_t>(sizeof(P)));
  }

  static void fill_offsets(const SparseGeometry& g, int32_t* offsets) {
    const ConvParams& c = g.conv;
    const int64_t channels = Weights::channels(g), step = channel_step(g), phase_step = area(g);
    const int64_t columns = g.columns({0, 0, 1, 0, c.OW});
    for (int64_t ty = 0, k = 0; ty < c.kernel_h; ++ty) {
      for (int64_t tx = 0; tx < c.kernel_w; ++tx) {
        const int64_t y = ty * c.dilation_h, x = tx * c.dilation_w;
        const int64_t phase = (y % c.stride_h) * c.stride_w + x % c.stride_w;
        const int64_t tap = phase * phase_step + y / c.stride_h * columns + x / c.stride_w;
        for (int64_t ch = 0; ch < channels; ++ch, ++k) {
          offsets[k] = static_cast<int32_t>(ch * step + tap);
        }
      }
    }
  }

  static void fill(P* to, int64_t count, int64_t channels, int64_t step, P value) {
    if (count <= 0) return;
    for (int64_t ch = 0; ch < channels; ++ch) {
      for (int64_t j = 0; j < count; ++j) to[ch * step + j] = value;
    }
  }

  static void fill_plane(const SparseGeometry& g, const Rectangle& r, const X* x, P zero,
                         P* plane) {
    const ConvParams& c = g.conv;
    const int64_t lines = g.lines(r), columns = g.columns(r);
    const int64_t channels = Weights::channels(g), phase_step = area(g);
    const int64_t step = g.phases() * phase_step;
    for (int64_t phase = 0; phase < g.phases(); ++phase) {
      const int64_t py = phase / c.stride_w, px = phase % c.stride_w;
      // Plane column j is input column first + j * stride_w; [begin, end) of them are inside.
      const int64_t first = r.x0 * c.stride_w - c.pad_w + px;
      const int64_t begin = smaller(columns, first >= 0 ? 0 : ceil_div(-first, c.stride_w));
      const int64_t inside = c.W > first ? ceil_div(c.W - first, c.stride_w) : 0;
      const int64_t end = larger(begin, smaller(columns, inside));
      for (int64_t line = 0; line < lines; ++line) {
        P* to = plane + phase * phase_step + line * columns;
        const int64_t y = (r.y0 + line) * c.stride_h - c.pad_h + py;
        if (y < 0 || y >= c.H) {
          fill(to, columns, channels, step, zero);
          continue;
        }
        fill(to, begin, channels, step, zero);
        if (end > begin) {
          const X* from = x + ((r.image * c.H + y) * c.W + first + begin * c.stride_w) * c.C;
          Isa::spread(from, c.stride_w * c.C, end - begin, c.C, to + begin, step);
        }
        fill(to + end, columns - end, channels, step, zero);
      }
      // Tiles read on to pixels that are not stored, but no value should slow the arithmetic down.
      const int64_t written = lines * columns;
      fill(plane + phase * phase_step + written, phase_step - written, channels, step, P{0});
    }
    for (int64_t j = 0; j < kT + 16; ++j) plane[channels * step + j] = P{0};
  }

  // What run() has in scratch.
  struct Space {
    Acc* out;
    Acc* acc;
    int32_t* offsets;       // of every k in the plane
    int32_t* tile_offsets;  // and in a tile, from the first k of its block on
    P* tile;
    P* plane;

    Space(const SparseGeometry& g, void* scratch) {
      char* next = static_cast<char*>(scratch);
      out = reinterpret_cast<Acc*>(next);
      acc = reinterpret_cast<Acc*>(next + kOutBytes);
      offsets = reinterpret_cast<int32_t*>(next + kOutBytes + kAccBytes);
      tile_offsets = offsets + offsets_bytes(g) / 4;
      tile = reinterpret_cast<P*>(tile_offsets + offsets_bytes(g) / 4);
      plane = tile + tile_elements(g);
      fill_offsets(g, offsets);
      const int64_t blocks = Weights::blocks(g);
      for (int64_t block = 0, k = 0; block < blocks; ++block) {
        const int64_t first = k;
        for (; k < Weights::block_begin(g, block + 1); ++k) {
          tile_offsets[k] = static_cast<int32_t>((g.flat ? k : k - first) * kT);
        }
      }
    }
  };

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const SparseGeometry g = geometry(problem);
    const Weights w(g, call.packed);
    const Epilogue e = make_epilogue(g.conv.epilogue, problem, call, w.sums);
    const Space space(g, call.scratch);
    for (int64_t task = begin; task < end; ++task) {
      const Rectangle r = rectangle(g, task);
      if (r.y1 <= r.y0 || r.x1 <= r.x0) continue;
      fill_plane(g, r, static_cast<const X*>(call.inputs[kInputX]),
                 Isa::filling(g.conv.epilogue.x_zero_point), space.plane);
      const int64_t pixels = (r.y1 - r.y0 - 1) * g.columns(r) + (r.x1 - r.x0);
      for (int64_t q = 0; q < pixels; q += kT) {
        tile(e, g, w, r, q, smaller(q + kT, pixels), space);
      }
    }
  }

  // Copies what k of the block need for the pixels from q on.
  static void gather(const SparseGeometry& g, int64_t block, int64_t q, const Space& space) {
    const int64_t end = Weights::block_begin(g, block + 1);
    P* to = space.tile;
    for (int64_t k = Weights::block_begin(g, block); k < end; ++k, to += kT) {
      memcpy(to, space.plane + space.offsets[k] + q, kT * sizeof(P));
    }
  }

  // Pixels [q, last) of the raster, all columns.
  static void tile(const Epilogue& e, const SparseGeometry& g, const Weights& w, const Rectangle& r,
                   int64_t q, int64_t last, const Space& space) {
    const int pixels = static_cast<int>(round_up(last - q, Isa::kUnit));
    const int64_t blocks = Weights::blocks(g);
    const P* values = g.flat ? space.plane : space.tile;
    const uint32_t* start = w.starts;
    for (int64_t group = 0; group < g.N(); group += Isa::kGroup) {
      const int64_t width = smaller(Isa::kGroup, g.N() - group);
      for (int64_t block = 0; block < blocks; ++block) {
        if (!g.flat && (blocks > 1 || group == 0)) gather(g, block, q, space);
        for (int64_t i = 0; i < width; ++i, ++start) {
          Isa::column(w.entries + start[0], w.entries + start[1], values, space.tile_offsets,
                      pixels, block == 0, space.acc + i * kT);
        }
      }
      for (int64_t i = 0; i < width; i += kPanel) {
        finish_panel(e, g, r, q, last, group + i, static_cast<int>(smaller(kPanel, width - i)),
                     space.acc + i * kT, space.out);
      }
    }
  }

  // `columns` columns of accumulators from n on.
  static void finish_panel(const Epilogue& e, const SparseGeometry& g, const Rectangle& r,
                           int64_t q, int64_t last, int64_t n, int columns, const Acc* acc,
                           Acc* out) {
    const int pixels = static_cast<int>(round_up(last - q, Isa::kUnit));
    if constexpr (requires { Isa::kQuantizes; }) {
      if (e.params.output == DType::kS8 && e.residual == nullptr) {
        auto* bytes = reinterpret_cast<uint8_t*>(out);
        Isa::quantize(e, acc, columns, pixels, n, bytes);
        store(g, r, q, last, [&](int64_t i, int64_t rows, int64_t pixel) {
          Isa::copy(bytes + i * kPanel, rows, columns,
                    static_cast<uint8_t*>(e.y) + pixel * g.N() + n, g.N());
        });
        return;
      }
    }
    Isa::transpose(acc, columns, pixels, out);
    store(g, r, q, last, [&](int64_t i, int64_t rows, int64_t pixel) {
      Isa::finish(e, out + i * kPanel, kPanel, static_cast<int>(rows), columns, n,
                  pixel * g.N() + n, g.N());
    });
  }

  // Calls put(row of the tile, rows, output pixel) for the runs of pixels [q, last) of the raster
  // that are outputs: not those beyond the right edge.
  template <class Put>
  static void store(const SparseGeometry& g, const Rectangle& r, int64_t q, int64_t last,
                    const Put& put) {
    const int64_t columns = g.columns(r), used = r.x1 - r.x0;
    for (int64_t i = q; i < last;) {
      const int64_t y = i / columns, x = i % columns;
      const int64_t next = smaller(last, (y + 1) * columns);
      const int64_t rows = smaller(next, y * columns + used) - i;
      if (rows > 0) {
        put(i - q, rows, (r.image * g.conv.OH + r.y0 + y) * g.conv.OW + r.x0 + x);
      }
      i = next;
    }
  }
};

// One scalar multiply-add per non-zero: for matrices of a few rows.
template <class Isa>
struct SparseVectorRows {
  using Weights = SparseWeights<Isa>;
  using X = typename Isa::X;
  using Acc = typename Isa::Acc;
  static_assert(Isa::kBlockK == 0, "entries lie in the order of columns");

  static int64_t blocks(const GemmParams& p) { return ceil_div(p.N, 64); }
  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    return p.M * blocks(p);
  }

  static int32_t dot(const SparsePair* from, const SparsePair* to, const int8_t* x) {
    uint32_t acc[2] = {};
    for (; from < to; ++from) {
      acc[0] += static_cast<uint32_t>(from->w[0] * x[from->k[0]]);
      acc[1] += static_cast<uint32_t>(from->w[1] * x[from->k[1]]);
    }
    return static_cast<int32_t>(acc[0] + acc[1]);
  }
  static float dot(const SparseEntry* from, const SparseEntry* to, const float* x) {
    float acc[4] = {};
    for (; from + 4 <= to; from += 4) {
      for (int i = 0; i < 4; ++i) acc[i] += from[i].w * x[from[i].k];
    }
    for (int i = 0; from < to; ++from, ++i) acc[i] += from->w * x[from->k];
    return (acc[0] + acc[2]) + (acc[1] + acc[3]);
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<GemmParams>();
    const Weights w(sparse_geometry(p), call.packed);
    const Epilogue e = make_epilogue(p.epilogue, problem, call, w.sums);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m = task / blocks(p), first = task % blocks(p) * 64;
      const X* x = static_cast<const X*>(call.inputs[kInputX]) + m * p.K;
      for (int64_t n = first; n < smaller(p.N, first + 64); n += kPanel) {
        const int width = static_cast<int>(smaller(kPanel, p.N - n));
        alignas(64) Acc acc[kPanel] = {};
        for (int i = 0; i < width; ++i) {
          acc[i] = dot(w.entries + w.starts[n + i], w.entries + w.starts[n + i + 1], x);
        }
        Isa::finish(e, acc, kPanel, 1, width, n, m * p.N + n, p.N);
      }
    }
  }
};

// Entries beyond this share of an L2 cache come from farther away for every tile.
inline constexpr double kNearEntryBytes = 512 * 1024, kFarByteNs = 0.08;

// Predicted times: of an entry times a full tile, and more where what a tile reads exceeds L1, or
// L2 with the entries; of a column of a tile (beginning, end and a mispredicted branch); of an
// output's transposition and epilogue; of an input's copy to the plane.
struct SparseRates {
  double entry_ns;
  double l2_ns, far_ns;
  double column_ns;
  double output_ns;
  double input_ns;
  double call_ns;
};

template <class Isa, class Params>
double sparse_cost_ns(const SparseRates& rates, const Problem& problem) {
  using Rows = SparseRows<Isa, Params>;
  using Weights = SparseWeights<Isa>;
  const SparseGeometry g = Rows::geometry(problem);
  const ConvParams& c = g.conv;
  const double bands = static_cast<double>(c.B * Rows::bands(g));
  const Rectangle r{0, 0, ceil_div(c.OH, Rows::bands(g)), 0, g.flat ? Rows::kT : c.OW};
  // Tiles of one band, the last one partly; of a matrix, those of all rows.
  const int64_t raster = g.flat ? c.OW : (r.y1 - 1) * g.columns(r) + r.x1;
  const double tiles =
      (g.flat ? 1 : bands) * static_cast<double>(round_up(raster, Isa::kUnit)) / Rows::kT;
  const double calls = (g.flat ? 1 : bands) * static_cast<double>(ceil_div(raster, Rows::kT));
  const double inputs =
      (g.flat ? static_cast<double>(c.OW)
              : bands * static_cast<double>(g.phases() * g.lines(r) * g.columns(r))) *
      static_cast<double>(c.C);
  const double N = static_cast<double>(g.N());
  const int64_t tile_bytes =
      Weights::K(g) / Weights::blocks(g) * Rows::kT * static_cast<int64_t>(sizeof(typename Isa::P));
  // Share of the way from one size to another.
  const auto between = [tile_bytes](int64_t from, int64_t to) {
    return static_cast<double>(smaller(larger(tile_bytes, from), to) - from) /
           static_cast<double>(to - from);
  };
  const double entry_ns = rates.entry_ns + rates.l2_ns * between(32 << 10, 64 << 10) +
                          rates.far_ns * between(64 << 10, 320 << 10);
  const double times =
      static_cast<double>(Weights::blocks(g) > 1 ? ceil_div(g.N(), Isa::kGroup) : 1);
  const double gathered =
      g.flat ? 0
             : calls * times * static_cast<double>(Weights::K(g)) *
                   (0.6 + static_cast<double>(Rows::kT * sizeof(typename Isa::P)) * 0.011);
  const double entries = Weights::expected_entries(problem, g);
  const double far_bytes =
      entries * static_cast<double>(sizeof(typename Isa::Entry)) - kNearEntryBytes;
  const double streamed = far_bytes > 0 ? calls * far_bytes * kFarByteNs : 0;
  return rates.call_ns + tiles * entries * entry_ns + streamed +
         calls * N * static_cast<double>(Weights::blocks(g)) * rates.column_ns +
         tiles * Rows::kT * static_cast<double>(round_up(g.N(), kPanel)) * rates.output_ns +
         inputs * rates.input_ns + static_cast<double>(Weights::K(g)) * 0.3 + gathered;
}

// `ns`: of a non-zero.
template <class Isa>
double sparse_vector_cost_ns(double ns, const Problem& problem) {
  const auto& p = problem.as<GemmParams>();
  const auto nonzeros = static_cast<double>(problem.facts->nonzeros);
  return 150 + static_cast<double>(p.M) * (nonzeros * ns + static_cast<double>(p.N) * 0.6);
}

template <class Isa, class Params>
constexpr Row sparse_row(std::string_view name, std::string_view family, FormRule forms,
                         FeatureMask features, std::string_view packing,
                         double (*cost_ns)(const Problem&)) {
  using Rows = SparseRows<Isa, Params>;
  using Format = SparseFormat<typename Isa::Entry>;
  return {.name = name,
          .family = family,
          .exactness = Rows::kInteger ? Exactness::kExact : Exactness::kFast,
          .features = features,
          .forms = forms,
          .offset = Isa::kOffset ? Offset::kTakes : Offset::kNever,
          .compressed = true,
          .mr = static_cast<uint16_t>(Rows::kT),
          .nr = 1,
          .kr = static_cast<uint16_t>(Format::kLanes * Format::kPerEntry),
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

template <class Isa>
constexpr Row sparse_vector_row(std::string_view name, FeatureMask features,
                                std::string_view packing, double (*cost_ns)(const Problem&)) {
  Row row = sparse_row<Isa, GemmParams>(name, "gemm", FormRule::kPlain, features, packing, cost_ns);
  row.mr = 1;
  row.tasks = SparseVectorRows<Isa>::tasks;
  row.scratch_bytes = nullptr;
  row.run = SparseVectorRows<Isa>::run;
  return row;
}

}  // namespace
}  // namespace pyrt
