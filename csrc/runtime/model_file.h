// The container of a `.pyrt` file: safetensors with our rules (pyruntime/plan/FORMAT.md, section
// 1). Nothing in it is trusted; after parse() every entry lies inside the data section and has the
// size its shape says.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/status.h"
#include "runtime/os.h"

namespace pyrt {

struct TensorEntry {
  DType dtype = DType::kU8;
  std::vector<int64_t> shape;
  std::span<const std::byte> bytes;  // inside the file; any alignment
  // Bytes behind the tensor that may be read.
  size_t readable_tail = 0;
};

class ModelFile {
 public:
  // Parses and checks the container. With `verify` the checksum is compared too.
  static Result<ModelFile> parse(std::shared_ptr<const Bytes> bytes, bool verify);

  // Null when there is none of that name.
  const TensorEntry* find(std::string_view name) const;
  const std::shared_ptr<const Bytes>& bytes() const { return bytes_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const { return metadata_; }

 private:
  Status check_metadata() const;
  Status check_checksum() const;

  std::shared_ptr<const Bytes> bytes_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::map<std::string, TensorEntry, std::less<>>
      tensors_;  // ascending byte order, as the checksum wants
};

// "major.minor" as {major, minor}; empty when `text` is not two decimal numbers.
std::optional<std::pair<int, int>> parse_version(std::string_view text);

// Spelling of a dtype in safetensors, empty for 4-bit types, which have none.
std::string_view safetensors_name(DType dtype);

}  // namespace pyrt
