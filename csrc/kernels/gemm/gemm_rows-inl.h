// The gemm rows of an ISA, on top of the engine in gemm-inl.h: preparing activations, packing
// constant or computed weights, and running tasks. Besides what the engine asks for, Isa has
//
//   using X;                                    // elements of a and w as they lie in the operands:
//   float or int8_t static constexpr bool kInPlace;             // X rows serve as A rows when K is
//   a multiple of kKr static void prepare(const X* x, int64_t count, A* a);   // converts a run of
//   elements
//   static W weight(X x);                       // optional: to packed weights of another type
//   // Optional, faster than the plain loops here: panels of w, and rows [rows][K] of a [K][M].
//   static void pack(const X* w, bool transposed, int64_t K, int64_t N, int64_t first, int64_t
//   last,
//                    W* out);
//   static void transpose(const X* a, int64_t M, int64_t K, int64_t rows, A* out);
#pragma once

#include "kernels/gemm/fitted-inl.h"
#include "kernels/gemm/gemm-inl.h"
#include "kernels/gemm/gemm.h"

namespace pyrt {
namespace {

template <class Isa>
struct GemmRows {
  using X = typename Isa::X;
  using A = typename Isa::A;
  using W = typename Isa::W;
  static constexpr bool kInteger = sizeof(X) == 1;
  static constexpr bool kFitted = is_fitted<Isa>();  // weights as in fitted-inl.h

  static const char* supports(const Problem& problem) {
    if (problem.as<GemmParams>().epilogue.integer != kInteger) {
      return kInteger ? "the operands are f32" : "the operands are s8";
    }
    if (kFitted && !packed_once(problem)) return "the weights are not constant, or have batches";
    if (kFitted && problem.as<GemmParams>().K > kFittedMaxK) return "K is too large";
    return nullptr;
  }

  // Constant weights without batch dims are packed at bind; all others by the tasks that use them.
  static bool packed_once(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    if (problem.inputs[kInputW].constant == nullptr) return false;
    for (int i = 0; i < p.batch_rank; ++i) {
      if (p.w_step[i] != 0) return false;
    }
    return true;
  }

  static Blocking blocking(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    Blocking b = make_blocking(p.M, p.N, p.K, p.K * static_cast<int64_t>(sizeof(A)),
                               block_mr<Isa>(), row_unit<Isa>());
    if (!packed_once(problem)) {  // a task's panels fit L2
      constexpr int64_t kScratchPanelBytes = 128 * 1024;
      const int64_t least = ceil_div(panels_bytes(p, b.panels), kScratchPanelBytes);
      b.n_blocks = larger(1, smaller(b.panels, larger(b.n_blocks, least)));
    }
    return b;
  }
  static int64_t panel_K(const GemmParams& p) { return round_up(p.K, Isa::kKr); }
  static bool in_place(const GemmParams& p) {
    return Isa::kInPlace && !p.trans_a && p.K % Isa::kKr == 0;
  }

  static int64_t panels_bytes(const GemmParams& p, int64_t panels) {
    const int64_t sums = kInteger ? sums_bytes(panels * kPanel) : 0;
    return sums + panels * kPanel * panel_K(p) * static_cast<int64_t>(sizeof(W));
  }

  static size_t packed_bytes(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    if (!packed_once(problem)) return 0;
    int64_t bytes = panels_bytes(p, ceil_div(p.N, kPanel));
    if constexpr (kFitted) {
      bytes += with_weights(p, constant_weights(problem),
                            [&](const auto& at) { return excess_bytes(at, p.K, p.N); });
    }
    return static_cast<size_t>(bytes);
  }

  static const X* constant_weights(const Problem& problem) {
    return static_cast<const X*>(problem.inputs[kInputW].constant);
  }
  // f(weights), where weights(k, n) are the elements of w.
  template <class F>
  static auto with_weights(const GemmParams& p, const X* w, const F& f) {
    if (p.trans_b) return f([w, K = p.K](int64_t k, int64_t n) { return w[n * K + k]; });
    return f([w, N = p.N](int64_t k, int64_t n) { return w[k * N + n]; });
  }
  // What fitting comes to, from a sample.
  static FitEstimate fit_estimate(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    return with_weights(p, constant_weights(problem),
                        [&](const auto& at) { return sample_fitted(at, p.K, p.N); });
  }

  static double fast_share(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    return with_weights(p, constant_weights(problem),
                        [&](const auto& at) { return fitted_share(at, p.K, p.N); });
  }

  // Packs panels [first, last) of the product's w to `to`: column sums (s8), then the panels.
  static void pack_some(const GemmParams& p, const X* w, int64_t first, int64_t last, void* to) {
    int32_t* sums = kInteger ? static_cast<int32_t*>(to) : nullptr;
    auto* out = reinterpret_cast<W*>(static_cast<char*>(to) +
                                     (kInteger ? sums_bytes((last - first) * kPanel) : 0));
    if constexpr (requires { Isa::pack(w, p.trans_b, p.K, p.N, first, last, out); }) {
      return Isa::pack(w, p.trans_b, p.K, p.N, first, last, out);
    }
    const auto convert = [](X x) {
      if constexpr (requires { Isa::weight(x); }) {
        return Isa::weight(x);
      } else {
        return x;
      }
    };
    with_weights(p, w, [&](const auto& at) {
      const auto converted = [&](int64_t k, int64_t n) { return convert(at(k, n)); };
      pack_panels<Isa::kKr>(converted, p.K, p.N, first, last, out, sums);
    });
  }

