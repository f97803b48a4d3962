#include "runtime/program.h"

#include <algorithm>
#include <cstring>

#include "runtime/json.h"

namespace pyrt {
namespace {

// More elements than any memory holds; whoever multiplies such numbers checks for overflow.
constexpr int64_t kMostElements = INT64_C(1) << 40;

constexpr size_t kMaxProgramBytes = size_t{64} << 20;

Status bad(const std::string& message) { return Status(Code::kFormat, message); }

std::string clipped(const std::string& text) { return "'" + text.substr(0, 80) + "'"; }

// The member `key` of the wanted kind; FormatError when it is missing or of another kind.
Result<const Json*> member(const Json& object, std::string_view key, Json::Kind kind) {
  const Json* item = object.find(key);
  if (item == nullptr) return bad("lacks '" + std::string(key) + "'");
  if (item->kind != kind) return bad("'" + std::string(key) + "' has the wrong kind");
  return item;
}

// As member(), but an absent key leaves *out alone.
Status optional_text(const Json& object, std::string_view key, std::string* out) {
  const Json* item = object.find(key);
  if (item == nullptr) return {};
  if (!item->is_string()) return bad("'" + std::string(key) + "' is not a string");
  *out = item->text;
  return {};
}

class Reader {
 public:
  explicit Reader(const ModelFile& file) : file_(file) {}

  Result<Program> read() {
    const TensorEntry* text = file_.find("pyrt.program");
    if (text == nullptr) return bad("the file has no tensor 'pyrt.program'");
    if (text->dtype != DType::kU8 || text->shape.size() != 1 ||
        text->bytes.size() > kMaxProgramBytes) {
      return bad("tensor 'pyrt.program' must be U8, 1-D and at most 64 MiB");
    }
    Result<Json> json = parse_json(text->bytes, "program");
    if (!json.ok()) return json.status();
    const Status status = read_root(json.value());
    if (!status.ok()) return status.at("program");
    return std::move(program_);
  }

 private:
  Status read_root(const Json& root) {
    if (!root.is_object()) return bad("not an object");
    PYRT_RETURN_IF_ERROR(read_version(root));
    PYRT_RETURN_IF_ERROR(read_floats());
    PYRT_RETURN_IF_ERROR(read_symbols(root));
    Result<const Json*> values = member(root, "values", Json::Kind::kArray);
    if (!values.ok()) return values.status();
    for (const Json& value : values.value()->items) {
      const std::string label = "value " + std::to_string(program_.values.size());
      const Status status = read_value(value);
      if (!status.ok()) return status.at(label);
    }
    PYRT_RETURN_IF_ERROR(read_graph_values(root, "inputs", &program_.inputs));
    PYRT_RETURN_IF_ERROR(read_graph_values(root, "outputs", &program_.outputs));
    return read_segments(root);
  }

  static Status read_version(const Json& root) {
    Result<const Json*> format = member(root, "format", Json::Kind::kString);
    if (!format.ok()) return format.status();
    const auto version = parse_version(format.value()->text);
    if (!version) return bad("format " + clipped(format.value()->text) + " is not 'major.minor'");
    if (version->first != 1) {
      return Status(Code::kUnsupported,
                    "format " + format.value()->text + ", this runtime reads 1.x");
    }
    Result<const Json*> needed = member(root, "requires", Json::Kind::kArray);
    if (!needed.ok()) return needed.status();
    for (const Json& entry : needed.value()->items) {
      if (!entry.is_string()) return bad("'requires' must hold strings");
      return Status(Code::kUnsupported, "requires " + clipped(entry.text) +
                                            ", which this runtime does not know; use a newer one");
    }
    return {};
  }

  Status read_floats() {
    const TensorEntry* floats = file_.find("pyrt.floats");
    if (floats == nullptr) return {};
    if (floats->dtype != DType::kF64 || floats->shape.size() != 1)
      return bad("tensor 'pyrt.floats' must be F64 and 1-D");
    floats_.resize(floats->bytes.size() / sizeof(double));
    if (!floats_.empty()) std::memcpy(floats_.data(), floats->bytes.data(), floats->bytes.size());
    return {};
  }

