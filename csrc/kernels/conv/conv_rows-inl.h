// The conv rows of an ISA: the product engine (gemm/gemm-inl.h) on the operands that
// conv_lines-inl.h finds.
//
// Packed: per group the column sums (s8) and panels of gemm.h, with K = the taps' segments: a
// kernel row of kernel_w * C/group elements, or C/group where a kernel row is not one run, each
// padded with zeros to a multiple of kr.
#pragma once

#include "kernels/conv/conv_lines-inl.h"
#include "kernels/gemm/fitted-inl.h"

namespace pyrt {
namespace {

// The weights of one group as the product reads them, [K][N] with zeros where a segment is longer
// than its run.
template <class X>
struct ConvWeights {
  const X* w;  // [N, C/group, taps]
  int64_t Cg, taps, run, segment;

  PYRT_INLINE X operator()(int64_t k, int64_t n) const {
    const int64_t in_run = k % segment;
    if (in_run >= run) return X{0};
    const int64_t i = k / segment * run + in_run;  // tap by tap, channels innermost
    return w[(n * Cg + i % Cg) * taps + i / Cg];
  }
  PYRT_INLINE void load8(int64_t k, int64_t n, int32_t out[8]) const {
    if (Cg % 8 != 0) {
      for (int64_t i = 0; i < 8; ++i) out[i] = (*this)(k + i, n);
      return;
    }
    // All of one tap, and no padding.
    const int64_t i = k / segment * run + k % segment;
    const X* from = w + (n * Cg + i % Cg) * taps + i / Cg;
    for (int64_t j = 0; j < 8; ++j) out[j] = from[j * taps];
  }
};

template <class Isa>
struct ConvRows {
  using Lines = ConvLines<Isa>;
  using X = typename Isa::X;
  using A = typename Isa::A;
  using W = typename Isa::W;
  static constexpr bool kInteger = sizeof(X) == 1;
  static constexpr bool kFitted = is_fitted<Isa>();  // weights as in gemm/fitted-inl.h

  static const char* supports(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (p.epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    if (kFitted && !packed_once(problem)) return "the weights are not constant";
    if (kFitted && p.group != 1) return "it has groups";
    if (kFitted && Lines::geometry(p).K() > kFittedMaxK) return "K is too large";
    return Lines::reasonable(p) ? nullptr : "its padded lines exceed the scratch";
  }

  // Constant weights are packed at bind, others by the tasks that use them.
  static bool packed_once(const Problem& problem) {
    return problem.inputs[kInputW].constant != nullptr;
  }

  static int64_t sums_size(int64_t columns) { return kInteger ? sums_bytes(columns) : 0; }
  static int64_t panels_bytes(const ConvGeometry& g, int64_t panels) {
    return sums_size(panels * kPanel) + panels * kPanel * g.K() * static_cast<int64_t>(sizeof(W));
  }
  static int64_t group_bytes(const ConvParams& p, const ConvGeometry& g) {
    return panels_bytes(g, ceil_div(p.N(), kPanel));
  }
  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    if (!packed_once(problem)) return 0;
    const ConvGeometry g = Lines::geometry(p);
    int64_t bytes = p.group * group_bytes(p, g);
    if constexpr (kFitted) bytes += excess_bytes(weights(problem, g, 0), g.K(), p.N());
    return static_cast<size_t>(bytes);
  }

  static ConvWeights<X> weights(const ConvParams& p, const ConvGeometry& g, const void* w,
                                int64_t group) {
    return {static_cast<const X*>(w) + group * p.N() * p.K(), g.Cg, p.taps(), g.run, g.segment};
  }
  static ConvWeights<X> weights(const Problem& problem, const ConvGeometry& g, int64_t group) {
    return weights(problem.as<ConvParams>(), g, problem.inputs[kInputW].constant, group);
  }
  // Panels [first, last) of a group to `to`: column sums (s8), then the panels.
  static void pack_some(const ConvParams& p, const ConvGeometry& g, const ConvWeights<X>& weights,
                        int64_t first, int64_t last, char* to) {
    pack_panels<Isa::kKr>(weights, g.K(), p.N(), first, last,
                          reinterpret_cast<W*>(to + sums_size((last - first) * kPanel)),
                          kInteger ? reinterpret_cast<int32_t*>(to) : nullptr);
  }
  // What fitting comes to, from a sample.
  static FitEstimate fit_estimate(const Problem& problem, const ConvGeometry& g) {
    return sample_fitted(weights(problem, g, 0), g.K(), problem.as<ConvParams>().N());
  }
  static double fast_share(const Problem& problem) {
    const ConvGeometry g = Lines::geometry(problem.as<ConvParams>());
    return fitted_share(weights(problem, g, 0), g.K(), problem.as<ConvParams>().N());
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<ConvParams>();
    if (!packed_once(problem)) return;
    const ConvGeometry g = Lines::geometry(p);
    for (int64_t group = 0; group < p.group; ++group) {
      char* to = static_cast<char*>(packed) + group * group_bytes(p, g);
      if constexpr (kFitted) {
        pack_fitted(weights(problem, g, group), g.K(), p.N(), to);
      } else {
        pack_some(p, g, weights(problem, g, group), 0, ceil_div(p.N(), kPanel), to);
      }
    }
  }

