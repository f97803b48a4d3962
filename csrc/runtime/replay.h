// Runs a binding: no lock, no allocation, no decision; a pointer table and a call per step.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "runtime/bind.h"

namespace pyrt {

// A host step as its callback sees it. Buffers are plain, of the given dims; absent inputs have
// null data.
struct HostTensor {
  void* data = nullptr;
  DType dtype = DType::kF32;
  const Dims* dims = nullptr;
};
struct HostCall {
  int step = 0;  // index in the program
  std::span<const HostTensor> inputs;
  std::span<const HostTensor> outputs;
};
using HostFunction = Status (*)(void* user, const HostCall& call);

struct RunOptions {
  const std::atomic<bool>* cancel = nullptr;  // looked at between steps
  HostFunction host = nullptr;
  void* host_user = nullptr;
  // Called from the running thread between steps at most about every 50 ms; false cancels the run.
  bool (*poll)(void* user) = nullptr;
  void* poll_user = nullptr;
  // Where to add the nanoseconds of each bound step, Binding::steps of them; null: not measured.
  int64_t* step_ns = nullptr;
  // Measures every kernel when it runs for a second time on the same operands, as a benchmark of
  // one layer does. The outputs mean nothing then: a kernel may work in place.
  bool measure_again = false;
};

// Memory of one run at a time: arena, scratch and pointer tables.
class Context {
 public:
  static Result<std::unique_ptr<Context>> create(std::shared_ptr<const Binding> binding);

  // `inputs` and `outputs` are in the model's order; null is allowed where a tensor has no
  // elements.
  Status run(void const* const* inputs, void* const* outputs, const RunOptions& options);
  const Binding& binding() const { return *binding_; }

 private:
  explicit Context(std::shared_ptr<const Binding> binding) : binding_(std::move(binding)) {}
  void* resolve(const Slot& slot) const;
  void patch(void const* const* inputs, void* const* outputs);
  Status run_steps(const RunOptions& options);
  Status run_kernel(const ReplayStep& step);
  Status run_host(const ReplayStep& step, const RunOptions& options);

  struct Patch {
    uint32_t slot = 0;
    int index = 0;
    bool output = false;
  };
  struct PatchedCopy {
    const void* from = nullptr;
    void* to = nullptr;
  };

  std::shared_ptr<const Binding> binding_;
  std::shared_ptr<std::byte> memory_;  // arena, then scratch of each thread
  std::byte* scratch_ = nullptr;
  std::vector<void*> pointers_;  // one per slot
  std::vector<Patch> patches_;   // slots that belong to the caller
  std::vector<PatchedCopy> copies_;
  std::vector<HostTensor> host_tensors_;
  int32_t error_ = kRunOk;
};

}  // namespace pyrt
