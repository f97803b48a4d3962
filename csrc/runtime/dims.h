// Dimension expressions over a Program's symbols: parsed once at load, evaluated at bind with
// overflow checks.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/json.h"

namespace pyrt {

enum class DimOp : uint8_t {
  kConstant,
  kSymbol,
  kAdd,
  kSubtract,
  kMultiply,
  kFloorDivide,
  kMin,
  kMax
};

// All expressions of a Program share one pool; an expression is the index of its root. Operands
// come before the nodes that use them, so evaluation is one pass.
class Expressions {
 public:
  // `symbols` are the declared names, in the order of the values given to evaluate().
  explicit Expressions(std::vector<std::string> symbols = {}) : symbols_(std::move(symbols)) {}

  // FormatError when `json` is not an expression over the symbols.
  Result<uint32_t> parse(const Json& json);
  uint32_t constant(int64_t value);

  // Whether an array is an expression rather than a list: its first element is an operator.
  static bool is_expression(const Json& json);

  const std::vector<std::string>& symbols() const { return symbols_; }
  // The symbol's index if `root` is a plain symbol, else -1.
  int symbol_of(uint32_t root) const;
  bool is_constant(uint32_t root) const { return nodes_[root].op == DimOp::kConstant; }
  int64_t constant_value(uint32_t root) const { return nodes_[root].value; }
  std::string text(uint32_t root) const;

  // Value of every node by index, and why it has none.
  struct Values {
    std::vector<int64_t> at;
    std::vector<const char*> error;  // null where fine
  };
  Values evaluate(std::span<const int64_t> symbol_values) const;
  // ShapeError naming the expression where it overflowed or divided by a value <= 0.
  Result<int64_t> value_of(const Values& values, uint32_t root) const;

 private:
  struct Node {
    DimOp op = DimOp::kConstant;
    int64_t value = 0;  // of a constant; index of a symbol
    uint32_t a = 0;
    uint32_t b = 0;
  };
  Result<uint32_t> parse_operation(const Json& json);
  uint32_t add(const Node& node);

  std::vector<std::string> symbols_;
  std::vector<Node> nodes_;
};

}  // namespace pyrt
