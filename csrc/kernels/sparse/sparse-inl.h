// What the sparse rows of all ISAs share (sparse.h): packing, the plane, the loops over tasks and
// tiles. An ISA file supplies
//
//   struct Isa {
//     using X;      // elements of a and w: int8_t or float
//     using P;      // elements of the plane: int16_t or float
//     using Acc;    // int32_t or float
//     using Entry;  // SparsePair or SparseEntry
//     static constexpr int kTile;  // T, output pixels at a time
//     // acc[i][0..T) = sum over entries [starts[i], starts[i + 1]) for 16 columns i (those from
//     // `columns` on are not read), then transposed to out[0..T)[16].
//     static void tile(const Entry* entries, const uint32_t* starts, int columns, const P* plane,
//                      const int32_t* offsets, Acc* acc, Acc* out);
//     // plane[c * channel_step + j] = x[j * pixel_step + c] for j < count, c < C.
//     static void spread(const X* x, int64_t pixel_step, int64_t count, int64_t C, P* plane,
//                        int64_t channel_step);
//     static void finish(...);     // as in gemm/gemm-inl.h
//   };
#pragma once

#include "kernels/common/epilogue-inl.h"
#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/gemm.h"
#include "kernels/sparse/sparse.h"

namespace pyrt {
namespace {

// One rectangle of output pixels and the part of the input that it reads.
struct Rectangle {
  int64_t image, y0, y1, x0, x1;
};

// Weights and geometry of a gemm (as an image of height 1) or a conv.
struct SparseGeometry {
  ConvParams conv;
  bool is_conv = false;
  bool transposed = false;  // w is [N, K]: conv, or gemm with trans_b
  bool flat = false;        // kernel 1x1, stride 1: pixels are rows of a matrix

  PYRT_INLINE int64_t N() const { return conv.O; }
  PYRT_INLINE int64_t K() const { return conv.K(); }
  PYRT_INLINE int64_t lines(const Rectangle& r) const {
    const int64_t rows = (r.y1 - r.y0 - 1) * conv.stride_h + (conv.kernel_h - 1) * conv.dilation_h;
    return rows / conv.stride_h + 1;
  }
  PYRT_INLINE int64_t columns(const Rectangle& r) const {
    const int64_t width = (r.x1 - r.x0 - 1) * conv.stride_w + (conv.kernel_w - 1) * conv.dilation_w;
    return width / conv.stride_w + 1;
  }
  PYRT_INLINE int64_t phases() const { return conv.stride_h * conv.stride_w; }

  // Calls visit(k, index of the weight of (k, n) in the operand) for k = tap * C + c ascending.
  template <class Visit>
  PYRT_INLINE void weights_of(int64_t n, const Visit& visit) const {
    if (!is_conv) {
      for (int64_t k = 0; k < K(); ++k) visit(k, transposed ? n * K() + k : k * N() + n);
      return;
    }
    const int64_t taps = conv.kernel_h * conv.kernel_w;
    for (int64_t t = 0, k = 0; t < taps; ++t) {
      for (int64_t c = 0; c < conv.C; ++c, ++k) visit(k, (n * conv.C + c) * taps + t);
    }
  }
};

PYRT_INLINE SparseGeometry sparse_geometry(const GemmParams& p) {
  SparseGeometry g;
  g.conv.B = 1;
  g.conv.C = p.K;
  g.conv.W = g.conv.OW = p.M;
  g.conv.O = p.N;
  g.conv.epilogue = p.epilogue;
  g.transposed = p.trans_b;
  g.flat = true;
  return g;
}

PYRT_INLINE SparseGeometry sparse_geometry(const ConvParams& p) {
  SparseGeometry g;
  g.conv = p;
  g.is_conv = true;
  g.transposed = true;
  g.flat = p.pointwise();
  if (g.flat) {
    g.conv.W = g.conv.OW = p.B * p.H * p.W;
    g.conv.B = g.conv.H = g.conv.OH = 1;
  }
  return g;
}

PYRT_INLINE const char* sparse_refusal(const Problem& problem, const GemmParams& p) {
  if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
  if (p.trans_a) return "the activations are transposed";
  if (p.batch != 1) return "the product has batch dims";
  return nullptr;
}
PYRT_INLINE const char* sparse_refusal(const Problem& problem, const ConvParams& p) {
  if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
  if (p.group != 1) return "the convolution is grouped";
  if (p.volume) return "it has three spatial dims";
  return nullptr;
}

// Params: GemmParams or ConvParams.
template <class Isa, class Params>
struct SparseRows {
  using X = typename Isa::X;
  using P = typename Isa::P;
  using Acc = typename Isa::Acc;
  using Entry = typename Isa::Entry;
  static constexpr bool kInteger = sizeof(X) == 1;
  static constexpr int64_t kPerEntry = kInteger ? 2 : 1;
  static constexpr int64_t kT = Isa::kTile;
  static constexpr int64_t kPlaneBytes = 192 * 1024;  // leaves an L2 of 256 KiB room for weights

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
    if (g.K() > kSparseMaxK) return "K is above 65535";
    if (plane_elements(g, largest(g)) > INT32_MAX)
      return "two lines of the input exceed 2^31 elements";
    const int64_t size = problem.inputs[kInputW].dims.count();
    if (problem.facts->nonzeros * 4 > size * 3) return "under a quarter of the weights are zero";
    return nullptr;
  }

