// gemm_sign: every row against the scalar one, and that one against a plain product.
#include <limits>

#include "harness.h"

namespace pyrt::test {
namespace {

struct Shape {
  int64_t M, N, K;
};
const Shape kShapes[] = {{1, 1, 1},     {1, 8, 64},    {2, 33, 65}, {3, 70, 127},
                         {1, 40, 2100}, {5, 9, 63},    {0, 8, 64},  {1, 0, 64},
                         {2, 5, 0},     {1, 130, 640}, {4, 32, 7},  {1, 16, 128}};

Tensor bits(Random& random, const std::vector<int64_t>& dims) {
  Tensor t = empty(DType::kU8, dims);
  for (uint8_t& byte : t.bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
  return t;
}

// With zeros of both signs, subnormals and NaN among them.
Tensor activations(Random& random, const Shape& s) {
  Tensor t = random.f32({s.M, s.K});
  const float special[] = {0.0f,
                           -0.0f,
                           1e-40f,
                           -1e-40f,
                           std::numeric_limits<float>::quiet_NaN(),
                           -std::numeric_limits<float>::infinity()};
  for (int64_t i = 0; i < s.M * s.K; ++i) {
    if (random.integer(0, 9) == 0) t.data<float>()[i] = special[random.integer(0, 5)];
  }
  return t;
}

}  // namespace

PYRT_TEST(sign_rows) {
  Random random(61);
  for (const Shape& s : kShapes) {
    for (const bool bias : {false, true}) {
      Step step("gemm_sign");
      step.input(activations(random, s));
      step.input(bits(random, {s.N, (s.K + 7) / 8}), Role::kConstant);
      step.input(random.f32({s.N}, 0.1f, 2), Role::kConstant);
      if (bias) step.input(random.f32({s.N}), Role::kConstant);
      step.output(DType::kF32, {s.M, s.N});
      step.check_rows("sign product " + std::to_string(s.M) + "x" + std::to_string(s.N) + "x" +
                      std::to_string(s.K));
    }
  }
}

PYRT_TEST(sign_of_three_weights) {
  Step step("gemm_sign");
  Tensor a = empty(DType::kF32, {1, 3}), w = empty(DType::kU8, {2, 1});
  a.data<float>()[0] = 5;
  a.data<float>()[1] = -0.5f;
  a.data<float>()[2] = 0;
  w.bytes = {0b010, 0b101};  // {1, -1, 1} and {-1, 1, -1}
  Tensor scale = empty(DType::kF32, {2});
  scale.data<float>()[0] = 1;
  scale.data<float>()[1] = 0.5f;
  step.input(a).input(w, Role::kConstant).input(scale, Role::kConstant);
  step.output(DType::kF32, {1, 2});
  const Tensor y = step.scalar_output();
  expect(y.data<float>()[0] == 2 && y.data<float>()[1] == -1, "signs of three weights");
}

PYRT_TEST(sign_refuses) {
  Random random(62);
  const auto status = [&](std::vector<int64_t> w, std::vector<int64_t> scale) {
    Step step("gemm_sign");
    step.input(random.f32({2, 20})).input(bits(random, w), Role::kConstant);
    step.input(random.f32(scale), Role::kConstant).output(DType::kF32, {2, 5});
    return step.prepare();
  };
  expect(status({5, 3}, {5}).ok(), "a good step is refused");
  expect_error(status({5, 2}, {5}), Code::kShape, "w has dims");
  expect_error(status({5, 3}, {1}), Code::kShape, "scale has dims");
}

}  // namespace pyrt::test
