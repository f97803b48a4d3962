// reduce and arg_reduce: every row against the scalar one byte for byte in both layouts, the scalar
// one against double and against values written by hand, and hostile steps.
#include <cmath>
#include <cstring>

#include "harness.h"

namespace pyrt::test {
namespace {

using Ints = std::vector<int64_t>;
const char* const kOps[] = {"sum", "mean", "max",        "min",        "prod",
                            "l1",  "l2",   "sum_square", "log_sum_exp"};

struct Shape {
  Ints x, axes;
};
const Shape kShapes[] = {{{}, {}},
                         {{1}, {0}},
                         {{100}, {}},
                         {{3, 500}, {1}},
                         {{50, 33}, {0}},
                         {{2, 19, 4, 5}, {2, 3}},
                         {{2, 19, 7, 5}, {1}},
                         {{2, 5, 4, 37}, {0, 2}},
                         {{2, 5, 4, 37}, {-1, 0}},
                         {{3, 8, 6, 7}, {2}},
                         {{3, 4, 0}, {2}},
                         {{3, 0, 4}, {2}},
                         {{4, 3, 2, 5, 3}, {1, 3}}};

Ints reduced(const Shape& s, bool keep) {
  Ints y;
  const int64_t rank = static_cast<int64_t>(s.x.size());
  for (int64_t i = 0; i < rank; ++i) {
    bool gone = s.axes.empty();
    for (const int64_t axis : s.axes) gone = gone || (axis < 0 ? axis + rank : axis) == i;
    if (!gone) y.push_back(s.x[static_cast<size_t>(i)]);
    if (gone && keep) y.push_back(1);
  }
  return y;
}

template <class T>
Tensor of(DType dtype, const Ints& dims, const std::vector<T>& values) {
  Tensor t = empty(dtype, dims);
  if (!values.empty()) std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
  return t;
}

}  // namespace

PYRT_TEST(reduce_rows) {
  Random random(1);
  for (const Shape& s : kShapes) {
    for (const bool keep : {false, true}) {
      for (const char* op : kOps) {
        Step step("reduce");
        Tensor x = random.f32(s.x, -2, 2);
        if (x.dims.count() > 5) x.data<float>()[2] = -0.0f;
        step.set("op", std::string(op)).set("axes", s.axes).input(x);
        step.output(DType::kF32, reduced(s, keep)).check_rows(std::string("reduce ") + op);
      }
      for (const char* op : {"sum", "max", "min"}) {
        if (std::string(op) != "sum" && s.x.size() == 3) continue;  // empty
        Step narrow("reduce"), wide("reduce");
        const Tensor x = random.s32(s.x, INT32_MIN, INT32_MAX);
        Tensor z = empty(DType::kS64, s.x);
        for (int64_t i = 0; i < z.dims.count(); ++i)
          z.data<int64_t>()[i] = random.integer(INT64_MIN, INT64_MAX);
        narrow.set("op", std::string(op))
            .set("axes", s.axes)
            .input(x)
            .output(DType::kS32, reduced(s, keep));
        narrow.check_rows(std::string("reduce s32 ") + op);
        wide.set("op", std::string(op))
            .set("axes", s.axes)
            .input(z)
            .output(DType::kS64, reduced(s, keep));
        wide.check_rows(std::string("reduce s64 ") + op);
      }
    }
  }
}

PYRT_TEST(reduce_agrees_with_double) {
  Random random(2);
  const Tensor x = random.f32({1000}, 0.5f, 1.5f);
  double sum = 0, square = 0, exponentials = 0, product = 1;
  for (int i = 0; i < 1000; ++i) {
    const double v = x.data<float>()[i];
    sum += v;
    square += v * v;
    exponentials += std::exp(v);
    product *= v;
  }
  const std::pair<const char*, double> wants[] = {{"sum", sum},
                                                  {"mean", sum / 1000},
                                                  {"l1", sum},
                                                  {"prod", product},
                                                  {"sum_square", square},
                                                  {"l2", std::sqrt(square)},
                                                  {"log_sum_exp", std::log(exponentials)}};
  for (const auto& [op, want] : wants) {
    Step step("reduce");
    const Tensor y =
        step.set("op", std::string(op)).input(x).output(DType::kF32, {}).scalar_output();
    const double error = std::abs(y.data<float>()[0] - want) / std::abs(want);
    expect(error < (std::string(op) == "prod" ? 3e-5 : 1e-6), std::string(op) + " is off");
  }
}

PYRT_TEST(reduce_special_values) {
  const float infinity = INFINITY, nan = NAN;
  const auto value = [](const char* op, const std::vector<float>& x) {
    Step step("reduce");
    step.set("op", std::string(op))
        .input(of<float>(DType::kF32, {static_cast<int64_t>(x.size())}, x));
    step.output(DType::kF32, {}).check_rows(op);
    return step.scalar_output().data<float>()[0];
  };
  expect(value("log_sum_exp", {-infinity, -infinity}) == -infinity, "log_sum_exp of nothing");
  expect(value("log_sum_exp", {1, infinity}) == infinity, "log_sum_exp of infinity");
  expect(std::isnan(value("max", {1, nan, 2})) && std::isnan(value("min", {1, nan, 2})),
         "NaN wins");
  expect(value("max", {}) == -infinity && value("sum", {}) == 0 && value("prod", {}) == 1,
         "identities");
}

PYRT_TEST(arg_reduce_rows) {
  Random random(3);
  for (const Ints& dims : {Ints{7}, {3, 1000}, {4, 21, 70}, {2, 5, 3, 7}, {1, 1}}) {
    for (int64_t axis = 0; axis < static_cast<int64_t>(dims.size()); ++axis) {
      for (const char* op : {"max", "min"}) {
        for (const int64_t last : {0, 1}) {
          const Ints y = reduced({dims, {axis}}, last != 0);
          Step floats("arg_reduce"), ints("arg_reduce");
          Tensor x = random.f32(dims);
          for (int64_t i = 0; i < x.dims.count(); i += 41) x.data<float>()[i] = NAN;
          floats.set("op", std::string(op)).set("axis", axis).set("select_last", last).input(x);
          floats.output(DType::kS64, y).check_rows("arg_reduce");
          ints.set("op", std::string(op)).set("axis", axis).set("select_last", last);
          ints.input(random.s32(dims, -3, 3)).output(DType::kS64, y).check_rows("arg_reduce s32");
        }
      }
    }
  }
  const Tensor x = of<float>(DType::kF32, {6}, {1, 5, NAN, 5, NAN, 0});
  const Tensor z = of<float>(DType::kF32, {5}, {1, 5, 0, 5, 0});
  const auto position = [](const Tensor& t, const char* op, int64_t last) {
    Step step("arg_reduce");
    step.set("op", std::string(op))
        .set("axis", int64_t{0})
        .set("select_last", last)
        .input(t)
        .output(DType::kS64, {1});
    return step.scalar_output().data<int64_t>()[0];
  };
  expect(position(x, "max", 0) == 2 && position(x, "min", 1) == 4, "NaN wins");
  expect(position(z, "max", 0) == 1 && position(z, "max", 1) == 3, "first and last maximum");
  expect(position(z, "min", 0) == 2 && position(z, "min", 1) == 4, "first and last minimum");
}

PYRT_TEST(reduce_refuses_hostile_steps) {
  Random random(4);
  const auto prepare = [&](const char* op, const Ints& axes, const Ints& y) {
    Step step("reduce");
    return step.set("op", std::string(op))
        .set("axes", axes)
        .input(random.f32({2, 3}))
        .output(DType::kF32, y)
        .prepare();
  };
  expect_error(prepare("median", {0}, {3}), Code::kUnsupported, "'median'");
  expect_error(prepare("sum", {2}, {3}), Code::kFormat, "axis is 2");
  expect_error(prepare("sum", {0}, {2}), Code::kShape, "must have [1, 3] or [3]");
  Step integers("reduce"), empty_max("reduce"), empty_arg("arg_reduce");
  expect_error(integers.set("op", std::string("mean"))
                   .input(random.s32({2}, 0, 1))
                   .output(DType::kS32, {})
                   .prepare(),
               Code::kDType, "must be f32");
  expect_error(empty_max.set("op", std::string("max"))
                   .input(random.s32({0}, 0, 1))
                   .output(DType::kS32, {})
                   .prepare(),
               Code::kShape, "no integers");
  empty_arg.set("op", std::string("max")).set("axis", int64_t{1}).input(random.f32({2, 0}));
  expect_error(empty_arg.output(DType::kS64, {2}).prepare(), Code::kShape, "axis of 0 elements");
}

}  // namespace pyrt::test