  // The most entries that the weights can need: every column may have an odd one.
  static int64_t entry_capacity(const Problem& problem, const SparseGeometry& g) {
    const int64_t nonzeros = problem.facts->nonzeros;
    return kInteger ? (nonzeros + g.N()) / 2 + 1 : nonzeros;
  }
  static int64_t starts_bytes(const SparseGeometry& g) { return round_up(g.N() + 1, 16) * 4; }
  static int64_t all_sums_bytes(const SparseGeometry& g) {
    return kInteger ? sums_bytes(g.N()) : 0;
  }

  static size_t packed_bytes(const Problem& problem) {
    const SparseGeometry g = geometry(problem);
    return static_cast<size_t>(all_sums_bytes(g) + starts_bytes(g) +
                               entry_capacity(problem, g) * static_cast<int64_t>(sizeof(Entry)));
  }

  static void put(SparsePair* entries, int64_t index, int64_t k, int8_t w) {
    SparsePair& pair = entries[index / 2];
    if (index % 2 == 0) {
      pair = {{static_cast<uint16_t>(k), static_cast<uint16_t>(k)}, {w, 0}};
    } else {
      pair.k[1] = static_cast<uint16_t>(k);
      pair.w[1] = w;
    }
  }
  static void put(SparseEntry* entries, int64_t index, int64_t k, float w) {
    entries[index] = {static_cast<uint32_t>(k), w};
  }

  static void pack(const Problem& problem, void* packed) {
    const SparseGeometry g = geometry(problem);
    const X* w = static_cast<const X*>(problem.inputs[kInputW].constant);
    auto* sums = static_cast<uint32_t*>(packed);
    auto* starts = reinterpret_cast<uint32_t*>(static_cast<char*>(packed) + all_sums_bytes(g));
    auto* entries = reinterpret_cast<Entry*>(reinterpret_cast<char*>(starts) + starts_bytes(g));
    memset(packed, 0, static_cast<size_t>(all_sums_bytes(g) + starts_bytes(g)));
    int64_t next = 0;  // in weights; a column begins at a whole entry
    for (int64_t n = 0; n < g.N(); ++n) {
      starts[n] = static_cast<uint32_t>(next / kPerEntry);
      g.weights_of(n, [&](int64_t k, int64_t index) {
        const X value = w[index];
        if (value == X{0}) return;
        put(entries, next++, k, value);
        if constexpr (kInteger) sums[n] += static_cast<uint32_t>(int32_t{value});
      });
      next = round_up(next, kPerEntry);
    }
    for (int64_t n = g.N(); n < starts_bytes(g) / 4; ++n) {
      starts[n] = static_cast<uint32_t>(next / kPerEntry);
    }
  }

