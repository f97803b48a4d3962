// The conv rows of an ISA: the product engine (gemm/gemm-inl.h) on the operands that
// conv_lines-inl.h finds.
//
// Packed: per group the column sums (s8) and panels of gemm.h, with K = the taps' segments: a
// kernel row of kernel_w * C/group elements, or C/group where a kernel row is not one run, each
// padded with zeros to a multiple of kr.
#pragma once

#include "kernels/conv/conv_lines-inl.h"

namespace pyrt {
namespace {

template <class Isa>
struct ConvRows {
  using Lines = ConvLines<Isa>;
  using X = typename Isa::X;
  using A = typename Isa::A;
  using W = typename Isa::W;
  static constexpr bool kInteger = sizeof(X) == 1;

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (p.epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
    return Lines::reasonable(p) ? nullptr : "its padded lines exceed the scratch";
  }

  static int64_t group_bytes(const ConvParams& p, const ConvGeometry& g) {
    const int64_t sums = kInteger ? sums_bytes(p.N()) : 0;
    return sums + round_up(p.N(), kPanel) * g.K() * static_cast<int64_t>(sizeof(W));
  }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    return static_cast<size_t>(p.group * group_bytes(p, Lines::geometry(p)));
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    const ConvGeometry g = Lines::geometry(p);
    const int64_t taps = p.kernel_h * p.kernel_w;
    for (int64_t group = 0; group < p.group; ++group) {
      const X* w = static_cast<const X*>(problem.inputs[kInputW].constant) + group * p.N() * p.K();
      char* to = static_cast<char*>(packed) + group * group_bytes(p, g);
      const auto at = [&](int64_t k, int64_t n) {
        const int64_t in_run = k % g.segment;
        if (in_run >= g.run) return X{0};
        const int64_t i = k / g.segment * g.run + in_run;  // tap by tap, channels innermost
        return w[(n * g.Cg + i % g.Cg) * taps + i / g.Cg];
      };
      pack_panels<Isa::kKr>(at, g.K(), p.N(), 0, ceil_div(p.N(), kPanel),
                            reinterpret_cast<W*>(to + (kInteger ? sums_bytes(p.N()) : 0)),
                            kInteger ? reinterpret_cast<int32_t*>(to) : nullptr);
    }
  }

  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const ConvBlocks b = Lines::blocks(p, Lines::geometry(p));
    return p.group * b.m_blocks * b.n_blocks;
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const ConvGeometry g = Lines::geometry(p);
    return static_cast<size_t>(Lines::scratch_bytes(g, Lines::blocks(p, g)));
  }

  // Predicted time of preparing lines and pointers. An element costs 0.04 ns to widen or copy, a
  // line about 15 ns, a run of channels that is not a line 4 ns.
  static double prepare_ns(const ConvParams& p) {
    const ConvGeometry g = Lines::geometry(p);
    const ConvBlocks b = Lines::blocks(p, g);
    const double pointers = static_cast<double>(g.M()) * 0.5;
    const double lines = static_cast<double>(b.m_blocks) * static_cast<double>(b.lines);
    const double runs = g.step_w > 1 || p.group > 1 ? 4 * static_cast<double>(b.columns) : 15;
    const double line = runs + 0.04 * static_cast<double>(b.columns * g.Cg);
    return static_cast<double>(p.group) * (pointers + (g.in_place ? 0 : lines * line));
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const ConvGeometry g = Lines::geometry(p);
    const ConvBlocks b = Lines::blocks(p, g);
    const X* x = static_cast<const X*>(call.inputs[kInputX]);
    char* scratch = static_cast<char*>(call.scratch);
    A* lines = reinterpret_cast<A*>(scratch);
    const A** pointers = reinterpret_cast<const A**>(scratch + Lines::lines_bytes(g, b));
    auto* taps = reinterpret_cast<int64_t*>(pointers + b.rows);
    Lines::taps(p, g, b, taps);
    const Segments<A> segments{pointers, taps, static_cast<int>(g.taps()), g.segment};
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    int64_t last_prepared = -1;
    int64_t m0 = 0;
    int64_t rows = 0;
    for (int64_t task = begin; task < end; ++task) {
      const int64_t ni = task % b.n_blocks;
      const int64_t block = task / b.n_blocks;
      const int64_t group = block % p.group;
      if (block != last_prepared) {
        rows = Lines::rows_of(g, b, block / p.group, &m0);
        if (rows > 0) {
          Lines::prepare(p, g, b, x, group, m0, rows, static_cast<A>(e.x_zero_point), lines,
                         pointers);
        }
        last_prepared = block;
      }
      const char* packed = static_cast<const char*>(call.packed) + group * group_bytes(p, g);
      if (kInteger) e.column_sums = reinterpret_cast<const int32_t*>(packed) - group * p.N();
      const auto* w = reinterpret_cast<const W*>(packed + (kInteger ? sums_bytes(p.N()) : 0));
      multiply<Isa>(e, segments, rows, w, p.N(), part(b.panels, b.n_blocks, ni),
                    part(b.panels, b.n_blocks, ni + 1), group * p.N(), m0 * p.O + group * p.N(),
                    p.O);
    }
  }
};

}  // namespace
}  // namespace pyrt
