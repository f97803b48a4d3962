#include "runtime/attributes.h"

#include <bit>

#include "base/check.h"

namespace pyrt {

Result<BoundAttributes> BoundAttributes::evaluate(const StepSpec& step,
                                                  const Expressions& expressions,
                                                  const Expressions::Values& values) {
  BoundAttributes bound(*step.family);
  for (const AttributeValue& attribute : step.attributes) {
    Item item{attribute.name, {}, attribute.real, attribute.text};
    for (const uint32_t root : attribute.integers) {
      Result<int64_t> value = expressions.value_of(values, root);
      if (!value.ok()) return value.status().at("attribute '" + attribute.name + "'");
      item.integers.push_back(value.value());
    }
    bound.items_.push_back(std::move(item));
  }
  return bound;
}

void BoundAttributes::set_integers(std::string_view name, std::vector<int64_t> values) {
  items_.push_back({std::string(name), std::move(values), 0, {}});
}

const BoundAttributes::Item* BoundAttributes::find(std::string_view name) const {
  for (const Item& item : items_) {
    if (item.name == name) return &item;
  }
  return nullptr;
}

const AttributeSpec& BoundAttributes::spec(std::string_view name) const {
  for (const AttributeSpec& spec : family_.attributes) {
    if (spec.name == name) return spec;
  }
  PYRT_ASSERT(!"a family reads an attribute that its schema lacks");
  static constexpr AttributeSpec kNone{};
  return kNone;
}

int64_t BoundAttributes::integer(std::string_view name) const {
  const Item* item = find(name);
  return item != nullptr && !item->integers.empty() ? item->integers[0] : spec(name).default_int;
}

std::span<const int64_t> BoundAttributes::integers(std::string_view name) const {
  const Item* item = find(name);
  return item != nullptr ? std::span<const int64_t>(item->integers) : std::span<const int64_t>();
}

double BoundAttributes::real(std::string_view name) const {
  const Item* item = find(name);
  return item != nullptr ? item->real : spec(name).default_float;
}

std::string_view BoundAttributes::text(std::string_view name) const {
  const Item* item = find(name);
  return item != nullptr ? std::string_view(item->text) : spec(name).default_text;
}

std::string BoundAttributes::key() const {
  std::string key;
  for (const Item& item : items_) {
    key += item.name + "=";
    for (const int64_t value : item.integers) key += std::to_string(value) + ",";
    key += std::to_string(std::bit_cast<uint64_t>(item.real)) + "," + item.text + ";";
  }
  return key;
}

}  // namespace pyrt