  // Tasks: images x bands; a band is a run of columns (flat) or of output rows.
  struct Split {
    int64_t bands;
    int64_t extent;  // what is cut: OW if flat, else OH
  };
  static Split split(const SparseGeometry& g) {
    const ConvParams& c = g.conv;
    const int64_t element = static_cast<int64_t>(sizeof(P));
    Split s;
    s.extent = g.flat ? c.OW : c.OH;
    int64_t most;  // per band
    if (g.flat) {
      most = larger(kT, kPlaneBytes / larger(1, c.C * element) / kT * kT);
    } else {
      const Rectangle one{0, 0, 1, 0, c.OW};
      const int64_t line = c.C * g.phases() * g.columns(one) * element;
      most = larger(2, kPlaneBytes / larger(1, line) - g.lines(one) + 1);
    }
    s.bands = larger(1, ceil_div(s.extent, most));
    // Two cores or more: at least four bands where each keeps several tiles.
    if (c.B * s.bands < 4 && c.OH * c.OW >= 16 * kT)
      s.bands = larger(s.bands, smaller(4, s.extent));
    return s;
  }
  static Rectangle rectangle(const SparseGeometry& g, int64_t task) {
    const Split s = split(g);
    const int64_t band = task % s.bands;
    const int64_t from = part(s.extent, s.bands, band), to = part(s.extent, s.bands, band + 1);
    if (g.flat) return {task / s.bands, 0, 1, from, to};
    return {task / s.bands, from, to, 0, g.conv.OW};
  }
  // The largest of the tasks' rectangles.
  static Rectangle largest(const SparseGeometry& g) {
    const Split s = split(g);
    const int64_t most = ceil_div(s.extent, s.bands);
    return g.flat ? Rectangle{0, 0, 1, 0, most} : Rectangle{0, 0, most, 0, g.conv.OW};
  }
  static int64_t tasks(const Problem& problem) {
    const SparseGeometry g = geometry(problem);
    return g.conv.B * split(g).bands;
  }

  static int64_t plane_elements(const SparseGeometry& g, const Rectangle& r) {
    // A tile may begin at the last pixel and read T values at every offset.
    return round_up(g.conv.C * g.phases() * g.lines(r) * g.columns(r) + kT + 16, 64);
  }
  static int64_t offsets_bytes(const SparseGeometry& g) { return round_up(g.K() * 4, 64); }
  static constexpr int64_t kAccBytes = kPanel * kT * static_cast<int64_t>(sizeof(Acc));

  static size_t scratch_bytes(const Problem& problem) {
    const SparseGeometry g = geometry(problem);
    return static_cast<size_t>(offsets_bytes(g) + 2 * kAccBytes +
                               plane_elements(g, largest(g)) * static_cast<int64_t>(sizeof(P)));
  }

  static void fill_offsets(const SparseGeometry& g, const Rectangle& r, int32_t* offsets) {
    const ConvParams& c = g.conv;
    const int64_t area = g.lines(r) * g.columns(r);
    const int64_t channel = g.phases() * area;
    for (int64_t ty = 0, k = 0; ty < c.kernel_h; ++ty) {
      for (int64_t tx = 0; tx < c.kernel_w; ++tx) {
        const int64_t y = ty * c.dilation_h, x = tx * c.dilation_w;
        const int64_t phase = (y % c.stride_h) * c.stride_w + x % c.stride_w;
        const int64_t tap = phase * area + y / c.stride_h * g.columns(r) + x / c.stride_w;
        for (int64_t ch = 0; ch < c.C; ++ch, ++k) {
          offsets[k] = static_cast<int32_t>(ch * channel + tap);
        }
      }
    }
  }

  static void fill(P* to, int64_t count, int64_t C, int64_t channel_step, P value) {
    for (int64_t ch = 0; ch < C; ++ch) {
      for (int64_t j = 0; j < count; ++j) to[ch * channel_step + j] = value;
    }
  }

