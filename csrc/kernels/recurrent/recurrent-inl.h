// The time steps of lstm and gru over F, the float or vector of floats of an ISA. Product computes
// the part that costs:
//
//   struct Product {
//     // y[m, n] = sum over k of h[m, k] * r[first + n, k], plus add[m, n] where add is given, plus
//     // bias[n] where bias is; n < columns, rows of y and add `ld` apart.
//     static void multiply(const Problem&, const Call&, const float* h, int64_t first,
//                          int64_t columns, const float* add, const float* bias, float* y,
//                          int64_t ld);
//   };
#pragma once

#include "kernels/common/canonical_math-inl.h"
#include "kernels/common/epilogue-inl.h"
#include "kernels/recurrent/recurrent.h"

namespace pyrt {
namespace {

// What a row's product does with its sums: y = sums + add + bias, either of which may be null.
PYRT_INLINE Epilogue gate_sums(const float* add, const float* bias, float* y) {
  Epilogue e{};
  e.params.has_residual = add != nullptr;
  e.params.lo = -__builtin_inff();
  e.params.hi = __builtin_inff();
  e.residual = add;
  e.bias = bias;
  e.y = y;
  return e;
}

// The batch row of one time step.
struct CellRow {
  const float* gates;  // summed with the recurrent part; gru: the candidate's are not
  const float* added;  // gru: the recurrent part of the candidate
  const float* peepholes;
  float* h;
  float* c;
  float* y;
};

template <class F>
PYRT_INLINE F bounded(F x, float clip) {
  x = select(x > clip, splat<F>(clip), x);
  return select(x < -clip, splat<F>(-clip), x);
}

template <class F>
PYRT_INLINE void lstm_cells(const RecurrentParams& p, const CellRow& row, int64_t j) {
  const float* gate = row.gates + j;
  F c = load<F>(row.c + j);
  F i = load<F>(gate), o = load<F>(gate + p.H), f = load<F>(gate + 2 * p.H);
  if (row.peepholes != nullptr) i = i + load<F>(row.peepholes + j) * c;
  if (row.peepholes != nullptr) f = f + load<F>(row.peepholes + 2 * p.H + j) * c;
  i = canonical::sigmoid(bounded(i, p.clip));
  f = p.input_forget ? 1.0f - i : canonical::sigmoid(bounded(f, p.clip));
  c = f * c + i * canonical::tanh(bounded(load<F>(gate + 3 * p.H), p.clip));
  if (row.peepholes != nullptr) o = o + load<F>(row.peepholes + p.H + j) * c;
  const F h = canonical::sigmoid(bounded(o, p.clip)) * canonical::tanh(c);
  store(row.c + j, c);
  store(row.h + j, h);
  store(row.y + j, h);
}

template <class F>
PYRT_INLINE void gru_cells(const RecurrentParams& p, const CellRow& row, int64_t j) {
  const float* gate = row.gates + j;
  const F z = canonical::sigmoid(bounded(load<F>(gate), p.clip));
  F n = load<F>(row.added + j);
  if (p.linear_before_reset) {
    const F r = canonical::sigmoid(bounded(load<F>(gate + p.H), p.clip));
    n = load<F>(gate + 2 * p.H) + r * n;
  }
  n = canonical::tanh(bounded(n, p.clip));
  const F h = (1.0f - z) * n + z * load<F>(row.h + j);
  store(row.h + j, h);
  store(row.y + j, h);
}

// cells(float or F, j) for all j < H.
template <class F, class Cells>
PYRT_INLINE void for_each_cell(int64_t H, const Cells& cells) {
  int64_t j = 0;
  for (; j + kLanes<F> <= H; j += kLanes<F>) cells(F{}, j);
  for (; j < H; ++j) cells(float{}, j);
}

PYRT_INLINE void start_state(const Problem& problem, const Call& call, size_t input, size_t output,
                             int64_t count) {
  auto* state = static_cast<float*>(call.outputs[output]);
  if (problem.has_input(input)) {
    memcpy(state, call.inputs[input], static_cast<size_t>(count) * sizeof(float));
  } else {
    memset(state, 0, static_cast<size_t>(count) * sizeof(float));
  }
}

PYRT_INLINE bool ended(const Problem& problem, const Call& call, size_t lengths, int64_t n,
                       int64_t t) {
  return problem.has_input(lengths) && t >= static_cast<const int32_t*>(call.inputs[lengths])[n];
}

template <class F, class Product>
void run_lstm(const Problem& problem, const Call& call, int64_t, int64_t) {
  const auto& p = problem.as<RecurrentParams>();
  const int64_t state = p.N * p.H, width = 4 * p.H;
  start_state(problem, call, kLstmH0, 1, state);
  start_state(problem, call, kLstmC0, 2, state);
  auto *y = static_cast<float*>(call.outputs[0]), *h = static_cast<float*>(call.outputs[1]);
  auto *c = static_cast<float*>(call.outputs[2]), *sums = static_cast<float*>(call.scratch);
  const auto* gates = static_cast<const float*>(call.inputs[kGates]);
  const float* peepholes =
      problem.has_input(kPeepholes) ? static_cast<const float*>(call.inputs[kPeepholes]) : nullptr;
  for (int64_t i = 0; i < p.T; ++i) {
    const int64_t t = p.reverse ? p.T - 1 - i : i;
    Product::multiply(problem, call, h, 0, width, gates + t * p.N * width, nullptr, sums, width);
    for (int64_t n = 0; n < p.N; ++n) {
      float* out = y + t * state + n * p.H;
      if (ended(problem, call, kLstmLengths, n, t)) {
        memset(out, 0, static_cast<size_t>(p.H) * sizeof(float));
        continue;
      }
      const CellRow row{sums + n * width, nullptr, peepholes, h + n * p.H, c + n * p.H, out};
      for_each_cell<F>(p.H, [&](auto lane, int64_t j) { lstm_cells<decltype(lane)>(p, row, j); });
    }
  }
}

// sums[n, H..2H) become r * h.
template <class F>
PYRT_INLINE void reset(const RecurrentParams& p, float* sums, const float* h, float* to) {
  for (int64_t n = 0; n < p.N; ++n) {
    for_each_cell<F>(p.H, [&](auto lane, int64_t j) {
      using L = decltype(lane);
      const L r = canonical::sigmoid(bounded(load<L>(sums + n * 3 * p.H + p.H + j), p.clip));
      store(to + n * p.H + j, r * load<L>(h + n * p.H + j));
    });
  }
}

template <class F, class Product>
void run_gru(const Problem& problem, const Call& call, int64_t, int64_t) {
  const auto& p = problem.as<RecurrentParams>();
  const int64_t state = p.N * p.H, width = 3 * p.H;
  start_state(problem, call, kGruH0, 1, state);
  auto *y = static_cast<float*>(call.outputs[0]), *h = static_cast<float*>(call.outputs[1]);
  auto* sums = static_cast<float*>(call.scratch);  // [N, 3 H]; the candidate's stay apart:
  float* candidate = sums + p.N * width;           // [N, H]
  float* kept = candidate + state;                 // r * h, [N, H]
  const auto* gates = static_cast<const float*>(call.inputs[kGates]);
  const float* bias =
      problem.has_input(kGruBias) ? static_cast<const float*>(call.inputs[kGruBias]) : nullptr;
  for (int64_t i = 0; i < p.T; ++i) {
    const int64_t t = p.reverse ? p.T - 1 - i : i;
    const float* from = gates + t * p.N * width;
    Product::multiply(problem, call, h, 0, 2 * p.H, from, nullptr, sums, width);
    for (int64_t n = 0; n < p.N; ++n) {  // the candidate's gates wait beside them
      memcpy(sums + n * width + 2 * p.H, from + n * width + 2 * p.H,
             static_cast<size_t>(p.H) * sizeof(float));
    }
    if (p.linear_before_reset) {
      Product::multiply(problem, call, h, 2 * p.H, p.H, nullptr, bias, candidate, p.H);
    } else {
      reset<F>(p, sums, h, kept);
      Product::multiply(problem, call, kept, 2 * p.H, p.H, nullptr, nullptr, candidate, p.H);
      for (int64_t n = 0; n < p.N; ++n) {
        for (int64_t j = 0; j < p.H; ++j) {
          candidate[n * p.H + j] += sums[n * width + 2 * p.H + j];
        }
      }
    }
    for (int64_t n = 0; n < p.N; ++n) {
      float* out = y + t * state + n * p.H;
      if (ended(problem, call, kGruLengths, n, t)) {
        memset(out, 0, static_cast<size_t>(p.H) * sizeof(float));
        continue;
      }
      const CellRow row{sums + n * width, candidate + n * p.H, nullptr, h + n * p.H, nullptr, out};
      for_each_cell<F>(p.H, [&](auto lane, int64_t j) { gru_cells<decltype(lane)>(p, row, j); });
    }
  }
}

[[maybe_unused]] size_t lstm_scratch_bytes(const Problem& problem) {
  const auto& p = problem.as<RecurrentParams>();
  return static_cast<size_t>(p.N * p.H * 4) * sizeof(float);
}
[[maybe_unused]] size_t gru_scratch_bytes(const Problem& problem) {
  const auto& p = problem.as<RecurrentParams>();
  return static_cast<size_t>(p.N * p.H * 5) * sizeof(float);
}

}  // namespace
}  // namespace pyrt
