// The list rows of sparse.h for gemm and conv: packing, and the loops over tasks, tiles and panels.
// An ISA file supplies
//
//   struct Isa {
//     using Format;        // of sparse_formats-inl.h
//     using X, A, W;       // as for the dense rows (gemm/gemm_rows-inl.h)
//     static constexpr int kMr;          // rows of the largest tile
//     static constexpr int kKr = 1;      // a row's end needs no padding: 64 bytes are readable
//     static constexpr bool kInPlace;
//     static void prepare(const X* x, int64_t count, A* a);
//     // y[at + m * N + n] = epilogue(row m times column n) for columns of panels [first, last).
//     // Row m is at a + m * lda.
//     static void tile(const Epilogue& e, int64_t rows, const A* a, int64_t lda,
//                      const int64_t* taps, const SparseLists& lists, int64_t first, int64_t last,
//                      int64_t at);
//   };
#pragma once

#include "kernels/common/epilogue-inl.h"
#include "kernels/conv/conv_lines-inl.h"
#include "kernels/sparse/sparse-inl.h"
#include "kernels/sparse/sparse_formats-inl.h"

namespace pyrt {
namespace {

// The geometry that conv rows work on; a matrix is an image of height 1 under a kernel of 1 x 1.
PYRT_INLINE ConvParams list_conv(const GemmParams& p) { return as_conv(p); }
PYRT_INLINE const ConvParams& list_conv(const ConvParams& p) { return p; }
PYRT_INLINE WeightView list_view(const GemmParams& p) {
  return {.N = p.N, .C = p.K, .columns_first = p.trans_b};
}
PYRT_INLINE WeightView list_view(const ConvParams& p) {
  return {.N = p.O, .C = p.C, .taps = p.taps()};
}

// The lists of all panels.
struct SparseLists {
  const uint32_t* starts;
  const SparsePlace* places;
  const int8_t* pieces;
  int64_t N;
};

// Params: GemmParams or ConvParams.
template <class Isa, class Params>
struct SparseListRows {
  using Format = typename Isa::Format;
  using Lines = ConvLines<Isa>;
  using X = typename Isa::X;
  using A = typename Isa::A;

  static ConvParams conv(const Problem& problem) { return list_conv(problem.as<Params>()); }

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<Params>();
    if (!p.epilogue.integer) return "the operands are f32";
    if (const char* reason = sparse_refusal(problem, p)) return reason;
    if (problem.facts == nullptr) return "there are no weights";
    const ConvParams c = conv(problem);
    const ConvGeometry g = Lines::geometry(c);
    if (g.K() > kSparseMaxK) return "K is above 65535";
    if (!Lines::reasonable(c)) return "its padded lines exceed the scratch";
    return Format::refusal(*problem.facts, list_view(p), g.taps(), g.segment);
  }

  static SparsePanel panel(const Problem& problem, const ConvGeometry& g, int64_t index) {
    return {static_cast<const int8_t*>(problem.inputs[kInputW].constant),
            list_view(problem.as<Params>()),
            index * Format::kColumns,
            g.taps(),
            g.segment,
            sparse_regular(*problem.facts)};
  }
  static int64_t panels(const ConvParams& c) { return ceil_div(c.O, kPanel); }
  // One or two of a panel.
  static int64_t lists(const ConvParams& c) { return panels(c) * (kPanel / Format::kColumns); }

  // Byte offsets of what is packed.
  struct Packed {
    int64_t starts, places, pieces, end;
  };
  static Packed layout(const ConvParams& c, int64_t pieces) {
    Packed at{};
    at.starts = sums_bytes(c.O);
    at.places = at.starts + round_up((lists(c) + 1) * 4, 64);
    at.pieces = at.places + round_up(pieces * static_cast<int64_t>(sizeof(SparsePlace)), 64);
    at.end = at.pieces + pieces * Format::kBytes;
    return at;
  }

  static int64_t count_pieces(const Problem& problem, const ConvParams& c) {
    const ConvGeometry g = Lines::geometry(c);
    int64_t pieces = 0;
    for (int64_t i = 0; i < lists(c); ++i) {
      Format::visit(panel(problem, g, i), [&](SparsePlace, const int8_t*) { ++pieces; });
    }
    return pieces;
  }
  static size_t packed_bytes(const Problem& problem) {
    const ConvParams c = conv(problem);
    return static_cast<size_t>(layout(c, count_pieces(problem, c)).end);
  }

