// JSON as the file format allows it (pyruntime/plan/FORMAT.md): objects without duplicate keys,
// arrays, strings and integers below 2^53. The lexer is nlohmann's; limits, duplicates and kinds
// are checked here while it parses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"

namespace pyrt {

struct Json {
  enum class Kind : uint8_t { kInteger, kString, kArray, kObject };

  Kind kind = Kind::kInteger;
  int64_t integer = 0;
  std::string text;
  std::vector<Json> items;        // of an array, or an object's values
  std::vector<std::string> keys;  // of an object, beside `items`

  bool is_integer() const { return kind == Kind::kInteger; }
  bool is_string() const { return kind == Kind::kString; }
  bool is_array() const { return kind == Kind::kArray; }
  bool is_object() const { return kind == Kind::kObject; }
  // The value under `key`, or null. Objects of the format are small, but for the header: iterate
  // that one.
  const Json* find(std::string_view key) const;
};

inline constexpr int kMaxJsonDepth = 32;
inline constexpr int64_t kMaxJsonInteger = (int64_t{1} << 53) - 1;

// Parses all of `text`. `what` names it in messages. FormatError says which rule is broken and
// where.
Result<Json> parse_json(std::span<const std::byte> text, const std::string& what);

}  // namespace pyrt