  Status read_symbols(const Json& root) {
    Result<const Json*> list = member(root, "symbols", Json::Kind::kArray);
    if (!list.ok()) return list.status();
    std::vector<std::string> symbols;
    for (const Json& symbol : list.value()->items) {
      if (!symbol.is_string() || symbol.text.empty())
        return bad("'symbols' must hold non-empty strings");
      if (std::find(symbols.begin(), symbols.end(), symbol.text) != symbols.end()) {
        return bad("symbol " + clipped(symbol.text) + " is declared twice");
      }
      symbols.push_back(symbol.text);
    }
    program_.expressions = Expressions(std::move(symbols));
    return {};
  }

  Status read_value(const Json& json) {
    if (!json.is_object()) return bad("not an object");
    ValueSpec value;
    PYRT_RETURN_IF_ERROR(optional_text(json, "name", &value.name));
    Result<const Json*> dtype = member(json, "dtype", Json::Kind::kString);
    if (!dtype.ok()) return dtype.status();
    if (!dtype_from_name(dtype.value()->text, &value.dtype))
      return bad("unknown dtype " + clipped(dtype.value()->text));
    Result<const Json*> dims = member(json, "dims", Json::Kind::kArray);
    if (!dims.ok()) return dims.status();
    if (dims.value()->items.size() > static_cast<size_t>(kMaxRank)) {
      return Status(Code::kUnsupported, "rank " + std::to_string(dims.value()->items.size()) +
                                            ", at most 8 is supported");
    }
    for (const Json& dim : dims.value()->items) {
      Result<uint32_t> root = program_.expressions.parse(dim);
      if (!root.ok()) return root.status();
      value.dims.push_back(root.value());
    }
    if (json.find("tensor") != nullptr) {
      Result<ConstantSpec> constant = read_constant(json);
      if (!constant.ok()) return constant.status();
      value.constant = static_cast<int>(program_.constants.size());
      program_.constants.push_back(std::move(constant.value()));
    }
    program_.values.push_back(std::move(value));
    return {};
  }

  static Result<ConstantSpec> read_constant(const Json& json) {
    ConstantSpec spec;
    PYRT_RETURN_IF_ERROR(optional_text(json, "tensor", &spec.tensor));
    PYRT_RETURN_IF_ERROR(optional_text(json, "scale", &spec.scale));
    PYRT_RETURN_IF_ERROR(read_packing(json, &spec));
    PYRT_RETURN_IF_ERROR(read_positions(json, &spec));
    if (const Json* axis = json.find("axis")) {
      if (!axis->is_integer() || axis->integer < 0 || axis->integer >= kMaxRank)
        return bad("'axis' is out of range");
      spec.axis = static_cast<int>(axis->integer);
    }
    if (const Json* group = json.find("group")) {
      if (!group->is_integer() || group->integer < 1 || spec.axis < 0) {
        return bad("'group' must be an integer >= 1, beside 'axis'");
      }
      spec.group = group->integer;
    }
    return spec;
  }

  static Status read_packing(const Json& json, ConstantSpec* spec) {
    std::string name;
    PYRT_RETURN_IF_ERROR(optional_text(json, "pack", &name));
    if (name.empty() || packing_from_name(name, &spec->packing)) return {};
    return bad("packing " + clipped(name) + " is unknown to this runtime; use a newer one");
  }

  static Status read_positions(const Json& json, ConstantSpec* spec) {
    std::string scheme = "dense";
    PositionSpec& positions = spec->positions;
    PYRT_RETURN_IF_ERROR(optional_text(json, "scheme", &scheme));
    PYRT_RETURN_IF_ERROR(optional_text(json, "positions", &spec->code));
    if (scheme == "dense") return {};
    PYRT_RETURN_IF_ERROR(read_view(json, &positions));
    if (spec->packing != Packing::kNone) {
      PYRT_RETURN_IF_ERROR(read_integer(json, "stored", kMostElements, &spec->stored));
    }
    int64_t pair[2] = {1, 1};
    if (scheme == "gaps.1") {
      int64_t rice = 0;
      positions.code = PositionSpec::Code::kGaps;
      PYRT_RETURN_IF_ERROR(read_integer(json, "rice", kMaxRice, &rice));
      PYRT_RETURN_IF_ERROR(read_integer(json, "blocks", kMostElements, &positions.blocks));
      PYRT_RETURN_IF_ERROR(read_pair(json, "block", kMaxBlock, pair));
      if (positions.has_view != (json.find("block") != nullptr)) {
        return bad("'block' and 'view' must be given together");
      }
      positions.rice = static_cast<int>(rice);
      positions.block_height = pair[0];
      positions.block_width = pair[1];
      return {};
    }
    if (scheme != "pattern.1") {
      return bad("storage scheme " + clipped(scheme) +
                 " is unknown to this runtime; use a newer one");
    }
    positions.code = PositionSpec::Code::kPattern;
    PYRT_RETURN_IF_ERROR(read_pair(json, "pattern", kMaxPattern, pair));
    if (!positions.has_view || pair[0] > pair[1]) return bad("'pattern' or 'view' does not fit");
    positions.most = static_cast<int>(pair[0]);
    positions.group = static_cast<int>(pair[1]);
    return {};
  }

