// elementwise and qelementwise: every row against the scalar one over shapes, broadcasts and
// special values, the scalar one against plain C++, and hostile steps.
#include <cmath>
#include <limits>

#include "harness.h"

namespace pyrt::test {
namespace {

const char* const kUnary[] = {"neg",        "abs",   "sqrt",      "reciprocal", "floor",
                              "ceil",       "round", "sign",      "relu",       "clip",
                              "leaky_relu", "exp",   "log",       "tanh",       "sigmoid",
                              "erf",        "gelu",  "gelu_tanh", "silu",       "hard_sigmoid",
                              "hard_swish", "elu",   "softplus",  "sin",        "cos"};
const char* const kArithmetic[] = {"add", "sub", "mul", "div", "min", "max"};
const char* const kCompare[] = {"equal", "less", "less_equal", "greater", "greater_equal"};

struct Shapes {
  std::vector<int64_t> a, b, y;
};
const Shapes kShapes[] = {
    {{}, {}, {}},
    {{1}, {1}, {1}},
    {{37}, {37}, {37}},
    {{9001}, {1}, {9001}},
    {{1}, {300}, {300}},
    {{2, 5, 3, 7}, {1, 5, 1, 1}, {2, 5, 3, 7}},
    {{2, 19, 4, 5}, {2, 19, 1, 1}, {2, 19, 4, 5}},
    {{2, 19, 1, 1}, {2, 19, 4, 5}, {2, 19, 4, 5}},
    {{3, 8, 9}, {9}, {3, 8, 9}},
    {{5, 1, 4}, {6, 1}, {5, 6, 4}},
    {{7, 1}, {1, 600}, {7, 600}},
    {{3, 0, 2}, {1, 1, 2}, {3, 0, 2}},
    {{2, 3, 2, 2, 3}, {3, 1, 2, 1}, {2, 3, 2, 2, 3}},
};

Tensor integers(Random& random, DType dtype, const std::vector<int64_t>& dims) {
  Tensor t = empty(dtype, dims);
  for (int64_t i = 0; i < t.dims.count(); ++i) {
    const int64_t value = i % 7 == 0 ? std::numeric_limits<int32_t>::min() : random.integer(-4, 4);
    if (dtype == DType::kS32) t.data<int32_t>()[i] = static_cast<int32_t>(value);
    if (dtype == DType::kS64)
      t.data<int64_t>()[i] = i % 7 == 0 ? std::numeric_limits<int64_t>::min() : value;
    if (dtype == DType::kBool) t.data<uint8_t>()[i] = value > 0 ? 1 : 0;
    if (dtype == DType::kS8) t.data<int8_t>()[i] = static_cast<int8_t>(value);
    if (dtype == DType::kS16) t.data<int16_t>()[i] = static_cast<int16_t>(value);
    if (dtype == DType::kF32) t.data<float>()[i] = static_cast<float>(value) / 3.0f;
  }
  return t;
}

Tensor specials() {
  const float infinity = INFINITY;
  const std::vector<float> values = {
      0.0f,    -0.0f,      infinity,   -infinity,   NAN,     1.0f,    -1.0f,    0.5f,  -0.5f,
      1.5f,    -1.5f,      2.5f,       1e-40f,      -1e-40f, 3.4e38f, -3.4e38f, 88.7f, -88.7f,
      -103.9f, 8388607.5f, 8388609.0f, -4194304.5f, 1e10f,   0.625f,  0.927f};
  Tensor t = empty(DType::kF32, {static_cast<int64_t>(values.size())});
  std::copy(values.begin(), values.end(), t.data<float>());
  return t;
}

}  // namespace

PYRT_TEST(elementwise_unary_rows) {
  Random random(1);
  for (const char* op : kUnary) {
    for (const std::vector<int64_t>& dims :
         {std::vector<int64_t>{3, 5, 7, 2}, {4099}, {2, 0}, {}}) {
      Step step("elementwise");
      step.set("op", std::string(op)).set("alpha", 0.25).set("beta", 0.75);
      step.input(random.f32(dims, -6, 6)).output(DType::kF32, dims);
      step.check_rows(op);
    }
    Step special("elementwise");
    const Tensor x = specials();
    special.set("op", std::string(op)).set("alpha", 0.25).set("beta", 0.75);
    special.input(x).output(DType::kF32, {x.dims[0]});
    special.check_rows(std::string(op) + " of special values");
    const Tensor y = special.scalar_output();
    expect(std::isnan(y.data<float>()[4]), std::string(op) + " of NaN is not NaN");
  }
}

PYRT_TEST(elementwise_binary_rows) {
  Random random(2);
  for (const Shapes& s : kShapes) {
    for (const DType dtype : {DType::kF32, DType::kS32, DType::kS64}) {
      for (const char* op : kArithmetic) {
        Step step("elementwise");
        step.set("op", std::string(op))
            .input(integers(random, dtype, s.a))
            .input(integers(random, dtype, s.b));
        step.output(dtype, s.y).check_rows(op);
      }
      for (const char* op : kCompare) {
        Step step("elementwise");
        step.set("op", std::string(op))
            .input(integers(random, dtype, s.a))
            .input(integers(random, dtype, s.b));
        step.output(DType::kBool, s.y).check_rows(op);
      }
    }
    for (const char* op : {"and", "or", "xor", "equal"}) {
      Step step("elementwise");
      step.set("op", std::string(op)).input(integers(random, DType::kBool, s.a));
      step.input(integers(random, DType::kBool, s.b)).output(DType::kBool, s.y).check_rows(op);
    }
    for (const char* op : {"prelu", "pow"}) {
      Step step("elementwise");
      step.set("op", std::string(op)).input(random.f32(s.a, -1, 3)).input(random.f32(s.b, -3, 3));
      step.output(DType::kF32, s.y).check_rows(op);
    }
    for (const DType dtype : {DType::kS8, DType::kS16, DType::kF32, DType::kS64}) {
      Step step("elementwise");
      step.set("op", std::string("where")).input(integers(random, DType::kBool, s.a));
      step.input(integers(random, dtype, s.b)).input(integers(random, dtype, s.y));
      step.output(dtype, s.y).check_rows("where");
    }
  }
}

PYRT_TEST(elementwise_min_max_follow_numpy) {
  const float nan = NAN;
  const std::vector<float> a = {nan, 1, -0.0f, 0.0f, 2, nan}, b = {1, nan, 0.0f, -0.0f, 1, nan};
  Tensor x = empty(DType::kF32, {6}), z = empty(DType::kF32, {6});
  std::copy(a.begin(), a.end(), x.data<float>());
  std::copy(b.begin(), b.end(), z.data<float>());
  for (const char* op : {"min", "max"}) {
    Step step("elementwise");
    step.set("op", std::string(op)).input(x).input(z).output(DType::kF32, {6});
    step.check_rows(op);
    const Tensor y = step.scalar_output();
    expect(std::isnan(y.data<float>()[0]) && std::isnan(y.data<float>()[1]), "NaN does not pass");
    expect(std::signbit(y.data<float>()[2]) && !std::signbit(y.data<float>()[3]),
           "the first zero wins");
  }
}

PYRT_TEST(elementwise_refuses_hostile_steps) {
  const auto step = [](const char* op) {
    Step s("elementwise");
    s.set("op", std::string(op));
    return s;
  };
  Random random(3);
  expect_error(step("sinh").input(random.f32({2})).output(DType::kF32, {2}).prepare(),
               Code::kUnsupported, "'sinh'");
  expect_error(step("add").input(random.f32({2})).output(DType::kF32, {2}).prepare(), Code::kFormat,
               "2 to 2 inputs");
  expect_error(step("add").input(random.f32({2})).absent().output(DType::kF32, {2}).prepare(),
               Code::kFormat, "absent");
  expect_error(
      step("add").input(random.f32({2})).input(random.f32({3})).output(DType::kF32, {3}).prepare(),
      Code::kShape, "[2] cannot be broadcast to the output [3]");
  expect_error(step("exp").input(random.s8({2})).output(DType::kS8, {2}).prepare(), Code::kDType,
               "does not take s8");
  expect_error(
      step("less").input(random.f32({2})).input(random.f32({2})).output(DType::kF32, {2}).prepare(),
      Code::kDType, "must be bool");
  expect_error(step("where")
                   .input(random.f32({2}))
                   .input(random.f32({2}))
                   .input(random.f32({2}))
                   .output(DType::kF32, {2})
                   .prepare(),
               Code::kDType, "condition");
}

PYRT_TEST(qelementwise_rows) {
  Random random(4);
  for (const Shapes& s : kShapes) {
    for (const char* op : {"add", "mul"}) {
      const bool add = op[0] == 'a';
      Step step("qelementwise");
      step.set("op", std::string(op))
          .set("a_zero_point", int64_t{-128})
          .set("b_zero_point", int64_t{3});
      step.set("y_zero_point", int64_t{-5}).set("q_lo", int64_t{-100});
      step.input(random.s8(s.a)).input(random.s8(s.b));
      step.input(random.f32({1}, add ? 0.3f : 0.003f, add ? 0.9f : 0.01f), Role::kConstant);
      step.input(random.f32({}, 0.3f, 0.9f), Role::kConstant).output(DType::kS8, s.y);
      step.check_rows(op);
    }
  }
}

PYRT_TEST(qelementwise_rounds_half_to_even_and_saturates) {
  Tensor a = empty(DType::kS8, {6}), b = empty(DType::kS8, {1}), half = empty(DType::kF32, {1});
  const int8_t values[] = {1, 3, 5, -1, -3, 127};
  std::copy(values, values + 6, a.data<int8_t>());
  b.data<int8_t>()[0] = 0;
  half.data<float>()[0] = 0.5f;
  Step step("qelementwise");
  step.set("op", std::string("add")).set("q_hi", int64_t{50});
  step.input(a)
      .input(b)
      .input(half, Role::kConstant)
      .input(half, Role::kConstant)
      .output(DType::kS8, {6});
  const Tensor y = step.scalar_output();
  const int8_t want[] = {0, 2, 2, 0, -2, 50};
  for (int i = 0; i < 6; ++i)
    expect(y.data<int8_t>()[i] == want[i], "qelementwise element " + std::to_string(i));
  step.set("q_lo", int64_t{60});
  expect_error(step.prepare(), Code::kFormat, "q_lo is 60");
}

}  // namespace pyrt::test
