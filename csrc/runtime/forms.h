// Physical forms: which buffers exist, in which layout, and the conversions between them.
//
// A value may exist in several forms, each an *instance*. Steps are visited in order; each asks for
// its inputs in the form that its row takes, and an instance that does not exist yet is made by a
// conversion step, once for all its users. Where two forms have the same bytes (one channel, or a
// single pixel) the instance shares memory instead.
#pragma once

#include <memory>
#include <vector>

#include "base/status.h"
#include "kernels/choose.h"
#include "kernels/kernel.h"

namespace pyrt {

// One step of a binding: of the program, or a conversion that bind inserted.
struct BoundStep {
  int step = -1;                                  // index in the program; -1: conversion
  const Family* family = nullptr;                 // null: host step
  const Row* row = nullptr;                       // null: host step
  std::unique_ptr<Operand[]> operands = nullptr;  // inputs, then outputs; problem refers to them
  std::unique_ptr<Problem> problem = nullptr;
  std::vector<int> inputs = {};  // instances, -1 where absent
  std::vector<int> outputs = {};
  Choice choice = {};
  double cost_ns = 0;  // predicted, one core
};

struct Instance {
  int value = -1;
  DType dtype = DType::kF32;
  Dims dims = {};
  Form form = {};
  int root = -1;  // the instance whose memory it uses; itself when it has its own
  bool constant = false;

  size_t bytes() const { return static_cast<size_t>(dims.count()) * dtype_bytes(dtype); }
};

// What a step's value looks like to the planner.
struct ValueUse {
  bool constant = false;
  bool all_take_offset = false;  // every consumer wants s8 + 128, and there is one
};

class FormPlanner {
 public:
  FormPlanner(std::vector<ValueUse> uses, FeatureMask features)
      : uses_(std::move(uses)), features_(features) {
    by_value_.resize(uses_.size());
  }

  // A value that exists before the first step, plain: a graph input or a constant.
  void add_source(int value, DType dtype, const Dims& dims);
  // Settles the forms of a step's operands, appends the conversions it needs and then the step
  // itself. `values` are the program's indices of inputs and outputs, -1 where absent.
  Status add_step(BoundStep step, const std::vector<int>& input_values,
                  const std::vector<int>& output_values);
  // The plain instance of a value, converted if need be.
  Result<int> plain(int value);

  std::vector<BoundStep>& steps() { return steps_; }
  const std::vector<Instance>& instances() const { return instances_; }

 private:
  Result<int> get(int value, Form form);
  Result<int> convert(int from, Form form);
  int add_instance(const Instance& instance);
  int shared(int from, Form form);
  Status add_conversion(std::string_view family, int from, int to, std::vector<int64_t> perm);
  Layout choose_layout(const BoundStep& step, const std::vector<int>& input_values) const;
  int find(int value, Form form) const;

  std::vector<ValueUse> uses_;
  FeatureMask features_;
  std::vector<Instance> instances_;
  std::vector<std::vector<int>> by_value_;
  std::vector<BoundStep> steps_;
};

}  // namespace pyrt
