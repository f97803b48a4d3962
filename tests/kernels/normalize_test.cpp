// softmax, layer_norm and group_norm: every row against the scalar one byte for byte, the scalar
// one against double, and hostile steps.
#include <cmath>

#include "harness.h"

namespace pyrt::test {
namespace {

using Ints = std::vector<int64_t>;

}  // namespace

PYRT_TEST(softmax_rows) {
  Random random(1);
  struct Shape {
    Ints dims;
    int64_t axis;
  };
  const Shape shapes[] = {{{1}, 0},           {{7}, 0},       {{16}, 0},       {{3, 1000}, 1},
                          {{5, 37}, -1},      {{200, 50}, 1}, {{2, 21, 5}, 1}, {{2, 40, 3, 7}, 1},
                          {{33, 2}, 0},       {{4, 0}, 1},    {{4, 0}, 0},     {{1, 5000}, 1},
                          {{2, 3, 17, 16}, 2}};
  for (const Shape& s : shapes) {
    for (const int64_t log : {0, 1}) {
      Tensor x = random.f32(s.dims, -20, 20);
      if (x.dims.count() > 40) x.data<float>()[3] = -INFINITY;
      Step step("softmax");
      step.set("axis", s.axis)
          .set("log", log)
          .input(x)
          .output(DType::kF32, s.dims)
          .check_rows("softmax");
    }
  }
}

PYRT_TEST(softmax_agrees_with_double) {
  Random random(2);
  const Tensor x = random.f32({1, 777}, -20, 20);
  double sum = 0;
  for (int i = 0; i < 777; ++i) sum += std::exp(double{x.data<float>()[i]});
  for (const int64_t log : {0, 1}) {
    Step step("softmax");
    const Tensor y = step.set("log", log).input(x).output(DType::kF32, {1, 777}).scalar_output();
    for (int i = 0; i < 777; ++i) {
      const double p = std::exp(double{x.data<float>()[i]}) / sum, got = y.data<float>()[i];
      // Half an ulp of x - max, which is up to 40, is 2e-6.
      expect(log != 0 ? std::abs(got - std::log(p)) < 6e-6 : std::abs(got - p) < 4e-6 * p,
             "softmax is off");
    }
  }
}

PYRT_TEST(softmax_of_special_values) {
  const float infinity = INFINITY;
  for (const float special : {NAN, infinity, -infinity}) {
    for (const int64_t at : {0, 5, 40}) {
      for (const int64_t log : {0, 1}) {
        Tensor x = empty(DType::kF32, {1, 41});
        for (int i = 0; i < 41; ++i) x.data<float>()[i] = static_cast<float>(i % 7);
        x.data<float>()[at] = special;
        Step step("softmax");
        step.set("log", log).input(x).output(DType::kF32, {1, 41});
        const Tensor y = step.scalar_output();
        const bool lost = special != -infinity;
        for (int i = 0; i < 41; ++i) {
          expect(std::isnan(y.data<float>()[i]) == lost, "softmax of a special value");
        }
        if (!lost) step.check_rows("softmax of -infinity");
      }
    }
  }
}

PYRT_TEST(norm_rows) {
  Random random(3);
  for (const Ints& dims : {Ints{7}, {3, 768}, {5, 33}, {2, 3, 15}, {4, 1}, {64, 100}, {2, 0}}) {
    for (int variant = 0; variant < 4; ++variant) {
      Step step("layer_norm");
      step.set("epsilon", 1e-3).input(random.f32(dims, -3, 5));
      const Ints n = {dims.back()};
      if ((variant & 1) != 0)
        step.input(random.f32(n), Role::kConstant);
      else
        step.absent();
      if ((variant & 2) != 0) step.input(random.f32(n), Role::kConstant);
      step.output(DType::kF32, dims).check_rows("layer_norm");
    }
  }
  for (const Ints& dims : {Ints{2, 6, 5, 7}, {1, 6, 300}, {3, 6}, {2, 6, 1, 1}, {2, 6, 0}}) {
    for (const int64_t groups : {1, 2, 6}) {
      for (int variant = 0; variant < 4; ++variant) {
        Step step("group_norm");
        step.set("groups", groups).input(random.f32(dims, -3, 5));
        if ((variant & 1) != 0)
          step.input(random.f32({6}), Role::kConstant);
        else
          step.absent();
        if ((variant & 2) != 0) step.input(random.f32({6}), Role::kConstant);
        step.output(DType::kF32, dims).check_rows("group_norm");
      }
    }
  }
}

PYRT_TEST(layer_norm_agrees_with_double) {
  Random random(4);
  const Tensor x = random.f32({1, 500}, 10, 12), scale = random.f32({500}),
               bias = random.f32({500});
  double mean = 0, variance = 0;
  for (int i = 0; i < 500; ++i) mean += double{x.data<float>()[i]} / 500;
  for (int i = 0; i < 500; ++i) variance += std::pow(double{x.data<float>()[i]} - mean, 2) / 500;
  Step step("layer_norm");
  step.set("epsilon", 1e-5).input(x).input(scale, Role::kConstant).input(bias, Role::kConstant);
  const Tensor y = step.output(DType::kF32, {1, 500}).scalar_output();
  for (int i = 0; i < 500; ++i) {
    const double want =
        (double{x.data<float>()[i]} - mean) / std::sqrt(variance + 1e-5) * scale.data<float>()[i] +
        bias.data<float>()[i];
    expect(std::abs(y.data<float>()[i] - want) < 1e-5, "layer_norm is off");
  }
}

PYRT_TEST(norms_refuse_hostile_steps) {
  Random random(5);
  const Tensor x = random.f32({2, 6, 4});
  Step axis("softmax"), groups("group_norm"), size("layer_norm"), epsilon("layer_norm");
  expect_error(axis.set("axis", int64_t{3}).input(x).output(DType::kF32, {2, 6, 4}).prepare(),
               Code::kFormat, "axis is 3");
  expect_error(groups.set("groups", int64_t{4}).input(x).output(DType::kF32, {2, 6, 4}).prepare(),
               Code::kFormat, "remainder of channels by groups");
  expect_error(size.input(x)
                   .input(random.f32({5}), Role::kConstant)
                   .output(DType::kF32, {2, 6, 4})
                   .prepare(),
               Code::kFormat, "size of input scale is 5");
  expect_error(epsilon.set("epsilon", -1.0).input(x).output(DType::kF32, {2, 6, 4}).prepare(),
               Code::kFormat, "epsilon");
}

}  // namespace pyrt::test
