// Geometry and packed weights of the plane rows (planes.h).
#pragma once

#include "kernels/common/epilogue-inl.h"
#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/gemm.h"
#include "kernels/sparse/sparse-inl.h"
#include "kernels/sparse_planes/planes.h"

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
  PYRT_INLINE int64_t taps() const { return conv.kernel_h * conv.kernel_w; }
  PYRT_INLINE int64_t lines(const Rectangle& r) const {
    const int64_t rows = (r.y1 - r.y0 - 1) * conv.stride_h + (conv.kernel_h - 1) * conv.dilation_h;
    return rows / conv.stride_h + 1;
  }
  PYRT_INLINE int64_t columns(const Rectangle& r) const {
    const int64_t width = (r.x1 - r.x0 - 1) * conv.stride_w + (conv.kernel_w - 1) * conv.dilation_w;
    return width / conv.stride_w + 1;
  }
  PYRT_INLINE int64_t phases() const { return conv.stride_h * conv.stride_w; }

  // Calls visit(k, lane, index of the weight in the operand) for the k of [begin, end), which are
  // tap * channels + channel where each of `channels` stands for up to kLanes of them.
  template <int kLanes, class Visit>
  PYRT_INLINE void weights_of(int64_t n, int64_t begin, int64_t end, const Visit& visit) const {
    const int64_t channels = ceil_div(conv.C, kLanes), all = taps();
    for (int64_t k = begin; k < end; ++k) {
      const int64_t tap = k / channels, first = k % channels * kLanes;
      for (int64_t c = first; c < smaller(first + kLanes, conv.C); ++c) {
        const int64_t inner = is_conv ? c * all + tap : c;
        visit(k, static_cast<int>(c - first),
              transposed ? n * conv.C * all + inner : inner * N() + n);
      }
    }
  }
};