  static ConvBlocks blocks(const Problem& problem, const ConvGeometry& g) {
    return Lines::blocks(problem.as<ConvParams>(), g, !packed_once(problem));
  }
  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const ConvBlocks b = blocks(problem, Lines::geometry(p));
    return p.group * b.m_blocks * b.n_blocks;
  }
  // Scratch: that of the lines, then what fitted weights need or the packed panels of a task.
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<ConvParams>();
    const ConvGeometry g = Lines::geometry(p);
    const ConvBlocks b = blocks(problem, g);
    int64_t bytes = round_up(Lines::scratch_bytes(g, b), 64);
    if constexpr (kFitted) bytes += Isa::side_bytes(b.rows, g.K());
    if (!packed_once(problem)) bytes += panels_bytes(g, ceil_div(b.panels, b.n_blocks));
    return static_cast<size_t>(bytes);
  }

  // Predicted time of what the product does not count: preparing lines and pointers, and beginning
  // taps: another tap of a tile costs 3 ns (a loop that ends, pointers to the next).
  static double prepare_ns(const Problem& problem) {
    constexpr double kPackNs = 4;  // a weight that is packed in the run
    const auto& p = problem.as<ConvParams>();
    const ConvGeometry g = Lines::geometry(p);
    const ConvBlocks b = blocks(problem, g);
    const double packed = packed_once(problem) ? 0 : static_cast<double>(g.K() * p.N());
    const double pointers = static_cast<double>(g.M()) * 0.5;
    const double tiles = static_cast<double>(ceil_div(g.M(), Isa::kMr) * b.panels);
    const double taps = static_cast<double>(g.taps() - 1) * 3;
    return static_cast<double>(p.group) *
           (pointers + Lines::prepare_ns(p, g, b) + packed * kPackNs + tiles * taps);
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<ConvParams>();
    const ConvGeometry g = Lines::geometry(p);
    const ConvBlocks b = blocks(problem, g);
    const bool once = packed_once(problem);
    const X* x = static_cast<const X*>(call.inputs[kInputX]);
    char* scratch = static_cast<char*>(call.scratch);
    char* more = scratch + round_up(Lines::scratch_bytes(g, b), 64);
    A* lines = reinterpret_cast<A*>(scratch);
    const A** pointers = reinterpret_cast<const A**>(scratch + Lines::lines_bytes(g, b));
    auto* taps = reinterpret_cast<int64_t*>(pointers + b.rows);
    Lines::taps(p, g, b, taps);
    const Segments<A> segments{pointers, taps, static_cast<int>(g.taps()), g.segment};
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    int64_t last_prepared = -1;
    int64_t last_packed = -1;
    int64_t m0 = 0;
    int64_t rows = 0;
    for (int64_t task = begin; task < end; ++task) {
      // Constant weights: the rows outside, their lines prepared once. Computed ones: the panels.
      const int64_t in_group = b.m_blocks * b.n_blocks;
      const int64_t group = once ? task / b.n_blocks % p.group : task / in_group;
      const int64_t mi = once ? task / b.n_blocks / p.group : task % b.m_blocks;
      const int64_t ni = once ? task % b.n_blocks : task % in_group / b.m_blocks;
      const int64_t first = part(b.panels, b.n_blocks, ni);
      const int64_t last = part(b.panels, b.n_blocks, ni + 1);
      const int64_t prepared = group * b.m_blocks + mi;
      [[maybe_unused]] const bool fresh = prepared != last_prepared;
      if (fresh) {
        rows = Lines::rows_of(g, b, mi, &m0);
        if (rows > 0) {
          Lines::prepare(p, g, b, x, group, m0, rows, static_cast<A>(e.x_zero_point), lines,
                         pointers);
        }
        last_prepared = prepared;
      }
      const char* packed = static_cast<const char*>(call.packed) + group * group_bytes(p, g);
      int64_t panels_in_front = 0;  // of the packed ones
      if (!once) {
        packed = more;
        panels_in_front = first;
        if (task / b.m_blocks != last_packed) {
          pack_some(p, g, weights(p, g, call.inputs[kInputW], group), first, last, more);
          last_packed = task / b.m_blocks;
        }
      }
      const int64_t columns = once ? p.N() : (last - first) * kPanel;
      if (kInteger) {
        e.column_sums =
            reinterpret_cast<const int32_t*>(packed) - panels_in_front * kPanel - group * p.N();
      }
      const auto* w = reinterpret_cast<const W*>(packed + sums_size(columns)) -
                      panels_in_front * kPanel * g.K();
      const int64_t at = m0 * p.O + group * p.N();
      if constexpr (kFitted) {
        Isa::multiply(e, segments, rows, w, p.N(), first, last, group * p.N(), at, p.O, more,
                      fresh);
      } else {
        multiply<Isa>(e, segments, rows, w, p.N(), first, last, group * p.N(), at, p.O);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