  static Status read_integer(const Json& json, const char* key, int64_t most, int64_t* out) {
    const Json* item = json.find(key);
    if (item == nullptr || !item->is_integer() || item->integer < 0 || item->integer > most) {
      return bad("'" + std::string(key) + "' must be an integer of 0 to " + std::to_string(most));
    }
    *out = item->integer;
    return {};
  }

  // Two integers of 1 to `most`; `out` stays where the key is absent.
  static Status read_pair(const Json& json, const char* key, int64_t most, int64_t out[2]) {
    const Json* item = json.find(key);
    if (item == nullptr) return {};
    const bool fits = item->is_array() && item->items.size() == 2;
    for (size_t i = 0; fits && i < 2; ++i) {
      const Json& number = item->items[i];
      if (!number.is_integer() || number.integer < 1 || number.integer > most) break;
      out[i] = number.integer;
      if (i == 1) return {};
    }
    return bad("'" + std::string(key) + "' must be two integers of 1 to " + std::to_string(most));
  }

  static Status read_view(const Json& json, PositionSpec* positions) {
    const Json* item = json.find("view");
    if (item == nullptr) return {};
    int64_t at[4] = {};
    const bool fits = item->is_array() && item->items.size() == 4;
    for (size_t i = 0; i < 4; ++i) {
      const bool good = fits && item->items[i].is_integer() && item->items[i].integer >= 0 &&
                        item->items[i].integer <= kMostElements;
      if (!good) return bad("'view' must be four integers");
      at[i] = item->items[i].integer;
    }
    if (at[3] > 1 || (at[3] == 0 && at[2] != 1)) return bad("'view' is no matrix");
    positions->has_view = true;
    positions->view = {.N = at[0], .C = at[1], .taps = at[2], .columns_first = at[3] == 1};
    return {};
  }

  Status read_graph_values(const Json& root, const char* key, std::vector<GraphValue>* out) {
    Result<const Json*> list = member(root, key, Json::Kind::kArray);
    if (!list.ok()) return list.status();
    for (const Json& json : list.value()->items) {
      if (!json.is_object()) return bad("'" + std::string(key) + "' must hold objects");
      Result<const Json*> name = member(json, "name", Json::Kind::kString);
      Result<const Json*> value = member(json, "value", Json::Kind::kInteger);
      if (!name.ok()) return name.status().at(key);
      if (!value.ok()) return value.status().at(key);
      for (const GraphValue& other : *out) {
        if (other.name == name.value()->text)
          return bad(std::string(key) + ": name " + clipped(other.name) + " occurs twice");
      }
      Result<int> index = value_index(value.value()->integer);
      if (!index.ok()) return index.status().at(key);
      out->push_back({name.value()->text, index.value()});
    }
    return {};
  }

  Result<int> value_index(int64_t index) const {
    if (index < 0 || index >= static_cast<int64_t>(program_.values.size())) {
      return bad("value index " + std::to_string(index) + " is not below " +
                 std::to_string(program_.values.size()));
    }
    return static_cast<int>(index);
  }

