// Decodes constants from how the file stores them to the plain elements that kernels see
// (FORMAT.md, section 3).
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/status.h"
#include "runtime/model_file.h"
#include "runtime/program.h"

namespace pyrt {

struct Constant {
  // 64-byte aligned with 64 readable bytes behind. Shares the file's memory where that already
  // holds.
  std::shared_ptr<const std::byte> data;
  size_t bytes = 0;
  bool copied = false;  // has memory of its own
};

// Decodes all constants of the program. `max_bytes` bounds what is allocated; ResourceError beyond.
Result<std::vector<Constant>> decode_constants(const Program& program, const ModelFile& file,
                                               size_t max_bytes);

}  // namespace pyrt
