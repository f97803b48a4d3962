// Packed weights, shared by all bindings of the process whose constants and packing are the same.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "kernels/kernel.h"
#include "runtime/model.h"

namespace pyrt {

struct Packed {
  std::shared_ptr<std::byte> data;
  size_t bytes = 0;
  std::vector<Constant> sources;  // what it was packed from; kept to compare with
};

// What `row` packs for `problem`; null when it packs nothing. `constants[i]` is the index of the
// constant at input i, or -1; `attributes` is BoundAttributes::key(). Shared by content: a hash
// finds the candidate, the bytes decide.
Result<std::shared_ptr<const Packed>> pack_weights(const Row& row, const Problem& problem,
                                                   const Model& model,
                                                   const std::vector<int>& constants,
                                                   const std::string& attributes, size_t max_bytes);

// Bytes of all packed weights alive in this process.
size_t packed_bytes_alive();

}  // namespace pyrt
