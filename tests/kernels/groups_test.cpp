// gemm_groups: every row against the scalar one, and that one against float64.
#include "kernels/groups/groups.h"

#include <cmath>
#include <limits>

#include "harness.h"

namespace pyrt::test {
namespace {

struct Shape {
  int64_t M, N, K, group;
};
const Shape kShapes[] = {{1, 1, 16, 16},   {1, 64, 128, 32},  {1, 130, 100, 32}, {2, 33, 256, 128},
                         {3, 16, 48, 16},  {4, 100, 96, 48},  {7, 70, 130, 64},  {16, 32, 64, 64},
                         {17, 40, 33, 16}, {37, 129, 64, 32}, {1, 48, 15, 16},   {0, 16, 32, 16},
                         {1, 0, 32, 16},   {2, 20, 0, 16}};

Tensor bytes(Random& random, const std::vector<int64_t>& dims) {
  Tensor t = empty(DType::kU8, dims);
  for (uint8_t& byte : t.bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
  return t;
}

// Scales that f16 holds, as f32 or as f16, or that it does not.
Tensor scales(Random& random, const std::vector<int64_t>& dims, int kind) {
  Tensor t = empty(kind == 1 ? DType::kF16 : DType::kF32, dims);
  for (int64_t i = 0; i < t.dims.count(); ++i) {
    const auto fraction = static_cast<uint16_t>(random.integer(0, 1023));
    if (kind == 0) t.data<float>()[i] = static_cast<float>(1024 + fraction) * 0x1p-16f;
    if (kind == 1) t.data<uint16_t>()[i] = static_cast<uint16_t>(0x2400 | fraction);
    if (kind == 2) t.data<float>()[i] = static_cast<float>(1 + fraction) / 3000.0f;
    if (kind == 3) t.data<float>()[i] = static_cast<float>(fraction) * 0x1p-24f;  // subnormal f16
  }
  return t;
}

struct Options {
  int bits, scale_kind;
  bool zero, bias;
};

Step make_step(Random& random, const Shape& s, const Options& o, Tensor a) {
  const int64_t G = (s.K + s.group - 1) / s.group;
  Step step("gemm_groups");
  step.input(std::move(a));
  step.input(bytes(random, {s.N, G, s.group * o.bits / 8}), Role::kConstant);
  step.input(scales(random, {s.N, G}, o.scale_kind), Role::kConstant);
  if (o.zero) {
    Tensor zero = bytes(random, {s.N, G});
    for (uint8_t& byte : zero.bytes) byte = static_cast<uint8_t>(byte & ((1 << o.bits) - 1));
    step.input(zero, Role::kConstant);
  } else {
    step.absent();
  }
  if (o.bias) step.input(random.f32({s.N}), Role::kConstant);
  step.output(DType::kF32, {s.M, s.N});
  step.set("bits", int64_t{o.bits}).set("group", s.group);
  return step;
}

}  // namespace

PYRT_TEST(groups_rows) {
  Random random(51);
  int variant = 0;
  for (const Shape& s : kShapes) {
    for (const int bits : {2, 4, 8}) {
      for (int i = 0; i < 4; ++i, ++variant) {
        const Options o{bits, i, variant % 2 == 1, variant % 3 == 1};
        Step step = make_step(random, s, o, random.f32({s.M, s.K}, -3, 3));
        step.check_rows("groups of " + std::to_string(s.group) + ", " + std::to_string(bits) +
                        " bits, " + std::to_string(s.M) + "x" + std::to_string(s.N) + "x" +
                        std::to_string(s.K));
      }
    }
  }
}

// NaN counts as nothing, halves round to even, tiny groups have scale 1, huge ones do not overflow.
PYRT_TEST(groups_special_activations) {
  Random random(52);
  const Shape s{6, 20, 96, 32};
  for (const int bits : {2, 4, 8}) {
    Tensor a = random.f32({s.M, s.K}, -100, 100);
    float* x = a.data<float>();
    const float nan = std::numeric_limits<float>::quiet_NaN();
    for (int64_t i = 0; i < 96; ++i) {
      x[i] = static_cast<float>(i - 48) + 0.5f;
      x[96 + i] = i % 3 == 0 ? nan : x[i];
      x[2 * 96 + i] = i < 32 ? 0.0f : (i < 64 ? nan : 1e-39f);
      x[3 * 96 + i] = i % 2 == 0 ? 3.0e38f : -3.0e38f;
    }
    x[0] = 127;  // scale 1
    for (const bool zero : {false, true}) {
      make_step(random, s, {bits, 0, zero, true}, a).check_rows("special activations");
    }
  }
}

// The largest sums: all activations 127, all weights the largest.
PYRT_TEST(groups_extremes) {
  Random random(53);
  for (const int bits : {2, 4, 8}) {
    for (const float value : {1.0f, -1.0f}) {
      Step step("gemm_groups");
      Tensor w = bytes(random, {3, 1, 65536 * bits / 8});
      for (uint8_t& byte : w.bytes) byte = 255;
      step.input(random.f32({1, 65536}, value, value)).input(w, Role::kConstant);
      step.input(scales(random, {3, 1}, 0), Role::kConstant);
      step.input(empty(DType::kU8, {3, 1}), Role::kConstant);
      step.output(DType::kF32, {1, 3}).set("bits", int64_t{bits}).set("group", int64_t{65536});
      step.check_rows("extreme groups of " + std::to_string(bits) + " bits");
    }
  }
}

PYRT_TEST(groups_against_float64) {
  Random random(54);
  const Shape s{3, 10, 128, 32};
  const int64_t G = 4;
  const Tensor a = random.f32({s.M, s.K}, -2, 2), scale = scales(random, {s.N, G}, 2);
  const Tensor w = bytes(random, {s.N, G, 16});
  Step step("gemm_groups");
  step.input(a).input(w, Role::kConstant).input(scale, Role::kConstant);
  step.output(DType::kF32, {s.M, s.N}).set("bits", int64_t{4}).set("group", s.group);
  const Tensor y = step.scalar_output();
  for (int64_t m = 0; m < s.M; ++m) {
    for (int64_t n = 0; n < s.N; ++n) {
      double exact = 0, bound = 0;
      for (int64_t k = 0; k < s.K; ++k) {
        const int byte = w.bytes[static_cast<size_t>((n * s.K + k) / 2)];
        const int u = k % 2 == 0 ? byte & 15 : byte >> 4;
        const double weight = (u - 8) * double{scale.data<float>()[n * G + k / s.group]};
        exact += double{a.data<float>()[m * s.K + k]} * weight;
        bound += std::abs(weight) * 2 / 127 / 2;  // half a step of the largest activation
      }
      const double error = std::abs(double{y.data<float>()[m * s.N + n]} - exact);
      expect(error <= bound * 1.01, "groups differ from float64 by " + std::to_string(error));
    }
  }
}

PYRT_TEST(groups_refuses) {
  Random random(55);
  const auto status = [&](int64_t bits, int64_t group, std::vector<int64_t> w, DType scale) {
    Step step("gemm_groups");
    step.input(random.f32({1, 64})).input(bytes(random, w), Role::kConstant);
    step.input(empty(scale, {8, 2}), Role::kConstant).output(DType::kF32, {1, 8});
    return step.set("bits", bits).set("group", group).prepare();
  };
  expect(status(4, 32, {8, 2, 16}, DType::kF32).ok(), "a good step is refused");
  expect_error(status(3, 32, {8, 2, 12}, DType::kF32), Code::kUnsupported, "bits is 3");
  expect_error(status(4, 8, {8, 8, 4}, DType::kF32), Code::kFormat, "group is 8");
  expect_error(status(4, 40, {8, 2, 20}, DType::kF32), Code::kUnsupported, "multiple of 16");
  expect_error(status(4, 32, {8, 2, 15}, DType::kF32), Code::kShape, "w has dims");
  expect_error(status(4, 32, {8, 2, 16}, DType::kS32), Code::kDType, "scale");
}

}  // namespace pyrt::test