  static void pack(const Problem& problem, void* packed) {
    const ConvParams c = conv(problem);
    const ConvGeometry g = Lines::geometry(c);
    const Packed at = layout(c, count_pieces(problem, c));
    char* to = static_cast<char*>(packed);
    memset(packed, 0, static_cast<size_t>(at.pieces));
    auto* sums = reinterpret_cast<uint32_t*>(to);
    auto* starts = reinterpret_cast<uint32_t*>(to + at.starts);
    auto* places = reinterpret_cast<SparsePlace*>(to + at.places);
    char* pieces = to + at.pieces;
    for (int64_t i = 0; i < lists(c); ++i) {
      const SparsePanel one = panel(problem, g, i);
      starts[i + 1] = starts[i];
      Format::visit(one, [&](SparsePlace place, const int8_t* bytes) {
        const int64_t index = starts[i + 1]++;
        places[index] = place;
        memcpy(pieces + index * Format::kBytes, bytes, Format::kBytes);
        constexpr int64_t kWeights = Format::kColumns * 4;
        const int8_t* weights = bytes + Format::kBytes - kWeights;
        for (int64_t j = 0; j < kWeights; ++j) {
          sums[i * Format::kColumns + Format::column(j)] +=
              static_cast<uint32_t>(int32_t{weights[j]});
        }
      });
    }
  }

  static ConvBlocks blocks(const ConvParams& c, const ConvGeometry& g) {
    return Lines::blocks(c, g);
  }
  static int64_t tasks(const Problem& problem) {
    const ConvParams c = conv(problem);
    const ConvBlocks b = Lines::blocks(c, Lines::geometry(c));
    return b.m_blocks * b.n_blocks;
  }
  static size_t scratch_bytes(const Problem& problem) {
    const ConvParams c = conv(problem);
    const ConvGeometry g = Lines::geometry(c);
    return static_cast<size_t>(Lines::scratch_bytes(g, Lines::blocks(c, g)));
  }

  // Rows of a tile: its activations stay in L1 while all panels pass, and rows whose addresses
  // differ by a multiple of 4096 bytes compete for the same 8 ways of it.
  static int64_t tile_rows(const ConvParams& c, const ConvGeometry& g) {
    constexpr int64_t kTileBytes = 24 * 1024;
    const int64_t step = g.stride_w * (g.in_place ? c.C : g.Cg) * static_cast<int64_t>(sizeof(A));
    const int64_t segment = g.segment * static_cast<int64_t>(sizeof(A));
    const int64_t row_bytes = larger(1, g.taps() * smaller(step, segment));
    const int64_t least = smaller(8, Isa::kMr);
    const int64_t most = step % 4096 == 0 ? least : Isa::kMr;
    return larger(least, smaller(most, kTileBytes / row_bytes));
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const ConvParams c = conv(problem);
    const ConvGeometry g = Lines::geometry(c);
    const ConvBlocks b = Lines::blocks(c, g);
    const X* x = static_cast<const X*>(call.inputs[kInputX]);
    char* scratch = static_cast<char*>(call.scratch);
    A* lines = reinterpret_cast<A*>(scratch);
    const A** pointers = reinterpret_cast<const A**>(scratch + Lines::lines_bytes(g, b));
    auto* taps = reinterpret_cast<int64_t*>(pointers + b.rows);
    Lines::taps(c, g, b, taps);
    const char* packed = static_cast<const char*>(call.packed);
    const SparseLists all = unpack(c, packed);
    const Epilogue e =
        make_epilogue(c.epilogue, problem, call, reinterpret_cast<const int32_t*>(packed));
    const int64_t height = tile_rows(c, g);
    for (int64_t task = begin; task < end;) {
      // Runs of panels of the same rows at once: a tile's activations are fetched once for all.
      const int64_t mi = task / b.n_blocks, ni = task % b.n_blocks;
      const int64_t run = smaller(end - task, b.n_blocks - ni);
      int64_t m0 = 0;
      const int64_t rows = Lines::rows_of(g, b, mi, &m0);
      if (rows > 0) {
        Lines::prepare(c, g, b, x, 0, m0, rows, static_cast<A>(e.x_zero_point), lines, pointers);
        multiply(e, all, pointers, rows, height, taps, part(b.panels, b.n_blocks, ni),
                 part(b.panels, b.n_blocks, ni + run), m0 * c.O);
      }
      task += run;
    }
  }

