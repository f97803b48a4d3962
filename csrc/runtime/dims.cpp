#include "runtime/dims.h"

#include <algorithm>
#include <string_view>

namespace pyrt {
namespace {

struct Operation {
  std::string_view name;
  DimOp op;
  bool many;  // takes more than two operands
};
constexpr Operation kOperations[] = {
    {"+", DimOp::kAdd, true},      {"-", DimOp::kSubtract, false},
    {"*", DimOp::kMultiply, true}, {"//", DimOp::kFloorDivide, false},
    {"min", DimOp::kMin, true},    {"max", DimOp::kMax, true},
};

const Operation* find_operation(std::string_view name) {
  for (const Operation& operation : kOperations) {
    if (operation.name == name) return &operation;
  }
  return nullptr;
}

std::string_view operation_name(DimOp op) {
  for (const Operation& operation : kOperations) {
    if (operation.op == op) return operation.name;
  }
  return "?";
}

// a op b, or why there is no value.
const char* apply(DimOp op, int64_t a, int64_t b, int64_t* out) {
  bool overflow = false;
  switch (op) {
    case DimOp::kAdd:
      overflow = __builtin_add_overflow(a, b, out);
      break;
    case DimOp::kSubtract:
      overflow = __builtin_sub_overflow(a, b, out);
      break;
    case DimOp::kMultiply:
      overflow = __builtin_mul_overflow(a, b, out);
      break;
    case DimOp::kFloorDivide:
      if (b <= 0) return "divides by a value that is not positive";
      *out = a / b - (a % b < 0 ? 1 : 0);
      break;
    case DimOp::kMin:
      *out = std::min(a, b);
      break;
    case DimOp::kMax:
      *out = std::max(a, b);
      break;
    case DimOp::kConstant:
    case DimOp::kSymbol:
      break;
  }
  return overflow ? "overflows 64 bits" : nullptr;
}

}  // namespace

bool Expressions::is_expression(const Json& json) {
  return json.is_array() && !json.items.empty() && json.items[0].is_string() &&
         find_operation(json.items[0].text) != nullptr;
}

uint32_t Expressions::add(const Node& node) {
  nodes_.push_back(node);
  return static_cast<uint32_t>(nodes_.size() - 1);
}

uint32_t Expressions::constant(int64_t value) {
  return add({.op = DimOp::kConstant, .value = value});
}

Result<uint32_t> Expressions::parse(const Json& json) {
  if (json.is_integer()) return constant(json.integer);
  if (json.is_string()) {
    const auto place = std::find(symbols_.begin(), symbols_.end(), json.text);
    if (place == symbols_.end())
      return Status(Code::kFormat, "unknown symbol '" + json.text.substr(0, 80) + "'");
    return add({.op = DimOp::kSymbol, .value = place - symbols_.begin()});
  }
  if (is_expression(json)) return parse_operation(json);
  return Status(Code::kFormat,
                "not a dimension expression: an integer, a symbol or [operator, a, b] is expected");
}

// Recursion is bounded: parse_json refuses nesting deeper than 32.
Result<uint32_t> Expressions::parse_operation(const Json& json) {
  const Operation& operation = *find_operation(json.items[0].text);
  const size_t count = json.items.size() - 1;
  if (count < 2 || (count > 2 && !operation.many)) {
    return Status(Code::kFormat, "operator '" + std::string(operation.name) + "' with " +
                                     std::to_string(count) + " operands");
  }
  Result<uint32_t> left = parse(json.items[1]);
  for (size_t i = 2; left.ok() && i <= count; ++i) {
    const Result<uint32_t> right = parse(json.items[i]);
    if (!right.ok()) return right;
    left = add({.op = operation.op, .value = 0, .a = left.value(), .b = right.value()});
  }
  return left;
}

int Expressions::symbol_of(uint32_t root) const {
  return nodes_[root].op == DimOp::kSymbol ? static_cast<int>(nodes_[root].value) : -1;
}

std::string Expressions::text(uint32_t root) const {
  const Node& node = nodes_[root];
  if (node.op == DimOp::kConstant) return std::to_string(node.value);
  if (node.op == DimOp::kSymbol) return symbols_[static_cast<size_t>(node.value)];
  const std::string_view name = operation_name(node.op);
  if (node.op == DimOp::kMin || node.op == DimOp::kMax) {
    return std::string(name) + "(" + text(node.a) + ", " + text(node.b) + ")";
  }
  return "(" + text(node.a) + " " + std::string(name) + " " + text(node.b) + ")";
}

Expressions::Values Expressions::evaluate(std::span<const int64_t> symbol_values) const {
  Values values;
  values.at.resize(nodes_.size());
  values.error.resize(nodes_.size());
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    if (node.op == DimOp::kConstant) {
      values.at[i] = node.value;
    } else if (node.op == DimOp::kSymbol) {
      values.at[i] = symbol_values[static_cast<size_t>(node.value)];
    } else {
      const char* error =
          values.error[node.a] != nullptr ? values.error[node.a] : values.error[node.b];
      if (error == nullptr)
        error = apply(node.op, values.at[node.a], values.at[node.b], &values.at[i]);
      values.error[i] = error;
    }
  }
  return values;
}

Result<int64_t> Expressions::value_of(const Values& values, uint32_t root) const {
  if (values.error[root] != nullptr) {
    return Status(Code::kShape, "dimension " + text(root).substr(0, 200) + " " +
                                    values.error[root] + " for these input dims");
  }
  return values.at[root];
}

}  // namespace pyrt
