// The families that write what dims decide: values written by hand, and hostile steps.
#include <cstring>
#include <limits>

#include "harness.h"

namespace pyrt::test {
namespace {

using Ints = std::vector<int64_t>;

template <class T>
void expect_values(const Tensor& t, const std::vector<T>& want) {
  expect(t.bytes.size() == want.size() * sizeof(T) &&
             std::memcmp(t.bytes.data(), want.data(), t.bytes.size()) == 0,
         "other values");
}

Status prepare(const char* family, const char* attribute, const Ints& values, DType dtype,
               const Ints& dims) {
  Step step(family);
  if (values.size() == 1) {
    step.set(attribute, values[0]);
  } else {
    step.set(attribute, values);
  }
  return step.output(dtype, dims).prepare();
}

}  // namespace

PYRT_TEST(sizes_and_ranges_have_the_values) {
  Step sizes("sizes");
  sizes.set("values", Ints{3, -1, int64_t{1} << 40}).output(DType::kS64, {3});
  expect_values<int64_t>(sizes.scalar_output(), {3, -1, int64_t{1} << 40});
  Step real("sizes");
  real.set("values", Ints{320}).output(DType::kF32, {});
  expect_values<float>(real.scalar_output(), {320});
  Step down("range");
  down.set("start", int64_t{5}).set("step", int64_t{-2}).output(DType::kF64, {4});
  expect_values<double>(down.scalar_output(), {5, 3, 1, -1});
  Step up("range");
  up.output(DType::kS32, {3});
  expect_values<int32_t>(up.scalar_output(), {0, 1, 2});
  Step none("range");
  none.output(DType::kS32, {0});
  expect_values<int32_t>(none.scalar_output(), {});
}

PYRT_TEST(sizes_and_ranges_refuse_hostile_steps) {
  const Ints pair = {1, 2};
  expect_error(prepare("sizes", "values", pair, DType::kS64, {3}), Code::kShape, "2 elements");
  expect_error(prepare("sizes", "values", Ints(33, 1), DType::kS64, {33}), Code::kShape, "at most");
  expect_error(prepare("sizes", "values", pair, DType::kU8, {2}), Code::kDType, "u8");
  expect_error(prepare("sizes", "values", {0, int64_t{1} << 31}, DType::kS32, {2}), Code::kShape,
               "too large");
  const int64_t most = std::numeric_limits<int64_t>::max();
  expect_error(prepare("range", "step", {most}, DType::kS64, {3}), Code::kShape, "64 bits");
  expect_error(prepare("range", "start", {most}, DType::kS64, {3}), Code::kShape, "64 bits");
  expect_error(prepare("range", "start", {1}, DType::kS8, {3}), Code::kDType, "s8");
  expect_error(prepare("range", "start", {1}, DType::kS64, {3, 1}), Code::kFormat, "rank");
}

}  // namespace pyrt::test
