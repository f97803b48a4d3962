// The attributes of one step with their dimension expressions evaluated, as Family::prepare reads
// them.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/kernel.h"
#include "runtime/program.h"

namespace pyrt {

class BoundAttributes final : public Attributes {
 public:
  explicit BoundAttributes(const Family& family) : family_(family) {}

  // Evaluates those of a step. ShapeError where an expression has no value for these dims.
  static Result<BoundAttributes> evaluate(const StepSpec& step, const Expressions& expressions,
                                          const Expressions::Values& values);
  void set_integers(std::string_view name, std::vector<int64_t> values);

  int64_t integer(std::string_view name) const override;
  std::span<const int64_t> integers(std::string_view name) const override;
  double real(std::string_view name) const override;
  std::string_view text(std::string_view name) const override;

  // All given attributes as one string: equal strings mean equal attributes.
  std::string key() const;

 private:
  struct Item {
    std::string name;
    std::vector<int64_t> integers;
    double real = 0;
    std::string text;
  };
  const Item* find(std::string_view name) const;
  const AttributeSpec& spec(std::string_view name) const;

  const Family& family_;
  std::vector<Item> items_;
};

}  // namespace pyrt
