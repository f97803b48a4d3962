// pool: every row against the scalar one, small cases worked out by hand, and hostile steps.
#include <cmath>

#include "harness.h"

namespace pyrt::test {
namespace {

struct Pool {
  std::vector<int64_t> x, kernel, strides, pads, dilations, y;
};

const Pool kPools[] = {
    {{1, 1, 1, 1}, {1, 1}, {}, {}, {}, {1, 1, 1, 1}},
    {{2, 3, 7, 9}, {3, 2}, {2, 2}, {1, 0, 1, 1}, {}, {2, 3, 4, 5}},
    {{1, 8, 6, 6}, {2, 2}, {2, 2}, {}, {}, {1, 8, 3, 3}},
    {{1, 33, 5, 5}, {3, 3}, {1, 1}, {1, 1, 1, 1}, {}, {1, 33, 5, 5}},
    {{1, 300, 4, 4}, {4, 4}, {}, {}, {}, {1, 300, 1, 1}},              // global
    {{2, 31, 7, 7}, {2, 2}, {}, {}, {2, 3}, {2, 31, 5, 4}},            // dilated
    {{1, 16, 5, 5}, {2, 2}, {2, 2}, {0, 0, 1, 1}, {}, {1, 16, 3, 3}},  // ceil_mode
    {{1, 9, 2, 2}, {1, 1}, {1, 1}, {3, 3, 3, 3}, {}, {1, 9, 8, 8}},  // windows without a tap inside
    {{2, 40, 17}, {3}, {2}, {1, 1}, {}, {2, 40, 9}},                 // sequence
    {{0, 4, 3, 3}, {2, 2}, {}, {}, {}, {0, 4, 2, 2}},
};

void set_geometry(const Pool& pool, Step* step) {
  step->set("kernel", pool.kernel).set("strides", pool.strides).set("pads", pool.pads);
  step->set("dilations", pool.dilations).output(DType::kF32, pool.y);
}

}  // namespace

PYRT_TEST(pool_f32_rows) {
  Random random(20);
  for (const Pool& pool : kPools) {
    for (int variant = 0; variant < 4; ++variant) {
      Tensor x = random.f32(pool.x, -10, 10);
      if (variant == 3 && x.dims.count() > 5) {
        x.data<float>()[5] = NAN;
        x.data<float>()[2] = -INFINITY;
      }
      Step step("pool");
      step.input(x).set("op", std::string(variant % 2 == 1 ? "max" : "average"));
      step.set("count_include_pad", int64_t{variant == 2});
      set_geometry(pool, &step);
      step.check_rows("f32 pool");
    }
  }
}

PYRT_TEST(pool_s8_rows) {
  Random random(21);
  for (const Pool& pool : kPools) {
    for (int variant = 0; variant < 4; ++variant) {
      const bool max = variant == 3;
      Step step("pool");
      step.input(random.s8(pool.x)).set("op", std::string(max ? "max" : "average"));
      if (!max) step.input(random.f32({1}, 0.5f, 3), Role::kConstant);
      step.set("x_zero_point", random.integer(-128, 127));
      step.set("y_zero_point", random.integer(-128, 127));
      step.set("kernel", pool.kernel).set("strides", pool.strides).set("pads", pool.pads);
      step.set("dilations", pool.dilations).set("count_include_pad", int64_t{variant == 2});
      step.output(DType::kS8, pool.y);
      step.check_rows("s8 pool");
    }
  }
}

PYRT_TEST(pool_by_hand) {
  Tensor x = empty(DType::kF32, {1, 1, 2, 3});
  for (int64_t i = 0; i < 6; ++i) x.data<float>()[i] = static_cast<float>(i + 1);  // 1 2 3 / 4 5 6
  const auto run = [&x](const char* op, int64_t include) {
    Step step("pool");
    step.input(x).set("op", std::string(op)).set("kernel", std::vector<int64_t>{2, 2});
    step.set("strides", std::vector<int64_t>{2, 2}).set("pads", std::vector<int64_t>{1, 1, 1, 0});
    step.set("count_include_pad", include).output(DType::kF32, {1, 1, 2, 2});
    return step.scalar_output();
  };
  const float max[] = {1, 3, 4, 6};
  const float average[] = {1, 2.5f, 4, 5.5f};
  const float padded[] = {0.25f, 1.25f, 1, 2.75f};
  for (int i = 0; i < 4; ++i) {
    expect(run("max", 0).data<float>()[i] == max[i], "max is off");
    expect(run("average", 0).data<float>()[i] == average[i], "average is off");
    expect(run("average", 1).data<float>()[i] == padded[i], "average with padding is off");
  }
  x.data<float>()[0] = NAN;
  expect(std::isnan(run("max", 0).data<float>()[0]), "a maximum loses a NaN");
}

PYRT_TEST(pool_refuses_hostile_steps) {
  const auto pool = [](const char* op, std::vector<int64_t> kernel, std::vector<int64_t> y) {
    Step s("pool");
    s.input(empty(DType::kF32, {1, 2, 4, 4})).set("op", std::string(op)).set("kernel", kernel);
    s.output(DType::kF32, y);
    return s;
  };
  expect_error(pool("median", {2, 2}, {1, 2, 3, 3}).prepare(), Code::kFormat, "median");
  expect_error(pool("max", {2}, {1, 2, 3, 3}).prepare(), Code::kShape, "kernel");
  expect_error(pool("max", {}, {1, 2, 3, 3}).prepare(), Code::kShape, "kernel");
  expect_error(pool("max", {2, 0}, {1, 2, 3, 3}).prepare(), Code::kShape, "kernel");
  expect_error(pool("max", {2, 2}, {1, 3, 3, 3}).prepare(), Code::kShape, "channels");
  Step s8("pool");
  s8.input(empty(DType::kS8, {1, 2, 4, 4})).set("op", std::string("average"));
  s8.set("kernel", std::vector<int64_t>{2, 2}).output(DType::kS8, {1, 2, 3, 3});
  expect_error(s8.prepare(), Code::kFormat, "scale");
}

}  // namespace pyrt::test
