// lstm and gru: every row against the scalar one, the scalar one against float64, hostile steps.
#include <cmath>
#include <limits>

#include "harness.h"

namespace pyrt::test {
namespace {

using Ints = std::vector<int64_t>;

struct Shape {
  int64_t T, N, H;
};
constexpr Shape kShapes[] = {{1, 1, 1},    {3, 1, 16}, {4, 2, 5}, {2, 7, 33},
                             {3, 100, 24}, {0, 2, 4},  {2, 0, 4}, {5, 1, 128}};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

Tensor lengths_of(int64_t N, int64_t T) {
  Tensor t = empty(DType::kS32, {N});
  for (int64_t n = 0; n < N; ++n)
    t.data<int32_t>()[n] = static_cast<int32_t>((n * 2 + 1) % (T + 2));
  return t;
}

// Recurrent weights; variants with bit 3 have zeros for nine of ten.
Tensor recurrent(Random& random, const Ints& dims, int variant) {
  Tensor r = random.f32(dims);
  if ((variant & 8) == 0) return r;
  for (int64_t i = 0; i < dims[0] * dims[1]; ++i) {
    if (i * 7919 % 10 != 0) r.data<float>()[i] = 0;
  }
  return r;
}

// A step with random operands; `variant` turns options on.
Step lstm_step(Random& random, const Shape& s, int variant) {
  const auto state = [&] { return random.f32({s.N, s.H}); };
  Step step("lstm");
  step.set("reverse", int64_t{variant & 1}).set("input_forget", int64_t{variant >> 1 & 1});
  if ((variant & 4) != 0) step.set("clip", 0.3);
  step.input(random.f32({s.T, s.N, 4 * s.H}))
      .input(recurrent(random, {4 * s.H, s.H}, variant), Role::kConstant);
  if ((variant & 1) != 0) {
    step.input(state()).input(state());
  } else {
    step.absent().absent();
  }
  if ((variant & 2) != 0) {
    step.input(random.f32({3 * s.H}), Role::kConstant);
  } else {
    step.absent();
  }
  if ((variant & 4) != 0) step.input(lengths_of(s.N, s.T));
  return step.output(DType::kF32, {s.T, s.N, s.H})
      .output(DType::kF32, {s.N, s.H})
      .output(DType::kF32, {s.N, s.H});
}

Step gru_step(Random& random, const Shape& s, int variant) {
  Step step("gru");
  const bool linear = (variant & 2) != 0;
  step.set("reverse", int64_t{variant & 1}).set("linear_before_reset", int64_t{linear});
  if ((variant & 4) != 0) step.set("clip", 0.3);
  step.input(random.f32({s.T, s.N, 3 * s.H}))
      .input(recurrent(random, {3 * s.H, s.H}, variant), Role::kConstant);
  if (linear) {
    step.input(random.f32({s.H}), Role::kConstant);
  } else {
    step.absent();
  }
  if ((variant & 1) != 0) {
    step.input(random.f32({s.N, s.H}));
  } else {
    step.absent();
  }
  if ((variant & 4) != 0) step.input(lengths_of(s.N, s.T));
  return step.output(DType::kF32, {s.T, s.N, s.H}).output(DType::kF32, {s.N, s.H});
}

}  // namespace

PYRT_TEST(recurrent_rows) {
  Random random(21);
  for (const Shape& s : kShapes) {
    for (int variant = 0; variant < 16; ++variant) {
      // Sums of H products, carried over T steps whose gates contract errors.
      const double size = 4 * (1 + std::sqrt(static_cast<double>(s.H)));
      lstm_step(random, s, variant).check_rows("lstm", 4e-6, size);
      gru_step(random, s, variant).check_rows("gru", 4e-6, size);
    }
  }
}

PYRT_TEST(lstm_computes_its_definition) {
  Random random(22);
  const int64_t T = 3, H = 4;
  const Tensor gates = random.f32({T, 1, 4 * H}), r = random.f32({4 * H, H});
  const Tensor peep = random.f32({3 * H});
  Step step("lstm");
  step.input(gates).input(r, Role::kConstant).absent().absent().input(peep, Role::kConstant);
  step.output(DType::kF32, {T, 1, H}).output(DType::kF32, {1, H}).output(DType::kF32, {1, H});
  const Tensor y = step.scalar_output();
  std::vector<double> h(H), c(H);
  for (int64_t t = 0; t < T; ++t) {
    const auto sum = [&, last = h](int64_t gate, int64_t j) {
      double total = gates.data<float>()[(t * 4 + gate) * H + j];
      for (int64_t k = 0; k < H; ++k) {
        total += double{r.data<float>()[(gate * H + j) * H + k]} * last[static_cast<size_t>(k)];
      }
      return total;
    };
    for (int64_t j = 0; j < H; ++j) {
      const auto at = static_cast<size_t>(j);
      const float* p = peep.data<float>() + j;
      const double i = sigmoid(sum(0, j) + p[0] * c[at]);
      const double f = sigmoid(sum(2, j) + p[2 * H] * c[at]);
      c[at] = f * c[at] + i * std::tanh(sum(3, j));
      h[at] = sigmoid(sum(1, j) + p[H] * c[at]) * std::tanh(c[at]);
      expect(std::abs(y.data<float>()[t * H + j] - h[at]) < 2e-6, "lstm is off");
    }
  }
}

PYRT_TEST(gru_computes_its_definition) {
  Random random(23);
  const int64_t T = 3, H = 4;
  for (const int64_t linear : {0, 1}) {
    const Tensor gates = random.f32({T, 1, 3 * H}), r = random.f32({3 * H, H});
    const Tensor bias = random.f32({H});
    Step step("gru");
    step.set("linear_before_reset", linear).input(gates).input(r, Role::kConstant);
    if (linear != 0) step.input(bias, Role::kConstant);
    step.output(DType::kF32, {T, 1, H}).output(DType::kF32, {1, H});
    const Tensor y = step.scalar_output();
    std::vector<double> h(H);
    for (int64_t t = 0; t < T; ++t) {
      const auto dot = [&](int64_t gate, int64_t j, const std::vector<double>& v) {
        double total = 0;
        for (int64_t k = 0; k < H; ++k) {
          total += double{r.data<float>()[(gate * H + j) * H + k]} * v[static_cast<size_t>(k)];
        }
        return total;
      };
      const auto gate = [&](int64_t g, int64_t j) {
        return double{gates.data<float>()[(t * 3 + g) * H + j]};
      };
      std::vector<double> reset(H), kept(H), next(H);
      for (int64_t j = 0; j < H; ++j) {
        const auto at = static_cast<size_t>(j);
        reset[at] = sigmoid(gate(1, j) + dot(1, j, h));
        kept[at] = reset[at] * h[at];
      }
      for (int64_t j = 0; j < H; ++j) {
        const auto at = static_cast<size_t>(j);
        const double z = sigmoid(gate(0, j) + dot(0, j, h));
        const double inner =
            linear != 0 ? reset[at] * (dot(2, j, h) + bias.data<float>()[j]) : dot(2, j, kept);
        next[at] = (1 - z) * std::tanh(gate(2, j) + inner) + z * h[at];
        expect(std::abs(y.data<float>()[t * H + j] - next[at]) < 2e-6, "gru is off");
      }
      h = next;
    }
  }
}

PYRT_TEST(recurrent_refuses_hostile_steps) {
  const auto lstm = [](const Ints& gates, const Ints& r, const Ints& y) {
    Random random(1);
    Step step("lstm");
    step.input(random.f32(gates)).input(random.f32(r), Role::kConstant);
    step.output(DType::kF32, y).output(DType::kF32, {2, 3}).output(DType::kF32, {2, 3});
    return step.prepare();
  };
  expect(lstm({5, 2, 12}, {12, 3}, {5, 2, 3}).ok(), "a sound step is refused");
  expect_error(lstm({5, 2, 12}, {12, 4}, {5, 2, 3}), Code::kShape, "gates");
  expect_error(lstm({5, 2, 12}, {9, 3}, {5, 2, 3}), Code::kShape, "input r");
  expect_error(lstm({5, 24}, {12, 3}, {5, 2, 3}), Code::kFormat, "rank of gates");
  expect_error(lstm({5, 2, 12}, {12, 3}, {4, 2, 3}), Code::kShape, "an output");
  Random random(1);
  Step step("gru");
  step.input(random.f32({1, 1, 6})).input(random.f32({6, 2}), Role::kConstant);
  step.input(random.f32({2}), Role::kConstant);
  step.output(DType::kF32, {1, 1, 2}).output(DType::kF32, {1, 2});
  expect_error(step.prepare(), Code::kFormat, "linear_before_reset");
  Step clipped = lstm_step(random, {1, 1, 2}, 0);
  clipped.set("clip", std::numeric_limits<double>::quiet_NaN());
  expect_error(clipped.prepare(), Code::kFormat, "clip");
}

}  // namespace pyrt::test