  // How many of the rows lie at equal distances, and at which.
  static int64_t evenly_spaced(const A* const* rows, int64_t count, int64_t* lda) {
    *lda = count > 1 ? rows[1] - rows[0] : 0;
    int64_t even = smaller(count, 2);
    while (even < count && rows[even] - rows[even - 1] == *lda) ++even;
    return even;
  }

  // Rows times panels [first, last), tile by tile; the first row's outputs are at `at`.
  static void multiply(const Epilogue& e, const SparseLists& lists, const A* const* a, int64_t rows,
                       int64_t height, const int64_t* taps, int64_t first, int64_t last,
                       int64_t at) {
    int64_t lda = 0;
    for (int64_t m = 0, even = 0; m < rows; m += even) {
      even = evenly_spaced(a + m, rows - m, &lda);
      const int64_t tiles = ceil_div(even, height);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t from = m + part(even, tiles, tile), to = m + part(even, tiles, tile + 1);
        Isa::tile(e, to - from, a[from], lda, taps, lists, first, last, at + from * lists.N);
      }
    }
  }

  static SparseLists unpack(const ConvParams& c, const char* packed) {
    const auto* starts = reinterpret_cast<const uint32_t*>(packed + layout(c, 0).starts);
    const Packed at = layout(c, starts[lists(c)]);
    return {starts, reinterpret_cast<const SparsePlace*>(packed + at.places),
            reinterpret_cast<const int8_t*>(packed + at.pieces), c.O};
  }
};

// Predicted times: of a piece times a row, at the least that of fetching the piece for a tile, and
// of an output vector.
struct ListRates {
  double row_ns;     // a piece times a row
  double piece_ns;   // a piece of a tile: fetched, its loop
  double panel_ns;   // a panel of a tile: calls, a loop that ends unforeseen
  double output_ns;  // 16 outputs
};
inline constexpr double kListCallNs = 100;

template <class Isa, class Params>
double list_ns(const ListRates& rates, const Problem& problem) {
  using Rows = SparseListRows<Isa, Params>;
  const ConvParams c = Rows::conv(problem);
  const ConvGeometry g = Rows::Lines::geometry(c);
  const auto M = static_cast<double>(g.M());
  const auto panels = static_cast<double>(Rows::panels(c));
  const double tiles = static_cast<double>(ceil_div(g.M(), Rows::tile_rows(c, g)));
  const WeightView view = list_view(problem.as<Params>());
  const double pieces = Isa::Format::pieces(*problem.facts, view, g.segment);
  const double row = rates.row_ns * Isa::Format::row_time(*problem.facts, view);
  const double pointers = M * 0.5;
  return kListCallNs + pointers + Rows::Lines::prepare_ns(c, g, Rows::Lines::blocks(c, g)) +
         pieces * (M * row + tiles * rates.piece_ns) +
         panels * (tiles * rates.panel_ns + M * rates.output_ns);
}

template <class Isa, class Params>
constexpr Row list_row(std::string_view name, FeatureMask features, std::string_view packing,
                       double (*cost_ns)(const Problem&)) {
  using Rows = SparseListRows<Isa, Params>;
  constexpr bool kGemm = __is_same(Params, GemmParams);
  return {.name = name,
          .family = kGemm ? "gemm" : "conv",
          .exactness = Exactness::kExact,
          .features = features,
          .forms = kGemm ? FormRule::kPlain : FormRule::kChannelsLast,
          .offset = sizeof(typename Isa::A) == 1 ? Offset::kTakes : Offset::kNever,
          .compressed = true,
          .mr = static_cast<uint16_t>(Isa::kMr),
          .nr = static_cast<uint16_t>(Isa::Format::kColumns),
          .kr = 4,
          .supports = Rows::supports,
          .cost_ns = cost_ns,
          .packing = packing,
          .packed_bytes = Rows::packed_bytes,
          .pack = Rows::pack,
          .tasks = Rows::tasks,
          .scratch_bytes = Rows::scratch_bytes,
          .run = Rows::run};
}

}  // namespace
}  // namespace pyrt
