#include "runtime/model_file.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstring>

#include "runtime/crc32c.h"
#include "runtime/json.h"

namespace pyrt {
namespace {

static_assert(std::endian::native == std::endian::little,
              "the file format is little-endian and read in place");

constexpr uint64_t kMaxHeaderBytes = 16u << 20;
constexpr size_t kMaxNameBytes = 1024;
constexpr std::string_view kChecksumKey = "pyrt.crc32c";

struct StoredType {
  std::string_view name;
  DType dtype;
};
constexpr StoredType kStoredTypes[] = {
    {"BOOL", DType::kBool}, {"U8", DType::kU8},   {"I8", DType::kS8},     {"U16", DType::kU16},
    {"I16", DType::kS16},   {"U32", DType::kU32}, {"I32", DType::kS32},   {"U64", DType::kU64},
    {"I64", DType::kS64},   {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"F32", DType::kF32},
    {"F64", DType::kF64},
};

Status bad(const std::string& message) { return Status(Code::kFormat, message); }

Result<DType> stored_type(const std::string& name) {
  for (const StoredType& type : kStoredTypes) {
    if (type.name == name) return type.dtype;
  }
  return bad("dtype '" + name.substr(0, 40) + "' is not one that the format allows");
}

// Product of the shape and the size of an element.
Result<uint64_t> byte_count(const std::vector<int64_t>& shape, DType dtype) {
  uint64_t bytes = dtype_bytes(dtype);
  bool empty = false;
  for (const int64_t dim : shape) {
    if (dim == 0) {
      empty = true;
    } else if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(dim), &bytes)) {
      return bad("the shape is too large");
    }
  }
  return empty ? uint64_t{0} : bytes;
}

struct Placed {
  TensorEntry entry;
  uint64_t begin = 0;
  uint64_t end = 0;
};

Result<Placed> parse_entry(const Json& json, uint64_t data_bytes) {
  if (!json.is_object()) return bad("the entry is not an object");
  const Json* dtype = json.find("dtype");
  const Json* shape = json.find("shape");
  const Json* offsets = json.find("data_offsets");
  if (dtype == nullptr || !dtype->is_string() || shape == nullptr || !shape->is_array() ||
      offsets == nullptr || !offsets->is_array() || offsets->items.size() != 2 ||
      json.keys.size() != 3) {
    return bad("the entry must hold exactly dtype, shape and two data_offsets");
  }
  Placed placed;
  Result<DType> type = stored_type(dtype->text);
  if (!type.ok()) return type.status();
  placed.entry.dtype = type.value();
  for (const Json& dim : shape->items) {
    if (!dim.is_integer() || dim.integer < 0) return bad("shape must hold integers >= 0");
    placed.entry.shape.push_back(dim.integer);
  }
  for (const Json& offset : offsets->items) {
    if (!offset.is_integer() || offset.integer < 0)
      return bad("data_offsets must be integers >= 0");
  }
  placed.begin = static_cast<uint64_t>(offsets->items[0].integer);
  placed.end = static_cast<uint64_t>(offsets->items[1].integer);
  if (placed.begin > placed.end || placed.end > data_bytes) {
    return bad("data_offsets [" + std::to_string(placed.begin) + ", " + std::to_string(placed.end) +
               "] do not lie in the data section of " + std::to_string(data_bytes) + " bytes");
  }
  Result<uint64_t> bytes = byte_count(placed.entry.shape, placed.entry.dtype);
  if (!bytes.ok()) return bytes.status();
  if (bytes.value() != placed.end - placed.begin) {
    return bad("shape and dtype need " + std::to_string(bytes.value()) +
               " bytes, data_offsets give " + std::to_string(placed.end - placed.begin));
  }
  return placed;
}

Status check_name(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes || name.find('\0') != std::string::npos) {
    return bad("a tensor's name must have 1 to 1024 bytes without NUL");
  }
  return {};
}

// Sorted by offset, tensors must fill the data section without holes or overlaps.
Status check_placement(std::vector<std::pair<const std::string*, Placed>> placed,
                       uint64_t data_bytes) {
  std::sort(placed.begin(), placed.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.begin, a.second.end) < std::pair(b.second.begin, b.second.end);
  });
  uint64_t end = 0;
  for (const auto& [name, tensor] : placed) {
    if (tensor.begin != end) {
      return bad("tensor '" + *name + "' begins at " + std::to_string(tensor.begin) + " where " +
                 std::to_string(end) +
                 " is expected: tensors must neither overlap nor leave holes");
    }
    end = tensor.end;
  }
  if (end != data_bytes) {
    return bad("the data section has " + std::to_string(data_bytes) +
               " bytes, its tensors end at " + std::to_string(end) +
               ": the file is truncated or has a tail");
  }
  return {};
}

std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace

std::optional<std::pair<int, int>> parse_version(std::string_view text) {
  std::pair<int, int> version;
  const char* end = text.data() + text.size();
  const auto major = std::from_chars(text.data(), end, version.first);
  if (major.ec != std::errc() || major.ptr == end || *major.ptr != '.') return std::nullopt;
  const auto minor = std::from_chars(major.ptr + 1, end, version.second);
  if (minor.ec != std::errc() || minor.ptr != end || version.first < 0 || version.second < 0)
    return std::nullopt;
  return version;
}