  Status read_segments(const Json& root) {
    if (const Json* programs = root.find("programs")) {
      if (!programs->is_array()) return bad("'programs' is not an array");
      if (!programs->items.empty())
        return Status(Code::kUnsupported, "sub-programs need a newer runtime");
    }
    Result<const Json*> segments = member(root, "segments", Json::Kind::kArray);
    if (!segments.ok()) return segments.status();
    if (segments.value()->items.size() != 1) {
      return Status(Code::kUnsupported, std::to_string(segments.value()->items.size()) +
                                            " segments; this runtime takes exactly one");
    }
    const Json& segment = segments.value()->items[0];
    if (!segment.is_object()) return bad("a segment is not an object");
    Result<const Json*> steps = member(segment, "steps", Json::Kind::kArray);
    if (!steps.ok()) return steps.status();
    for (const Json& json : steps.value()->items) {
      StepSpec step;
      const Status status = read_step(json, &step);
      if (!status.ok()) return status.at(step.label(program_.steps.size()));
      program_.steps.push_back(std::move(step));
    }
    return {};
  }

  Status read_step(const Json& json, StepSpec* step) {
    if (!json.is_object()) return bad("not an object");
    Result<const Json*> family = member(json, "family", Json::Kind::kString);
    if (!family.ok()) return family.status();
    step->family_name = family.value()->text;
    PYRT_RETURN_IF_ERROR(optional_text(json, "name", &step->name));
    Result<const Json*> attributes = member(json, "attributes", Json::Kind::kObject);
    if (!attributes.ok()) return attributes.status();
    if (step->is_host()) {
      Result<const Json*> name = member(json, "operator", Json::Kind::kString);
      if (!name.ok()) return name.status();
      step->host_operator = name.value()->text;
    } else {
      const Json& object = *attributes.value();
      for (size_t i = 0; i < object.keys.size(); ++i) {
        AttributeValue attribute;
        attribute.name = object.keys[i];
        const Status status = read_attribute(object.items[i], &attribute);
        if (!status.ok()) return status.at("attribute " + clipped(attribute.name));
        step->attributes.push_back(std::move(attribute));
      }
    }
    PYRT_RETURN_IF_ERROR(read_operands(json, "inputs", &step->inputs));
    return read_operands(json, "outputs", &step->outputs);
  }

  Status read_attribute(const Json& json, AttributeValue* out) {
    if (json.is_object()) {
      const Json* index = json.find("f");
      if (index == nullptr || !index->is_integer() || index->integer < 0 ||
          index->integer >= static_cast<int64_t>(floats_.size())) {
        return bad("a float attribute must be {\"f\": i} with i below the size of 'pyrt.floats', " +
                   std::to_string(floats_.size()));
      }
      out->kind = AttributeKind::kFloat;
      out->real = floats_[static_cast<size_t>(index->integer)];
      return {};
    }
    if (json.is_string()) {
      out->kind = AttributeKind::kText;
      out->text = json.text;
      return {};
    }
    out->kind = AttributeKind::kInt;
    if (json.is_array() && !Expressions::is_expression(json)) {
      out->kind = AttributeKind::kInts;
      for (const Json& item : json.items) {
        Result<uint32_t> root = program_.expressions.parse(item);
        if (!root.ok()) return root.status();
        out->integers.push_back(root.value());
      }
      return {};
    }
    Result<uint32_t> root = program_.expressions.parse(json);
    if (!root.ok()) return root.status();
    out->integers.push_back(root.value());
    return {};
  }

  Status read_operands(const Json& json, const char* key, std::vector<int>* out) const {
    Result<const Json*> list = member(json, key, Json::Kind::kArray);
    if (!list.ok()) return list.status();
    for (const Json& item : list.value()->items) {
      if (!item.is_integer()) return bad("'" + std::string(key) + "' must hold integers");
      if (item.integer == -1) {
        out->push_back(-1);
        continue;
      }
      Result<int> index = value_index(item.integer);
      if (!index.ok()) return index.status().at(key);
      out->push_back(index.value());
    }
    return {};
  }

  const ModelFile& file_;
  Program program_;
  std::vector<double> floats_;
};

}  // namespace

std::string StepSpec::label(size_t index) const {
  std::string text = "step " + std::to_string(index);
  if (!name.empty()) text += " " + clipped(name);
  const std::string& kind = host_operator.empty() ? family_name : host_operator;
  return kind.empty() ? text : text + " (" + kind.substr(0, 80) + ")";
}

std::string Program::value_label(int value) const {
  const std::string& name = values[static_cast<size_t>(value)].name;
  const std::string label = "value " + std::to_string(value);
  return name.empty() ? label : label + " " + clipped(name);
}

Result<Program> parse_program(const ModelFile& file) { return Reader(file).read(); }

}  // namespace pyrt
