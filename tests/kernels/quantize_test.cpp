// The quantize families: every row against the scalar one, the scalar one against values written by
// hand, and hostile steps.
#include <cmath>
#include <cstring>

#include "harness.h"

namespace pyrt::test {
namespace {

using Ints = std::vector<int64_t>;
const Ints kShapes[] = {{},        {1},       {33},   {5000}, {2, 19, 4, 5}, {3, 64, 2, 2},
                        {2, 3, 7}, {2, 0, 3}, {7, 70}};

Tensor floats(const std::vector<float>& values) {
  Tensor t = empty(DType::kF32, {static_cast<int64_t>(values.size())});
  std::memcpy(t.bytes.data(), values.data(), t.bytes.size());
  return t;
}

template <class T>
void expect_values(const Tensor& t, const std::vector<T>& want, const std::string& label) {
  for (size_t i = 0; i < want.size(); ++i) {
    expect(t.data<T>()[i] == want[i],
           label + ": element " + std::to_string(i) + " is " + std::to_string(t.data<T>()[i]));
  }
}

}  // namespace

PYRT_TEST(quantize_and_back_rows) {
  Random random(1);
  for (const Ints& dims : kShapes) {
    for (const bool channels : {false, true}) {
      if (channels && dims.size() < 2) continue;
      const Ints scales = channels ? Ints{dims[1]} : Ints{1};
      Step quantize("quantize");
      Tensor x = random.f32(dims, -9, 9);
      if (x.dims.count() > 20) {
        x.data<float>()[3] = NAN;
        x.data<float>()[7] = INFINITY;
        x.data<float>()[8] = -INFINITY;
        x.data<float>()[9] = 3e38f;
      }
      quantize.set("zero_point", Ints{5}).set("q_lo", int64_t{-120}).input(x);
      quantize.input(random.f32(scales, 0.01f, 0.1f), Role::kConstant)
          .output(DType::kS8, dims)
          .check_rows("quantize");
      Step dequantize("dequantize");
      dequantize.set("zero_point", Ints{-128}).input(random.s8(dims));
      dequantize.input(random.f32(scales, 0.01f, 0.1f), Role::kConstant).output(DType::kF32, dims);
      dequantize.check_rows("dequantize s8");
      Step wide("dequantize");
      wide.input(random.s32(dims, INT32_MIN, INT32_MAX))
          .input(random.f32(scales, 0.01f, 0.1f), Role::kConstant);
      wide.output(DType::kF32, dims).check_rows("dequantize s32");
    }
  }
}

// Vectors quantize without a division: the quotients around ties must be those of one.
PYRT_TEST(quantize_rows_near_ties) {
  Random random(3);
  std::vector<float> scales = {0.1f,          0.0625f, 0x1.fffffep-5f, 0x1.000002p3f,
                               0x1.fffffcp9f, 1e-30f,  1e30f,          0x1p-90f,
                               0x1p-91f,      0x1p91f, 0x1.fffffep126f};
  for (int i = 0; i < 40; ++i)
    scales.push_back(static_cast<float>(random.integer(8388608, 16777215)) * 0x1p-28f);
  for (const float scale : scales) {
    std::vector<float> values = {NAN, INFINITY, -INFINITY, 0.0f, -0.0f, 3.4e38f, -3.4e38f, 1e-45f};
    for (int k = -258; k < 258; ++k) {
      float x = (static_cast<float>(k) + 0.5f) * scale;
      for (int i = 0; i < 3; ++i) x = std::nextafter(x, -INFINITY);
      for (int i = 0; i < 7; ++i, x = std::nextafter(x, INFINITY)) values.push_back(x);
    }
    const Ints dims{static_cast<int64_t>(values.size())};
    Step quantize("quantize");
    quantize.set("zero_point", Ints{-3}).input(floats(values));
    quantize.input(floats({scale}), Role::kConstant).output(DType::kS8, dims).check_rows("ties");
    Step narrow("quantize");
    narrow.set("zero_point", Ints{100}).set("q_lo", int64_t{-100}).set("q_hi", int64_t{101});
    narrow.input(floats(values)).input(floats({scale}), Role::kConstant);
    narrow.output(DType::kS8, dims).check_rows("ties, narrow");
  }
}

PYRT_TEST(requantize_lookup_cast_sign_rows) {
  Random random(2);
  for (const Ints& dims : kShapes) {
    Step requantize("requantize");
    requantize.set("x_zero_point", int64_t{3})
        .set("y_zero_point", int64_t{-7})
        .input(random.s8(dims));
    requantize.input(random.f32({1}, 0.2f, 2), Role::kConstant)
        .output(DType::kS8, dims)
        .check_rows("requantize");
    Step lookup("lookup");
    lookup.input(random.s8(dims)).input(random.s8({256}), Role::kConstant).output(DType::kS8, dims);
    lookup.check_rows("lookup");
    Tensor x = empty(DType::kU8, dims);
    for (uint8_t& byte : x.bytes) byte = static_cast<uint8_t>(random.integer(0, 255));
    Step cast("cast_sign");
    cast.input(x).output(DType::kS8, dims).check_rows("cast_sign");
  }
  Tensor all = empty(DType::kS8, {256}), table = empty(DType::kS8, {256});
  for (size_t i = 0; i < 256; ++i) {
    all.bytes[i] = static_cast<uint8_t>(i);
    table.data<int8_t>()[i] = static_cast<int8_t>(255 - i);
  }
  Step lookup("lookup");
  lookup.input(all)
      .input(table, Role::kConstant)
      .output(DType::kS8, {256})
      .check_rows("lookup of every byte");
  expect(lookup.scalar_output().data<int8_t>()[0] == 127, "lookup of 0 is entry 128");
}

PYRT_TEST(quantize_values) {
  const float infinity = INFINITY, nan = NAN;
  Step step("quantize");
  step.set("zero_point", Ints{10})
      .input(floats({0.5f, 1.5f, 2.5f, -0.5f, 1e30f, -infinity, nan, 117.5f}));
  step.input(floats({1.0f}), Role::kConstant).output(DType::kS8, {8}).check_rows("quantize values");
  expect_values<int8_t>(step.scalar_output(), {10, 12, 12, 10, 127, -128, 10, 127}, "quantize");
}

PYRT_TEST(dynamic_quantize_rows) {
  Random random(3);
  for (const Ints& dims : kShapes) {
    for (const float least : {-3.0f, 0.5f, -8.0f}) {
      Step step("dynamic_quantize");
      step.input(random.f32(dims, least, least + 4));
      step.output(DType::kU8, dims)
          .output(DType::kF32, {})
          .output(DType::kU8, {})
          .check_rows("dynamic_quantize");
    }
  }
  Step zeros("dynamic_quantize");
  zeros.input(floats({0, 0, 0}))
      .output(DType::kU8, {3})
      .output(DType::kF32, {})
      .output(DType::kU8, {});
  zeros.check_rows("dynamic_quantize of zeros");
  // The example of the ONNX specification.
  Step step("dynamic_quantize");
  step.input(floats({0, 2, -3, -2.5f, 1.34f, 0.5f}))
      .output(DType::kU8, {6})
      .output(DType::kF32, {});
  step.output(DType::kU8, {});
  expect_values<uint8_t>(step.scalar_output(), {153, 255, 0, 26, 221, 179}, "dynamic_quantize");
}

PYRT_TEST(quantize_refuses_hostile_steps) {
  Random random(4);
  const auto prepare = [&](const Tensor& scale, const Ints& zero_point, int64_t q_lo) {
    Step step("quantize");
    step.set("zero_point", zero_point)
        .set("q_lo", q_lo)
        .input(random.f32({2, 3, 4}))
        .input(scale, Role::kConstant);
    return step.output(DType::kS8, {2, 3, 4}).prepare();
  };
  expect(prepare(floats({1, 2, 3}), {4, 4, 4}, -128).ok(), "three channels");
  expect_error(prepare(floats({1, 2}), {}, -128), Code::kFormat, "number of scales is 2");
  expect_error(prepare(floats({0}), {}, -128), Code::kFormat, "finite, normal and positive");
  expect_error(prepare(floats({NAN}), {}, -128), Code::kFormat, "finite, normal and positive");
  expect_error(prepare(floats({1}), {128}, -128), Code::kFormat, "zero_point is 128");
  expect_error(prepare(floats({1, 2, 3}), {1, 2, 3}, -128), Code::kUnsupported,
               "differ between channels");
  expect_error(prepare(floats({1}), {}, 128), Code::kFormat, "q_lo is 128");
}

}  // namespace pyrt::test