  static void fill_plane(const SparseGeometry& g, const Rectangle& r, const X* x, P zero,
                         P* plane) {
    const ConvParams& c = g.conv;
    const int64_t lines = g.lines(r), columns = g.columns(r);
    const int64_t channel = g.phases() * lines * columns;
    for (int64_t phase = 0; phase < g.phases(); ++phase) {
      const int64_t py = phase / c.stride_w, px = phase % c.stride_w;
      // Plane column j is input column first + j * stride_w; [begin, end) of them are inside.
      const int64_t first = r.x0 * c.stride_w - c.pad_w + px;
      const int64_t begin = smaller(columns, first >= 0 ? 0 : ceil_div(-first, c.stride_w));
      const int64_t inside = c.W > first ? ceil_div(c.W - first, c.stride_w) : 0;
      const int64_t end = larger(begin, smaller(columns, inside));
      for (int64_t line = 0; line < lines; ++line) {
        P* to = plane + (phase * lines + line) * columns;
        const int64_t y = (r.y0 + line) * c.stride_h - c.pad_h + py;
        if (y < 0 || y >= c.H) {
          fill(to, columns, c.C, channel, zero);
          continue;
        }
        fill(to, begin, c.C, channel, zero);
        if (end > begin) {
          const X* from = x + ((r.image * c.H + y) * c.W + first + begin * c.stride_w) * c.C;
          Isa::spread(from, c.stride_w * c.C, end - begin, c.C, to + begin, channel);
        }
        fill(to + end, columns - end, c.C, channel, zero);
      }
    }
    P* slack = plane + c.C * channel;
    for (int64_t j = 0; j < kT + 16; ++j) slack[j] = P{0};
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const SparseGeometry g = geometry(problem);
    const ConvParams& c = g.conv;
    const char* packed = static_cast<const char*>(call.packed);
    const auto* starts = reinterpret_cast<const uint32_t*>(packed + all_sums_bytes(g));
    const auto* entries =
        reinterpret_cast<const Entry*>(packed + all_sums_bytes(g) + starts_bytes(g));
    const auto* sums = kInteger ? reinterpret_cast<const int32_t*>(packed) : nullptr;
    const Epilogue e = make_epilogue(c.epilogue, problem, call, sums);
    char* scratch = static_cast<char*>(call.scratch);
    auto* acc = reinterpret_cast<Acc*>(scratch);
    Acc* out = acc + kPanel * kT;
    auto* offsets = reinterpret_cast<int32_t*>(scratch + 2 * kAccBytes);
    auto* plane = reinterpret_cast<P*>(scratch + 2 * kAccBytes + offsets_bytes(g));
    const P zero = static_cast<P>(c.epilogue.x_zero_point);
    for (int64_t task = begin; task < end; ++task) {
      const Rectangle r = rectangle(g, task);
      if (r.y1 == r.y0 || r.x1 == r.x0) continue;
      fill_offsets(g, r, offsets);
      fill_plane(g, r, static_cast<const X*>(call.inputs[kInputX]), zero, plane);
      const int64_t columns = g.columns(r);
      const int64_t pixels = (r.y1 - r.y0 - 1) * columns + (r.x1 - r.x0);
      for (int64_t q = 0; q < pixels; q += kT) {
        for (int64_t n = 0; n < g.N(); n += kPanel) {
          const int width = static_cast<int>(smaller(kPanel, g.N() - n));
          Isa::tile(entries, starts + n, width, plane + q, offsets, acc, out);
          store(e, g, r, q, smaller(q + kT, pixels), n, width, out);
        }
      }
    }
  }

  // Stores pixels [q, last) of the raster; those beyond the right edge are no outputs.
  static void store(const Epilogue& e, const SparseGeometry& g, const Rectangle& r, int64_t q,
                    int64_t last, int64_t n, int width, const Acc* out) {
    const int64_t columns = g.columns(r), used = r.x1 - r.x0;
    for (int64_t i = q; i < last;) {
      const int64_t y = i / columns, x = i % columns;
      const int64_t next = smaller(last, (y + 1) * columns);
      const int64_t rows = smaller(next, y * columns + used) - i;
      if (rows > 0) {
        const int64_t pixel = (r.image * g.conv.OH + r.y0 + y) * g.conv.OW + r.x0 + x;
        Isa::finish(e, out + (i - q) * kPanel, kPanel, static_cast<int>(rows), width, n,
                    pixel * g.N() + n, g.N());
      }
      i = next;
    }
  }
};

// One scalar multiply-add per non-zero: for matrices of a few rows.
template <class Isa>
struct SparseVectorRows {
  using Base = SparseRows<Isa, GemmParams>;
  using X = typename Isa::X;
  using Acc = typename Isa::Acc;
  using Entry = typename Isa::Entry;

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
    const SparseGeometry g = sparse_geometry(p);
    const char* packed = static_cast<const char*>(call.packed);
    const auto* starts = reinterpret_cast<const uint32_t*>(packed + Base::all_sums_bytes(g));
    const auto* entries =
        reinterpret_cast<const Entry*>(packed + Base::all_sums_bytes(g) + Base::starts_bytes(g));
    const auto* sums = Base::kInteger ? reinterpret_cast<const int32_t*>(packed) : nullptr;
    const Epilogue e = make_epilogue(p.epilogue, problem, call, sums);
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m = task / blocks(p), first = task % blocks(p) * 64;
      const X* x = static_cast<const X*>(call.inputs[kInputX]) + m * p.K;
      for (int64_t n = first; n < smaller(p.N, first + 64); n += kPanel) {
        const int width = static_cast<int>(smaller(kPanel, p.N - n));
        alignas(64) Acc acc[kPanel] = {};
        for (int i = 0; i < width; ++i) {
          acc[i] = dot(entries + starts[n + i], entries + starts[n + i + 1], x);
        }
        Isa::finish(e, acc, kPanel, 1, width, n, m * p.N + n, p.N);
      }
    }
  }
};

