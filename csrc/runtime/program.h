// A Program as the file holds it: values, constants, steps. Parsed from JSON; names and indices are
// checked, meaning is not (validate.h does that).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "kernels/kernel.h"
#include "runtime/dims.h"
#include "runtime/encodings.h"
#include "runtime/model_file.h"

namespace pyrt {

// Where a constant lies in the file and how (FORMAT.md, section 3).
struct ConstantSpec {
  std::string tensor;                // the stored elements
  Packing packing = Packing::kNone;  // how they lie in bytes
  int64_t stored = 0;                // how many there are; packed and not all only
  PositionSpec positions;            // which of the elements they are
  std::string code;                  // tensor of the positions; empty where all are stored
  std::string scale;                 // empty: none
  int axis = -1;                     // of `scale`; -1: one element
  int64_t group = 0;                 // 0: no groups
};

struct ValueSpec {
  DType dtype = DType::kF32;
  std::vector<uint32_t> dims;  // expressions
  std::string name;            // may be empty
  int constant = -1;           // index into Program::constants
};

struct AttributeValue {
  std::string name;
  AttributeKind kind = AttributeKind::kInt;
  std::vector<uint32_t> integers;  // expressions; one for kInt
  double real = 0;
  std::string text;
};

struct StepSpec {
  std::string family_name;
  const Family* family = nullptr;  // null for host steps, else set by validate
  std::string name;
  std::vector<AttributeValue> attributes;  // empty for host steps
  std::vector<int> inputs;                 // value indices, -1 where absent
  std::vector<int> outputs;
  std::string host_operator;  // of a host step

  bool is_host() const { return family_name == "host"; }
  // For messages: "step 3 'stem/conv' (conv)".
  std::string label(size_t index) const;
};

struct GraphValue {
  std::string name;
  int value = 0;
};

struct Program {
  Expressions expressions;
  std::vector<ValueSpec> values;
  std::vector<ConstantSpec> constants;
  std::vector<GraphValue> inputs;
  std::vector<GraphValue> outputs;
  std::vector<StepSpec> steps;

  std::string value_label(int value) const;  // "value 7 'relu1'"
};

Result<Program> parse_program(const ModelFile& file);

}  // namespace pyrt
