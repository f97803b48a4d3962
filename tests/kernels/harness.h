// A bench for kernel rows: builds a step by hand, runs every row that this CPU can execute, and
// compares with the scalar row (the specification). Exact and canonical rows must give the same
// bytes; fast rows must be within a tolerance and give the same bytes however their tasks are cut.
// Buffers have guard bytes on both sides.
//
// A family's test is one file <family>_test.cpp whose cases are functions listed by PYRT_TEST.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <variant>
#include <vector>

#include "base/isa.h"
#include "kernels/kernel.h"

namespace pyrt::test {

using AttributeValue = std::variant<int64_t, std::vector<int64_t>, double, std::string>;

// A dense array in plain form.
struct Tensor {
  DType dtype = DType::kF32;
  Dims dims;
  std::vector<uint8_t> bytes;

  template <class T>
  T* data() {
    return reinterpret_cast<T*>(bytes.data());
  }
  template <class T>
  const T* data() const {
    return reinterpret_cast<const T*>(bytes.data());
  }
};

Dims make_dims(const std::vector<int64_t>& dims);
Tensor empty(DType dtype, const std::vector<int64_t>& dims);

// Reproducible contents: each case seeds its own.
class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  int64_t integer(int64_t least, int64_t most);
  Tensor s8(const std::vector<int64_t>& dims, int64_t least = -128, int64_t most = 127);
  Tensor s32(const std::vector<int64_t>& dims, int64_t least, int64_t most);
  Tensor f32(const std::vector<int64_t>& dims, float least = -1, float most = 1);

 private:
  std::mt19937 engine_;
};

enum class Role { kActivation, kConstant };

// One step of a Program with its operands.
class Step {
 public:
  explicit Step(std::string family) : family_(std::move(family)) {}
  Step& input(Tensor tensor, Role role = Role::kActivation);
  Step& absent();  // an optional input that is not there
  Step& output(DType dtype, const std::vector<int64_t>& dims);
  Step& set(const std::string& name, AttributeValue value);

  // The family's checks; every other function below prepares on its own.
  Status prepare();
  // Runs every row for which the CPU has the features and compares it with the scalar row.
  // `tolerance` is relative to `magnitude` (the size of sums before cancellation) and used for fast
  // rows only.
  void check_rows(const std::string& label, double tolerance = 0, double magnitude = 1);
  // Rows whose name contains the text may err `factor` times as much.
  void allow(const std::string& part_of_name, double factor);
  // The output of the scalar row, to be compared with an independent reference.
  Tensor scalar_output();
  // The output of the row so named, and why it does not support the step (null: it does). Where the
  // CPU lacks its features, `ran` is false and nothing runs.
  Tensor output_of(const std::string& row, bool* ran);
  const char* reason_against(const std::string& row);

 private:
  struct Variant;
  std::vector<Tensor> run(const Row& row, const Variant& variant);
  // The problem as bind would prepare it.
  Status bind(Problem* problem);
  const Row* scalar_row(const Problem& problem) const;
  const Row* named_row(const std::string& name, Problem* problem);

  std::string family_;
  std::vector<Tensor> inputs_;
  std::vector<bool> present_;
  std::vector<bool> constant_;
  std::vector<Tensor> outputs_;
  std::vector<std::pair<std::string, double>> allowances_;
  std::vector<std::pair<std::string, AttributeValue>> attributes_;
  std::vector<Operand> input_operands_;
  std::vector<Operand> output_operands_;
  std::optional<WeightFacts> facts_;
};

// Fails the test program with a message, but goes on with the next case.
void fail(const std::string& message);
void expect(bool condition, const std::string& message);
// Status must carry `code` and its message must contain `text`.
void expect_error(const Status& status, Code code, const std::string& text);

FeatureMask cpu_features();

struct Case {
  Case(const char* name, void (*function)());
};

}  // namespace pyrt::test

#define PYRT_TEST(name)                                      \
  static void name();                                        \
  static const ::pyrt::test::Case name##_case(#name, &name); \
  static void name()