// Predicted times. Multiply-adds a nanosecond are those of the inner loop; every output costs its
// share of transposition and epilogue, every input its copy to the plane.
struct SparseRates {
  double macs_per_ns;
  double output_ns;
  double input_ns;
  double vector_ns;  // per non-zero of a vector row
  double call_ns;
};

template <class Isa, class Params>
double sparse_cost_ns(const SparseRates& rates, const Problem& problem) {
  using Rows = SparseRows<Isa, Params>;
  const SparseGeometry g = Rows::geometry(problem);
  const ConvParams& c = g.conv;
  const auto s = Rows::split(g);
  const double nonzeros = static_cast<double>(problem.facts->nonzeros);
  const Rectangle r = Rows::rectangle(g, 0);
  const auto raster =
      static_cast<double>((larger(r.y1 - r.y0, 1) - 1) * g.columns(r) + r.x1 - r.x0);
  const double tiles = static_cast<double>(c.B * s.bands) *
                       static_cast<double>(ceil_div(static_cast<int64_t>(raster), Rows::kT));
  const double inputs = static_cast<double>(c.B * s.bands * c.C * g.phases()) *
                        static_cast<double>(g.lines(r) * g.columns(r));
  const double outputs = tiles * static_cast<double>(Rows::kT * round_up(g.N(), kPanel));
  return rates.call_ns + tiles * static_cast<double>(Rows::kT) * nonzeros / rates.macs_per_ns +
         outputs * rates.output_ns + inputs * rates.input_ns +
         static_cast<double>(g.K() * c.B * s.bands) * 0.3;
}

template <class Isa>
double sparse_vector_cost_ns(const SparseRates& rates, const Problem& problem) {
  const auto& p = problem.as<GemmParams>();
  const double nonzeros = static_cast<double>(problem.facts->nonzeros);
  return rates.call_ns +
         static_cast<double>(p.M) * (nonzeros * rates.vector_ns + static_cast<double>(p.N) * 0.6);
}

template <class Isa, class Params>
constexpr Row sparse_row(std::string_view name, std::string_view family, FormRule forms,
                         FeatureMask features, double (*cost_ns)(const Problem&)) {
  using Rows = SparseRows<Isa, Params>;
  return {.name = name,
          .family = family,
          .exactness = Rows::kInteger ? Exactness::kExact : Exactness::kFast,
          .features = features,
          .forms = forms,
          .compressed = true,
          .mr = static_cast<uint16_t>(Rows::kT),
          .nr = 1,
          .kr = static_cast<uint16_t>(Rows::kPerEntry),
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = Rows::kInteger ? "sparse_s8" : "sparse_f32",
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

template <class Isa>
constexpr Row sparse_vector_row(std::string_view name, FeatureMask features,
                                double (*cost_ns)(const Problem&)) {
  using Rows = SparseRows<Isa, GemmParams>;
  Row row = sparse_row<Isa, GemmParams>(name, "gemm", FormRule::kPlain, features, cost_ns);
  row.mr = 1;
  row.tasks = SparseVectorRows<Isa>::tasks;
  row.scratch_bytes = nullptr;
  row.run = SparseVectorRows<Isa>::run;
  row.packing = Rows::kInteger ? "sparse_s8" : "sparse_f32";
  return row;
}

}  // namespace
}  // namespace pyrt