std::string_view safetensors_name(DType dtype) {
  for (const StoredType& type : kStoredTypes) {
    if (type.dtype == dtype) return type.name;
  }
  return {};
}

Result<ModelFile> ModelFile::parse(std::shared_ptr<const Bytes> bytes, bool verify) {
  const std::span<const std::byte> all = bytes->span();
  uint64_t header_bytes = 0;
  if (all.size() < 10)
    return bad("a .pyrt file has at least 10 bytes, this has " + std::to_string(all.size()));
  std::memcpy(&header_bytes, all.data(), 8);
  if (header_bytes < 2 || header_bytes > kMaxHeaderBytes) {
    return bad("header length " + std::to_string(header_bytes) +
               " is not in [2, 16 MiB]: not a .pyrt file?");
  }
  if (header_bytes > all.size() - 8) return bad("the header is truncated");
  const auto header_size = static_cast<size_t>(header_bytes);
  Result<Json> header = parse_json(all.subspan(8, header_size), "header");
  if (!header.ok()) return header.status();
  if (!header.value().is_object()) return bad("header: not an object");

  ModelFile file;
  const std::span<const std::byte> data = all.subspan(8 + header_size);
  std::vector<std::pair<const std::string*, Placed>> order;
  const Json& root = header.value();
  for (size_t i = 0; i < root.keys.size(); ++i) {
    const std::string& name = root.keys[i];
    if (name == "__metadata__") {
      if (!root.items[i].is_object()) return bad("header: __metadata__ is not an object");
      for (size_t k = 0; k < root.items[i].keys.size(); ++k) {
        if (!root.items[i].items[k].is_string())
          return bad("header: __metadata__ must map strings to strings");
        file.metadata_[root.items[i].keys[k]] = root.items[i].items[k].text;
      }
      continue;
    }
    PYRT_RETURN_IF_ERROR(check_name(name));
    Result<Placed> placed = parse_entry(root.items[i], data.size());
    if (!placed.ok()) return placed.status().at("tensor '" + name + "'");
    TensorEntry& entry = placed.value().entry;
    const auto begin = static_cast<size_t>(placed.value().begin);  // both lie in data: checked
    const auto end = static_cast<size_t>(placed.value().end);
    entry.bytes = data.subspan(begin, end - begin);
    entry.readable_tail = data.size() - end + bytes->readable_tail();
    order.emplace_back(&name, placed.value());
    file.tensors_.emplace(name, std::move(entry));
  }
  PYRT_RETURN_IF_ERROR(check_placement(std::move(order), data.size()));
  file.bytes_ = std::move(bytes);
  PYRT_RETURN_IF_ERROR(file.check_metadata());
  if (verify) PYRT_RETURN_IF_ERROR(file.check_checksum());
  return file;
}

const TensorEntry* ModelFile::find(std::string_view name) const {
  const auto place = tensors_.find(name);
  return place == tensors_.end() ? nullptr : &place->second;
}

Status ModelFile::check_metadata() const {
  for (const std::string_view key :
       {std::string_view("pyrt.format"), std::string_view("pyrt.producer"), kChecksumKey}) {
    if (!metadata_.contains(key)) {
      return bad("metadata lacks '" + std::string(key) + "': not written by `pyruntime compile`?");
    }
  }
  const std::string& text = metadata_.find("pyrt.format")->second;
  const auto version = parse_version(text);
  if (!version) return bad("pyrt.format '" + text.substr(0, 40) + "' is not 'major.minor'");
  if (version->first != 1) {
    return Status(Code::kUnsupported,
                  "file format " + text + ", this runtime reads 1.x; use a matching pyruntime");
  }
  return {};
}

Status ModelFile::check_checksum() const {
  uint32_t crc = 0;
  for (const auto& [key, value] : metadata_) {
    if (key != kChecksumKey) crc = crc32c(crc, as_bytes(key + "=" + value + "\n"));
  }
  for (const auto& [name, tensor] : tensors_) {
    std::string line = name + " " + std::string(safetensors_name(tensor.dtype)) + " ";
    for (size_t i = 0; i < tensor.shape.size(); ++i)
      line += (i > 0 ? "," : "") + std::to_string(tensor.shape[i]);
    crc = crc32c(crc, as_bytes(line + "\n"));
    crc = crc32c(crc, tensor.bytes);
  }
  char digits[9] = {};
  for (int i = 0; i < 8; ++i) digits[i] = "0123456789abcdef"[(crc >> (28 - 4 * i)) & 15u];
  const std::string& stated = metadata_.find(kChecksumKey)->second;
  if (stated != digits) {
    return bad("checksum " + std::string(digits) + ", the file states '" + stated.substr(0, 40) +
               "': it was damaged or altered; fetch it again");
  }
  return {};
}

}  // namespace pyrt
