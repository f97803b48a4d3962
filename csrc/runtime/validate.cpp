#include "runtime/validate.h"

#include <algorithm>

namespace pyrt {
namespace {

Status bad(const std::string& message) { return Status(Code::kFormat, message); }

std::string_view kind_name(AttributeKind kind) {
  switch (kind) {
    case AttributeKind::kInt:
      return "an integer";
    case AttributeKind::kInts:
      return "a list of integers";
    case AttributeKind::kFloat:
      return "a float";
    case AttributeKind::kText:
      return "a string";
  }
  return "?";
}

Status check_attributes(const StepSpec& step) {
  const Family& family = *step.family;
  for (const AttributeValue& attribute : step.attributes) {
    const auto spec =
        std::find_if(family.attributes.begin(), family.attributes.end(),
                     [&](const AttributeSpec& s) { return s.name == attribute.name; });
    if (spec == family.attributes.end()) {
      return bad("family '" + step.family_name + "' has no attribute '" +
                 attribute.name.substr(0, 80) + "'");
    }
    if (spec->kind != attribute.kind) {
      return bad("attribute '" + attribute.name + "' is " + std::string(kind_name(attribute.kind)) +
                 ", family '" + step.family_name + "' wants " + std::string(kind_name(spec->kind)));
    }
  }
  for (const AttributeSpec& spec : family.attributes) {
    if (!spec.required) continue;
    const bool given = std::any_of(step.attributes.begin(), step.attributes.end(),
                                   [&](const AttributeValue& a) { return a.name == spec.name; });
    if (!given) return bad("lacks the required attribute '" + std::string(spec.name) + "'");
  }
  return {};
}

Status check_operands(std::span<const OperandSpec> specs, const std::vector<int>& operands,
                      const char* what) {
  for (size_t i = 0; i < operands.size(); ++i) {
    if (operand_spec(specs, i) == nullptr) {
      return bad(std::to_string(operands.size()) + " " + what + ", the family takes " +
                 std::to_string(specs.size()));
    }
  }
  for (size_t i = 0; i < std::max(specs.size(), operands.size()); ++i) {
    const OperandSpec& spec = *operand_spec(specs, i);
    const bool present = i < operands.size() && operands[i] >= 0;
    // Of a variadic operand each listed one must be there, and at least one.
    if (!present && !spec.optional)
      return bad(std::string(what) + ": '" + std::string(spec.name) + "' is required");
  }
  return {};
}

Status check_step(StepSpec& step) {
  if (step.is_host()) {
    if (step.outputs.empty() || std::count(step.outputs.begin(), step.outputs.end(), -1) != 0) {
      return bad("a host step needs outputs, none of them absent");
    }
    return {};
  }
  step.family = find_family(step.family_name);
  if (step.family == nullptr) {
    return Status(Code::kUnsupported,
                  "this build has no step family '" + step.family_name.substr(0, 80) + "'");
  }
  PYRT_RETURN_IF_ERROR(check_attributes(step));
  PYRT_RETURN_IF_ERROR(check_operands(step.family->inputs, step.inputs, "inputs"));
  return check_operands(step.family->outputs, step.outputs, "outputs");
}

// Each value is written once and before it is read.
Status check_ssa(const Program& program) {
  std::vector<bool> written(program.values.size(), false);
  for (size_t i = 0; i < program.values.size(); ++i) written[i] = program.values[i].constant >= 0;
  for (const GraphValue& input : program.inputs) {
    const auto value = static_cast<size_t>(input.value);
    if (written[value]) return bad("input '" + input.name + "' is a constant or an input already");
    written[value] = true;
  }
  for (size_t i = 0; i < program.steps.size(); ++i) {
    const StepSpec& step = program.steps[i];
    for (const int value : step.inputs) {
      if (value >= 0 && !written[static_cast<size_t>(value)]) {
        return bad(step.label(i) + " reads " + program.value_label(value) +
                   " before it is written");
      }
    }
    for (const int value : step.outputs) {
      if (value < 0) continue;
      if (written[static_cast<size_t>(value)]) {
        return bad(step.label(i) + " writes " + program.value_label(value) +
                   ", which is written already");
      }
      written[static_cast<size_t>(value)] = true;
    }
  }
  for (const GraphValue& output : program.outputs) {
    if (!written[static_cast<size_t>(output.value)])
      return bad("output '" + output.name + "' is never written");
  }
  return {};
}

Status check_symbols(const Program& program) {
  std::vector<bool> bound(program.expressions.symbols().size(), false);
  for (const GraphValue& input : program.inputs) {
    for (const uint32_t dim : program.values[static_cast<size_t>(input.value)].dims) {
      if (const int symbol = program.expressions.symbol_of(dim); symbol >= 0)
        bound[static_cast<size_t>(symbol)] = true;
    }
  }
  for (size_t i = 0; i < bound.size(); ++i) {
    if (!bound[i])
      return bad("symbol '" + program.expressions.symbols()[i] + "' is bound by no input dim");
  }
  return {};
}

Status check_constant_dims(const Program& program) {
  for (size_t i = 0; i < program.values.size(); ++i) {
    if (program.values[i].constant < 0) continue;
    for (const uint32_t dim : program.values[i].dims) {
      if (!program.expressions.is_constant(dim) || program.expressions.constant_value(dim) < 0) {
        return bad(program.value_label(static_cast<int>(i)) +
                   ": dims of a constant must be integers >= 0");
      }
    }
  }
  return {};
}

}  // namespace

const OperandSpec* operand_spec(std::span<const OperandSpec> specs, size_t index) {
  if (index < specs.size()) return &specs[index];
  return !specs.empty() && specs.back().variadic ? &specs.back() : nullptr;
}

Status validate_program(Program& program, bool host) {
  std::string host_steps;
  size_t host_count = 0;
  for (size_t i = 0; i < program.steps.size(); ++i) {
    StepSpec& step = program.steps[i];
    const Status status = check_step(step);
    if (!status.ok()) return status.at(step.label(i));
    if (!step.is_host()) continue;
    if (++host_count <= 8) host_steps += (host_count > 1 ? ", " : "") + step.label(i);
  }
  PYRT_RETURN_IF_ERROR(check_constant_dims(program));
  PYRT_RETURN_IF_ERROR(check_ssa(program));
  PYRT_RETURN_IF_ERROR(check_symbols(program));
  if (host_count > 0 && !host) {
    return Status(Code::kUnsupported,
                  std::to_string(host_count) + " host steps need a callback, and there is none: " +
                      host_steps + "; compile with --standalone to see what is missing");
  }
  return {};
}

}  // namespace pyrt
