// The movement families: every row against the scalar one, the scalar one against values written by
// hand, and hostile steps.
#include <cmath>
#include <cstring>
#include <limits>

#include "harness.h"

namespace pyrt::test {
namespace {

using Ints = std::vector<int64_t>;

// Distinct bytes, so that a wrong source shows.
Tensor any(Random& random, DType dtype, const Ints& dims) {
  Tensor t = empty(dtype, dims);
  for (uint8_t& byte : t.bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
  return t;
}

template <class T>
Tensor of(DType dtype, const Ints& dims, const std::vector<T>& values) {
  Tensor t = empty(dtype, dims);
  std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
  return t;
}

template <class T>
void expect_values(const Tensor& t, const std::vector<T>& want, const std::string& label) {
  for (size_t i = 0; i < want.size(); ++i) {
    expect(std::memcmp(&t.data<T>()[i], &want[i], sizeof(T)) == 0,
           label + ": element " + std::to_string(i) + " is " + std::to_string(t.data<T>()[i]));
  }
}

const DType kSizes[] = {DType::kS8, DType::kF16, DType::kF32, DType::kF64};

}  // namespace

PYRT_TEST(transpose_rows) {
  Random random(1);
  struct Shape {
    Ints dims, perm;
  };
  const Shape cases[] = {{{}, {}},
                         {{5}, {0}},
                         {{37, 53}, {1, 0}},
                         {{3, 33, 47}, {0, 2, 1}},
                         {{2, 19, 6, 35}, {0, 2, 3, 1}},
                         {{2, 6, 7, 18}, {0, 3, 1, 2}},
                         {{4, 5, 3, 17}, {0, 2, 1, 3}},
                         {{4, 0, 3}, {2, 1, 0}},
                         {{200, 130}, {1, 0}},
                         {{3, 2, 4, 5, 3}, {4, 2, 0, 3, 1}}};
  for (const Shape& c : cases) {
    Ints dims;
    for (const int64_t axis : c.perm) dims.push_back(c.dims[static_cast<size_t>(axis)]);
    for (const DType dtype : kSizes) {
      Step step("transpose");
      step.set("perm", c.perm)
          .input(any(random, dtype, c.dims))
          .output(dtype, dims)
          .check_rows("transpose");
    }
  }
  Step step("transpose");
  step.set("perm", Ints{1, 0})
      .input(of<int8_t>(DType::kS8, {2, 3}, {1, 2, 3, 4, 5, 6}))
      .output(DType::kS8, {3, 2});
  expect_values<int8_t>(step.scalar_output(), {1, 4, 2, 5, 3, 6}, "transpose");
}

PYRT_TEST(slice_rows) {
  Random random(2);
  struct Shape {
    Ints x, starts, steps, y;
  };
  const Shape cases[] = {{{10}, {9}, {-3}, {4}},
                         {{4, 9, 5}, {1, 2, 0}, {}, {2, 7, 5}},
                         {{2, 8, 5, 6}, {0, 4, 1, 5}, {1, 1, 2, -1}, {2, 4, 2, 6}},
                         {{2, 8, 5, 6}, {1, 0, 0, 0}, {}, {1, 8, 5, 6}},
                         {{3, 700, 9}, {0, 3, 8}, {1, 2, -2}, {3, 340, 5}},
                         {{3, 4}, {0, 0}, {}, {3, 0}}};
  for (const Shape& c : cases) {
    for (const DType dtype : kSizes) {
      Step step("slice");
      step.set("starts", c.starts)
          .set("steps", c.steps)
          .input(any(random, dtype, c.x))
          .output(dtype, c.y);
      step.check_rows("slice");
    }
  }
  Step step("slice");
  step.set("starts", Ints{3})
      .set("steps", Ints{-2})
      .input(of<int8_t>(DType::kS8, {5}, {1, 2, 3, 4, 5}));
  step.output(DType::kS8, {2});
  expect_values<int8_t>(step.scalar_output(), {4, 2}, "slice");
}

PYRT_TEST(slice_refuses_hostile_steps) {
  const auto prepare = [](const Ints& starts, const Ints& steps, const Ints& y) {
    Random random(1);
    Step step("slice");
    step.set("starts", starts).set("steps", steps).input(random.s8({5, 4})).output(DType::kS8, y);
    return step.prepare();
  };
  expect_error(prepare({5, 0}, {}, {1, 4}), Code::kFormat, "start of axis 0 is 5");
  expect_error(prepare({3, 0}, {}, {3, 4}), Code::kFormat, "extent - 1 of axis 0 is 2");
  expect_error(prepare({0, 3}, {1, -1}, {1, 5}), Code::kFormat, "extent - 1 of axis 1 is 4");
  const int64_t huge = std::numeric_limits<int64_t>::max(),
                least = std::numeric_limits<int64_t>::min();
  expect_error(prepare({0, 3}, {huge, 1}, {2, 1}), Code::kFormat, "extent");
  expect_error(prepare({0, 3}, {1, least}, {1, 2}), Code::kFormat, "extent");
  expect_error(prepare({0}, {}, {1, 1}), Code::kFormat, "length of starts");
}

PYRT_TEST(expand_concat_tile_fill_rows) {
  Random random(3);
  for (const DType dtype : kSizes) {
    for (const auto& [x, y] : std::vector<std::pair<Ints, Ints>>{{{1}, {7}},
                                                                 {{3, 1}, {2, 3, 40}},
                                                                 {{2, 1, 5}, {2, 4, 5}},
                                                                 {{}, {3, 3}},
                                                                 {{1, 3, 1, 1}, {2, 3, 50, 60}}}) {
      Step step("expand");
      step.input(any(random, dtype, x)).output(dtype, y).check_rows("expand");
    }
    for (const auto& [x, y] : std::vector<std::pair<Ints, Ints>>{{{5}, {15}},
                                                                 {{2, 3}, {4, 9}},
                                                                 {{2, 3, 4}, {2, 6, 4}},
                                                                 {{3, 1, 7}, {3, 50, 70}},
                                                                 {{2, 0}, {4, 0}}}) {
      Step step("tile");
      step.input(any(random, dtype, x)).output(dtype, y).check_rows("tile");
    }
    for (const int64_t axis : {0, 1, 2, -1}) {
      Ints a = {2, 3, 4, 5}, b = a, c = a, y = a;
      const size_t at = static_cast<size_t>(axis < 0 ? axis + 4 : axis);
      b[at] = 0;
      c[at] = 40;
      y[at] = a[at] + 40;
      Step step("concat");
      step.set("axis", axis).input(any(random, dtype, a)).input(any(random, dtype, b));
      step.input(any(random, dtype, c), axis == 1 ? Role::kConstant : Role::kActivation)
          .output(dtype, y);
      step.check_rows("concat");
    }
    Step step("fill");
    step.input(any(random, dtype, {1}), Role::kConstant)
        .output(dtype, {3, 3000})
        .check_rows("fill");
  }
  Step step("concat");
  step.set("axis", int64_t{1}).input(of<int8_t>(DType::kS8, {2, 1}, {1, 2}));
  step.input(of<int8_t>(DType::kS8, {2, 2}, {3, 4, 5, 6})).output(DType::kS8, {2, 3});
  expect_values<int8_t>(step.scalar_output(), {1, 3, 4, 2, 5, 6}, "concat");
}

PYRT_TEST(pad_rows) {
  Random random(4);
  struct Shape {
    Ints x, pads, y;
  };
  const Shape cases[] = {{{7}, {3, 5}, {15}},
                         {{2, 3, 5, 6}, {0, 0, 1, 2, 0, 0, 2, 1}, {2, 3, 8, 9}},
                         {{2, 3, 5, 6}, {1, 2, 0, 0, 0, 1, 0, 0}, {3, 6, 5, 6}},
                         {{1, 16, 9, 70}, {0, 0, 1, 1, 0, 0, 1, 1}, {1, 16, 11, 72}},
                         {{6, 5}, {-2, 1, 3, -2}, {7, 4}}};
  for (const Shape& c : cases) {
    for (const char* mode : {"constant", "reflect", "edge", "wrap"}) {
      if (std::string(mode) == "reflect" && c.x.size() == 4 && c.pads[0] > 0)
        continue;  // needs larger dims
      for (const DType dtype : kSizes) {
        Step step("pad");
        step.set("pads", c.pads).set("mode", std::string(mode)).input(any(random, dtype, c.x));
        if (c.x.size() != 2) step.input(any(random, dtype, {1}), Role::kConstant);
        step.output(dtype, c.y).check_rows(std::string("pad ") + mode);
      }
    }
  }
  const auto padded = [](const char* mode, const Ints& pads, const Ints& y) {
    Step step("pad");
    step.set("pads", pads)
        .set("mode", std::string(mode))
        .input(of<int8_t>(DType::kS8, {3}, {1, 2, 3}));
    return step.output(DType::kS8, y).scalar_output();
  };
  expect_values<int8_t>(padded("constant", {1, 2}, {6}), {0, 1, 2, 3, 0, 0}, "pad constant");
  expect_values<int8_t>(padded("reflect", {2, 2}, {7}), {3, 2, 1, 2, 3, 2, 1}, "pad reflect");
  expect_values<int8_t>(padded("edge", {2, 1}, {6}), {1, 1, 1, 2, 3, 3}, "pad edge");
  expect_values<int8_t>(padded("wrap", {4, 1}, {8}), {3, 1, 2, 3, 1, 2, 3, 1}, "pad wrap");
  Step step("pad");
  step.set("pads", Ints{3, 0})
      .set("mode", std::string("reflect"))
      .input(of<int8_t>(DType::kS8, {3}, {1, 2, 3}));
  expect_error(step.output(DType::kS8, {6}).prepare(), Code::kFormat,
               "the pad before of axis 0 is 3");
}

PYRT_TEST(gather_rows_and_bad_indices) {
  Random random(5);
  for (const DType dtype : kSizes) {
    for (const int64_t axis : {0, 1, 2}) {
      const Ints x = {4, 6, 300};
      Ints y = x;
      y[static_cast<size_t>(axis)] = 5;
      Tensor indices = empty(axis == 1 ? DType::kS32 : DType::kS64, {5});
      for (int i = 0; i < 5; ++i) {
        const int64_t index = random.integer(-4, 3);
        if (axis == 1) indices.data<int32_t>()[i] = static_cast<int32_t>(index);
        if (axis != 1) indices.data<int64_t>()[i] = index;
      }
      Step step("gather");
      step.set("axis", axis)
          .input(any(random, dtype, x))
          .input(indices)
          .output(dtype, y)
          .check_rows("gather");
    }
  }
  // Out of range: zeros, and the kernel reports it; constant indices are refused by prepare.
  const Tensor bad = of<int64_t>(DType::kS64, {3}, {0, 7, std::numeric_limits<int64_t>::min()});
  Step step("gather");
  step.set("axis", int64_t{0})
      .input(of<int8_t>(DType::kS8, {2}, {5, 6}))
      .input(bad)
      .output(DType::kS8, {3});
  step.check_rows("gather outside");
  expect_values<int8_t>(step.scalar_output(), {5, 0, 0}, "gather outside");
  Step constant("gather");
  constant.set("axis", int64_t{0})
      .input(of<int8_t>(DType::kS8, {2}, {5, 6}))
      .input(bad, Role::kConstant);
  expect_error(constant.output(DType::kS8, {3}).prepare(), Code::kFormat, "index 1 is 7");
}

PYRT_TEST(cast_rows) {
  Random random(6);
  const DType dtypes[] = {DType::kBool, DType::kU8,  DType::kS8,  DType::kS32,
                          DType::kS64,  DType::kF16, DType::kF32, DType::kF64};
  for (const DType from : dtypes) {
    for (const DType to : dtypes) {
      Step step("cast");
      Tensor x = any(random, from, {3, 5, 4, 7});
      // Bytes of NaNs are not part of the contract: small values for floats to floats.
      const bool floats = from == DType::kF32 || from == DType::kF64 || from == DType::kF16;
      for (int64_t i = 0; floats && i < x.dims.count(); ++i) {
        const double value =
            static_cast<double>(random.integer(-70000000, 70000000)) / (i % 2 == 0 ? 1000 : 1e9);
        if (from == DType::kF32) x.data<float>()[i] = static_cast<float>(value);
        if (from == DType::kF64) x.data<double>()[i] = value;
        if (from == DType::kF16) x.data<uint16_t>()[i] &= 0xbfff;
      }
      step.input(x).output(to, {3, 5, 4, 7}).check_rows("cast");
    }
  }
}

PYRT_TEST(cast_values) {
  const auto cast = [](const Tensor& x, DType to) {
    Step step("cast");
    return step.input(x).output(to, {x.dims[0]}).scalar_output();
  };
  const float infinity = INFINITY, nan = NAN;
  const Tensor floats =
      of<float>(DType::kF32, {7}, {1.9f, -1.9f, 3e10f, -infinity, nan, 300.0f, 0.0f});
  expect_values<int32_t>(cast(floats, DType::kS32), {1, -1, INT32_MAX, INT32_MIN, 0, 300, 0},
                         "f32 to s32");
  expect_values<int8_t>(cast(floats, DType::kS8), {1, -1, 127, -128, 0, 127, 0}, "f32 to s8");
  expect_values<uint8_t>(cast(floats, DType::kU8), {1, 0, 255, 0, 0, 255, 0}, "f32 to u8");
  expect_values<uint8_t>(cast(floats, DType::kBool), {1, 1, 1, 1, 1, 1, 0}, "f32 to bool");
  expect_values<int64_t>(cast(floats, DType::kS64), {1, -1, 30000001024, INT64_MIN, 0, 300, 0},
                         "f32 to s64");
  const Tensor halves = of<float>(
      DType::kF32, {7}, {1.0f, 65519.0f, 65520.0f, 6e-8f, 2.98e-8f, -0.0f, 1.00048828125f});
  expect_values<uint16_t>(cast(halves, DType::kF16), {0x3c00, 0x7bff, 0x7c00, 1, 0, 0x8000, 0x3c00},
                          "f32 to f16");
  // 1 + 2^-11 + 2^-40 is above the middle of two halves, but rounds to the middle as a float.
  const Tensor wide = of<double>(DType::kF64, {1}, {1.0 + 0x1p-11 + 0x1p-40});
  expect_values<uint16_t>(cast(wide, DType::kF16), {0x3c01}, "f64 to f16");
  for (uint32_t bits = 0; bits < 0x7c00;
       ++bits) {  // every finite half survives the way there and back
    const Tensor half = of<uint16_t>(DType::kF16, {1}, {static_cast<uint16_t>(bits)});
    expect_values<uint16_t>(cast(cast(half, DType::kF32), DType::kF16),
                            {static_cast<uint16_t>(bits)}, "f16");
  }
}

PYRT_TEST(resize_rows) {
  Random random(7);
  struct Shape {
    Ints x, y;
  };
  const Shape cases[] = {{{2, 3, 7}, {2, 3, 19}},
                         {{1, 17, 5, 6}, {1, 17, 10, 12}},
                         {{2, 8, 9, 4}, {2, 8, 5, 7}},
                         {{1, 3, 4, 5, 6}, {1, 3, 8, 3, 6}},
                         {{1, 64, 40, 40}, {1, 64, 80, 80}},
                         {{1, 2, 1, 3}, {1, 2, 4, 0}}};
  for (const Shape& c : cases) {
    Tensor scales = empty(DType::kF32, {static_cast<int64_t>(c.x.size())});
    for (size_t i = 0; i < c.x.size(); ++i) {
      scales.data<float>()[i] =
          std::max(0.01f, static_cast<float>(c.y[i]) / static_cast<float>(c.x[i]));
    }
    for (const char* coordinate :
         {"half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"}) {
      Step linear("resize");
      linear.set("mode", std::string("linear")).set("coordinate", std::string(coordinate));
      linear.input(random.f32(c.x)).input(scales, Role::kConstant).output(DType::kF32, c.y);
      linear.check_rows(std::string("resize linear ") + coordinate);
      for (const char* nearest : {"round_prefer_floor", "round_prefer_ceil", "floor", "ceil"}) {
        Step step("resize");
        step.set("coordinate", std::string(coordinate)).set("nearest", std::string(nearest));
        step.input(any(random, DType::kS8, c.x))
            .input(scales, Role::kConstant)
            .output(DType::kS8, c.y);
        step.check_rows(std::string("resize nearest ") + nearest);
      }
    }
  }
  Step step("resize");
  const Tensor twice = of<float>(DType::kF32, {3}, {1, 1, 2});
  step.set("mode", std::string("linear")).input(of<float>(DType::kF32, {1, 1, 2}, {0, 4}));
  step.input(twice, Role::kConstant).output(DType::kF32, {1, 1, 4});
  expect_values<float>(step.scalar_output(), {0, 1, 3, 4}, "resize linear");
}

PYRT_TEST(reshape_checks) {
  Random random(8);
  Step good("reshape"), bad("reshape");
  expect(good.input(random.f32({2, 6})).output(DType::kF32, {3, 4}).prepare().ok(),
         "reshape of equal counts");
  expect_error(bad.input(random.f32({2, 6})).output(DType::kF32, {3, 5}).prepare(), Code::kShape,
               "[2, 6]");
}

}  // namespace pyrt::test