  static void pack(const Problem& problem, void* packed) {
    const auto& p = problem.as<GemmParams>();
    if (!packed_once(problem)) return;
    const X* w = constant_weights(problem);
    if constexpr (kFitted) {
      with_weights(p, w, [&](const auto& at) { pack_fitted(at, p.K, p.N, packed); });
    } else {
      pack_some(p, w, 0, ceil_div(p.N, kPanel), packed);
    }
  }

  static int64_t tasks(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    const Blocking b = blocking(problem);
    return p.batch * b.m_blocks * b.n_blocks;
  }

  static int64_t activation_bytes(const Problem& problem) {  // of a block, in scratch
    const auto& p = problem.as<GemmParams>();
    if (in_place(p)) return 0;
    return round_up(
        blocking(problem).block_rows * panel_K(p) * static_cast<int64_t>(sizeof(A)) + 64, 64);
  }
  static size_t scratch_bytes(const Problem& problem) {
    const auto& p = problem.as<GemmParams>();
    const Blocking b = blocking(problem);
    int64_t bytes = activation_bytes(problem);
    if (!packed_once(problem)) bytes += panels_bytes(p, ceil_div(b.panels, b.n_blocks));
    if constexpr (kFitted) bytes += Isa::side_bytes(b.block_rows, panel_K(p));
    return static_cast<size_t>(bytes);
  }

  // Rows [begin, begin + rows) of a to [rows][panel_K]; the padding of each row is zero.
  static void prepare_rows(const GemmParams& p, const X* a, int64_t begin, int64_t rows, A* out) {
    const int64_t padded = panel_K(p);
    if constexpr (requires { Isa::transpose(a, p.M, p.K, rows, out); }) {
      if (p.trans_a) return Isa::transpose(a + begin, p.M, p.K, rows, out);
    }
    for (int64_t m = 0; m < rows; ++m) {
      A* row = out + m * padded;
      if (p.trans_a) {
        for (int64_t k = 0; k < p.K; ++k) row[k] = static_cast<A>(a[k * p.M + begin + m]);
      } else {
        Isa::prepare(a + (begin + m) * p.K, p.K, row);
      }
      for (int64_t k = p.K; k < padded; ++k) row[k] = A{0};
    }
  }

  static void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
    const auto& p = problem.as<GemmParams>();
    const Blocking b = blocking(problem);
    const bool once = packed_once(problem);
    const int64_t K = panel_K(p);
    char* scratch = static_cast<char*>(call.scratch);
    A* prepared = reinterpret_cast<A*>(scratch);
    const auto* packed = static_cast<const char*>(call.packed);
    int64_t panels_in_front = 0;  // of the packed ones
    Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
    int64_t last_rows = -1;
    [[maybe_unused]] int64_t last_multiplied = -1;  // block of rows, over all products
    int64_t last_panels = -1;
    for (int64_t task = begin; task < end; ++task) {
      // Static weights: the row block outside, its activations prepared once. Computed weights: the
      // panels outside.
      const int64_t product = task / (b.m_blocks * b.n_blocks);
      const int64_t rest = task % (b.m_blocks * b.n_blocks);
      const int64_t mi = once ? rest / b.n_blocks : rest % b.m_blocks;
      const int64_t ni = once ? rest % b.n_blocks : rest / b.m_blocks;
      const int64_t m0 = b.row(p.M, mi);
      const int64_t rows = b.row(p.M, mi + 1) - m0;
      const int64_t first = part(b.panels, b.n_blocks, ni);
      const int64_t last = part(b.panels, b.n_blocks, ni + 1);
      int64_t a_offset, w_offset;
      p.offsets(product, &a_offset, &w_offset);
      const X* a = static_cast<const X*>(call.inputs[kInputX]) + a_offset;
      const A* block = prepared;
      if (in_place(p)) {
        block = reinterpret_cast<const A*>(a + m0 * p.K);
      } else if (product * b.m_blocks + mi != last_rows) {
        prepare_rows(p, a, m0, rows, prepared);
        last_rows = product * b.m_blocks + mi;
      }
      if (!once && product * b.n_blocks + ni != last_panels) {
        char* to = scratch + activation_bytes(problem);
        pack_some(p, static_cast<const X*>(call.inputs[kInputW]) + w_offset, first, last, to);
        last_panels = product * b.n_blocks + ni;
        packed = to;
        panels_in_front = first;
      }
      const int64_t packed_panels = once ? b.panels : last - first;
      if (kInteger) {
        e.column_sums = reinterpret_cast<const int32_t*>(packed) - panels_in_front * kPanel;
      }
      const auto* w =
          reinterpret_cast<const W*>(packed + (kInteger ? sums_bytes(packed_panels * kPanel) : 0));
      const W* panels = w - panels_in_front * kPanel * K;
      const int64_t at = (product * p.M + m0) * p.N;
      if constexpr (kFitted) {
        const int64_t multiplied = product * b.m_blocks + mi;
        multiply_matrix<Isa>(e, block, K, rows, panels, K, p.N, first, last, 0, at, p.N,
                             scratch + activation_bytes(problem), multiplied != last_multiplied);
        last_multiplied = multiplied;
      } else {
        multiply_matrix<Isa>(e, block, K, rows, panels, K, p.N, first, last, 0, at, p.N);
      }
    }
  }
};

}  // namespace
}  // namespace pyrt
