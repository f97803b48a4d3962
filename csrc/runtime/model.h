// A loaded model: its file, program and decoded constants. Immutable and shared by sessions and
// bindings.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "kernels/kernel.h"
#include "runtime/constants.h"
#include "runtime/model_file.h"
#include "runtime/program.h"

namespace pyrt {

// A limit that no machine of the pointer's width reaches by honest means.
inline constexpr size_t kMaxBytes = size_t{1} << (sizeof(size_t) == 8 ? 46 : 31);

struct LoadOptions {
  bool verify = true;            // compare the checksum
  bool host = false;             // host steps have a callback
  size_t max_bytes = kMaxBytes;  // of decoded constants, and of each binding
};

class Model {
 public:
  static Result<std::shared_ptr<const Model>> load(std::shared_ptr<const Bytes> bytes,
                                                   const LoadOptions& options);
  // A model without a file, made of a program that the caller built: single kernel calls.
  static Result<std::shared_ptr<const Model>> from_program(Program program,
                                                           std::vector<Constant> constants);

  const Program& program() const { return program_; }
  const std::vector<Constant>& constants() const { return constants_; }
  // Text of the program, for tools; empty without a file.
  std::span<const std::byte> program_text() const;
  const ModelFile* file() const { return file_ ? &*file_ : nullptr; }
  // Bytes that decoded constants take beyond the file.
  size_t decoded_bytes() const;
  // A hash of the constant's elements, computed once.
  uint64_t constant_hash(int constant) const;
  // What is known of a constant that a step uses as weights, measured once for each view of it.
  // Null for an empty one.
  const WeightFacts* weight_facts(int constant, DType dtype, const WeightView& view) const;

 private:
  struct Measured {
    int constant;
    WeightView view;
    WeightFacts facts;
  };

  Model() = default;
  void start_hashes();

  std::optional<ModelFile> file_;
  Program program_;
  std::vector<Constant> constants_;
  mutable std::unique_ptr<std::atomic<uint64_t>[]> hashes_;  // 0: not computed yet
  mutable std::mutex measured_mutex_;
  mutable std::vector<std::unique_ptr<const Measured>> measured_;
};

}  // namespace pyrt
