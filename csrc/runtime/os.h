// What the runtime needs from the operating system. POSIX stays behind this header; a port adds
// another os_*.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace pyrt {

// Bytes of a file or of memory that belongs to us, immutable and alive as long as somebody holds
// them.
class Bytes {
 public:
  virtual ~Bytes() = default;
  std::span<const std::byte> span() const { return span_; }
  // How many bytes behind the end may be read (their content means nothing).
  size_t readable_tail() const { return readable_tail_; }

 protected:
  std::span<const std::byte> span_;
  size_t readable_tail_ = 0;
};

// Maps the file, or reads it into memory: the file may then change or shrink without harm.
Result<std::shared_ptr<const Bytes>> open_file(const std::string& path, bool map);
Result<std::shared_ptr<const Bytes>> copy_bytes(std::span<const std::byte> bytes);

// Memory aligned to 64 with 64 readable bytes behind `size`; freed when the last owner goes. Null
// when there is none.
std::shared_ptr<std::byte> allocate_aligned(size_t size);

// CPUs that this process may use: the affinity mask, and the quota of its control group rounded up.
// At least 1.
int available_cpus();

// Value of an environment variable, or empty.
std::string environment(const char* name);

// Runs `child` in the child after every fork.
void at_fork_child(void (*child)());

}  // namespace pyrt