PYRT_INLINE SparseGeometry sparse_geometry(const GemmParams& p) {
  SparseGeometry g;
  g.conv = as_conv(p);
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

// How non-zeros become entries: put() adds one of a column whose entries begin at `first`; `next`
// is one past the last and `filled` the non-zeros that the last has.
template <class Entry>
struct SparseFormat;

template <>
struct SparseFormat<SparseEntry> {
  static constexpr int kLanes = 1, kPerEntry = 1;
  static void put(SparseEntry* entries, int64_t first, int64_t* next, int*, int64_t k, int,
                  float w) {
    (void)first;
    entries[(*next)++] = {static_cast<uint32_t>(k), w};
  }
};

// Pairs and quads.
template <class Entry, int kSize>
struct GatherFormat {
  static constexpr int kLanes = 1, kPerEntry = kSize;
  static void put(Entry* entries, int64_t first, int64_t* next, int* filled, int64_t k, int,
                  int8_t w) {
    if (*next == first || *filled == kSize) {
      Entry& entry = entries[(*next)++];
      for (int i = 0; i < kSize; ++i) {
        entry.k[i] = static_cast<uint16_t>(k);
        entry.w[i] = 0;
      }
      *filled = 0;
    }
    entries[*next - 1].k[*filled] = static_cast<uint16_t>(k);
    entries[*next - 1].w[(*filled)++] = w;
  }
};
template <>
struct SparseFormat<SparsePair> : GatherFormat<SparsePair, 2> {};
template <>
struct SparseFormat<SparseQuad> : GatherFormat<SparseQuad, 4> {};

// Duos and blocks.
template <class Entry, int kSize>
struct BlockFormat {
  static constexpr int kLanes = kSize, kPerEntry = 1;
  static void put(Entry* entries, int64_t first, int64_t* next, int*, int64_t k, int lane,
                  int8_t w) {
    const auto at = static_cast<uint32_t>(k);
    if (*next == first || entries[*next - 1].k != at) entries[(*next)++] = {at, {}};
    entries[*next - 1].w[lane] = w;
  }
};
template <>
struct SparseFormat<SparseDuo> : BlockFormat<SparseDuo, 2> {};
template <>
struct SparseFormat<SparseBlock> : BlockFormat<SparseBlock, 4> {};

// Packed weights. Isa as in planes-inl.h.
template <class Isa>
struct SparseWeights {
  using X = typename Isa::X;
  using Entry = typename Isa::Entry;
  using Format = SparseFormat<Entry>;
  static constexpr bool kInteger = sizeof(X) == 1;
  static constexpr bool kBlocks = Format::kLanes > 1;

  const int32_t* sums;  // null for f32
  const uint32_t* starts;
  const Entry* entries;

  SparseWeights(const SparseGeometry& g, const void* packed) {
    const char* bytes = static_cast<const char*>(packed);
    sums = kInteger ? static_cast<const int32_t*>(packed) : nullptr;
    starts = reinterpret_cast<const uint32_t*>(bytes + all_sums_bytes(g));
    entries = reinterpret_cast<const Entry*>(bytes + all_sums_bytes(g) + starts_bytes(g));
  }

  static int64_t channels(const SparseGeometry& g) { return ceil_div(g.conv.C, Format::kLanes); }
  static int64_t K(const SparseGeometry& g) { return g.taps() * channels(g); }
  // Blocks of k whose part of a plane stays in L1 while a group of columns is computed.
  static int64_t blocks(const SparseGeometry& g) {
    return Isa::kBlockK == 0 ? 1 : larger(1, ceil_div(K(g), Isa::kBlockK));
  }

  static int64_t block_begin(const SparseGeometry& g, int64_t block) {
    return part(K(g), blocks(g), block);
  }

  // The most entries that the weights can need.
  static int64_t entry_capacity(const Problem& problem, const SparseGeometry& g) {
    const WeightFacts& facts = *problem.facts;
    if (kBlocks) {
      // The facts know quads; they are of the same tap where its channels are whole quads.
      const bool known = g.taps() == 1 || g.conv.C % 4 == 0;
      return known ? smaller(facts.nonzeros, facts.quads * (4 / Format::kLanes)) : facts.nonzeros;
    }
    constexpr int64_t kPer = Format::kPerEntry;
    const int64_t runs = smaller(g.N() * blocks(g), facts.nonzeros);  // each with a last entry
    return ceil_div(facts.nonzeros + runs * (kPer - 1), kPer);
  }
  // About as many as they will.
  static double expected_entries(const Problem& problem, const SparseGeometry& g) {
    const auto most = static_cast<double>(entry_capacity(problem, g));
    // Half of what runs may waste.
    const double waste = (Format::kPerEntry - 1) * 0.5 / Format::kPerEntry;
    const double expected = most - waste * static_cast<double>(g.N() * blocks(g));
    return expected < 0 ? 0 : expected;
  }

  static int64_t starts_bytes(const SparseGeometry& g) {
    return round_up(g.N() * blocks(g) + 1, 16) * 4;
  }
  static int64_t all_sums_bytes(const SparseGeometry& g) {
    return kInteger ? sums_bytes(g.N()) : 0;
  }

  static size_t packed_bytes(const Problem& problem, const SparseGeometry& g) {
    return static_cast<size_t>(all_sums_bytes(g) + starts_bytes(g) +
                               entry_capacity(problem, g) * static_cast<int64_t>(sizeof(Entry)));
  }

  static void pack(const Problem& problem, const SparseGeometry& g, void* packed) {
    const X* w = static_cast<const X*>(problem.inputs[kInputW].constant);
    auto* sums = static_cast<uint32_t*>(packed);
    auto* starts = reinterpret_cast<uint32_t*>(static_cast<char*>(packed) + all_sums_bytes(g));
    auto* entries = reinterpret_cast<Entry*>(reinterpret_cast<char*>(starts) + starts_bytes(g));
    memset(packed, 0, packed_bytes(problem, g));
    const int64_t parts = blocks(g);
    int64_t next = 0, at = 0;
    for (int64_t group = 0; group < g.N(); group += Isa::kGroup) {
      for (int64_t block = 0; block < parts; ++block) {
        for (int64_t n = group; n < smaller(group + Isa::kGroup, g.N()); ++n) {
          const int64_t first = next;
          int filled = 0;
          starts[at++] = static_cast<uint32_t>(next);
          const auto visit = [&](int64_t k, int lane, int64_t index) {
            const X value = w[index];
            if (value == X{0}) return;
            Format::put(entries, first, &next, &filled, k, lane, value);
            if constexpr (kInteger) sums[n] += static_cast<uint32_t>(int32_t{value});
          };
          g.template weights_of<Format::kLanes>(n, block_begin(g, block), block_begin(g, block + 1),
                                                visit);
        }
      }
    }
    for (; at < starts_bytes(g) / 4; ++at) starts[at] = static_cast<uint32_t>(next);
  }
};

}  // namespace
}  // namespace pyrt
