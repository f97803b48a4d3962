#include "runtime/json.h"

#include <nlohmann/json.hpp>
#include <unordered_set>

namespace pyrt {
namespace {

// A node takes about 100 bytes and two characters of text: this bounds what a hostile file can make
// us allocate.
constexpr size_t kMaxNodes = size_t{1} << 22;

// Builds a Json tree; every callback returns false to stop at the first broken rule.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(Json* root) : root_(root) {}
  const std::string& problem() const { return problem_; }

  bool null() override { return refuse("null is not allowed"); }
  bool boolean(bool /*value*/) override { return refuse("true and false are not allowed"); }
  bool number_float(double /*value*/, const std::string& text) override {
    return refuse("floating-point number " + text.substr(0, 40) + " is not allowed");
  }
  bool binary(nlohmann::json::binary_t& /*value*/) override {
    return refuse("binary data is not allowed");
  }

  bool number_integer(int64_t value) override {
    if (value < -kMaxJsonInteger) return refuse("an integer is not above -2^53");
    return integer(value);
  }
  bool number_unsigned(uint64_t value) override {
    if (value > static_cast<uint64_t>(kMaxJsonInteger))
      return refuse("an integer is not below 2^53");
    return integer(static_cast<int64_t>(value));
  }

  bool string(std::string& value) override {
    Json* node = add(Json::Kind::kString);
    if (node == nullptr) return false;
    node->text = std::move(value);
    return true;
  }

  bool key(std::string& value) override {
    Frame& frame = open_.back();
    if (!frame.keys.insert(value).second)
      return refuse("key '" + value.substr(0, 80) + "' occurs twice in an object");
    frame.node->keys.push_back(std::move(value));
    return true;
  }

  bool start_object(std::size_t /*size*/) override { return start(Json::Kind::kObject); }
  bool start_array(std::size_t /*size*/) override { return start(Json::Kind::kArray); }
  bool end_object() override { return end(); }
  bool end_array() override { return end(); }

  bool parse_error(std::size_t position, const std::string& /*token*/,
                   const nlohmann::json::exception& error) override {
    std::string text = error.what();
    // "[json.exception.parse_error.101] parse error at ...": the tag is nlohmann's own.
    if (const size_t bracket = text.find("] "); bracket != std::string::npos)
      text.erase(0, bracket + 2);
    return refuse("byte " + std::to_string(position) + ": " + text.substr(0, 200));
  }

 private:
  struct Frame {
    Json* node = nullptr;
    std::unordered_set<std::string> keys;
  };

  bool refuse(std::string problem) {
    if (problem_.empty()) problem_ = std::move(problem);
    return false;
  }

  Json* add(Json::Kind kind) {
    if (++nodes_ > kMaxNodes) {
      refuse("more than " + std::to_string(kMaxNodes) + " values");
      return nullptr;
    }
    Json* node = root_;
    // Pointers in open_ stay valid: only the innermost open node gets items, and those are closed
    // when it grows.
    if (!open_.empty()) node = &open_.back().node->items.emplace_back();
    node->kind = kind;
    return node;
  }

  bool integer(int64_t value) {
    Json* node = add(Json::Kind::kInteger);
    if (node == nullptr) return false;
    node->integer = value;
    return true;
  }

  bool start(Json::Kind kind) {
    if (open_.size() >= kMaxJsonDepth) return refuse("nested deeper than 32 levels");
    Json* node = add(kind);
    if (node == nullptr) return false;
    open_.push_back({node, {}});
    return true;
  }

  bool end() {
    open_.pop_back();
    return true;
  }

  Json* root_;
  std::vector<Frame> open_;
  std::string problem_;
  size_t nodes_ = 0;
};

}  // namespace

const Json* Json::find(std::string_view key) const {
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] == key) return &items[i];
  }
  return nullptr;
}

Result<Json> parse_json(std::span<const std::byte> text, const std::string& what) {
  Json root;
  Builder builder(&root);
  const auto* begin = reinterpret_cast<const char*>(text.data());
  if (!nlohmann::json::sax_parse(begin, begin + text.size(), &builder)) {
    return Status(Code::kFormat, what + ": " + builder.problem());
  }
  return root;
}

}  // namespace pyrt
