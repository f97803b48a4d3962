#include "runtime/replay.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "runtime/thread_pool.h"

namespace pyrt {
namespace {

using Clock = std::chrono::steady_clock;

// Predicted time after which the clock is worth reading to see whether a poll is due.
constexpr double kPollCheckNs = 1e6;
constexpr auto kPollInterval = std::chrono::milliseconds(50);

// Stands for tensors without elements, whose pointer the caller may leave null.
alignas(64) std::byte g_nothing[64];

struct Region {
  const ReplayStep* step;
  Call call;
  std::byte* scratch;
  size_t scratch_bytes;
};

void run_region(const void* context, int slot, int64_t begin, int64_t end) {
  const auto* region = static_cast<const Region*>(context);
  Call call = region->call;
  call.scratch = region->scratch + static_cast<size_t>(slot) * region->scratch_bytes;
  region->step->row->run(*region->step->problem, call, begin, end);
}

const char* run_error_text(int32_t error) {
  return error == kRunIndexOutOfRange ? "an index lies outside the axis that it selects from"
                                      : "the kernel found an invalid input value";
}

std::string label(const Binding& binding, int bound) {
  const int step = binding.steps[static_cast<size_t>(bound)].step;
  if (step < 0) return "conversion of forms";
  return binding.model->program().steps[static_cast<size_t>(step)].label(static_cast<size_t>(step));
}

}  // namespace

Result<std::unique_ptr<Context>> Context::create(std::shared_ptr<const Binding> binding) {
  std::unique_ptr<Context> context(new Context(std::move(binding)));
  const Binding& b = *context->binding_;
  const size_t bytes = b.arena_bytes + b.scratch_bytes * static_cast<size_t>(b.threads);
  context->memory_ = allocate_aligned(bytes);
  if (context->memory_ == nullptr) {
    return Status(Code::kResource,
                  "no memory for the " + std::to_string(bytes) + " bytes of a run");
  }
  std::memset(context->memory_.get(), 0,
              bytes);  // touches the pages now rather than in the first run
  context->scratch_ = context->memory_.get() + b.arena_bytes;
  size_t host_tensors = 0;
  for (const ReplayStep& step : b.replay) {
    if (step.row == nullptr)
      host_tensors = std::max<size_t>(host_tensors, step.inputs + step.outputs);
  }
  context->host_tensors_.resize(host_tensors);
  context->pointers_.resize(b.slots.size());
  context->copies_.resize(b.copies.size());
  for (size_t i = 0; i < b.slots.size(); ++i) {
    const Slot& slot = b.slots[i];
    if (slot.kind == SlotKind::kInput || slot.kind == SlotKind::kOutput) {
      context->patches_.push_back(
          {static_cast<uint32_t>(i), slot.index, slot.kind == SlotKind::kOutput});
    } else {
      context->pointers_[i] = context->resolve(slot);
    }
  }
  return context;
}

void* Context::resolve(const Slot& slot) const {
  if (slot.kind == SlotKind::kArena) return memory_.get() + slot.offset;
  if (slot.kind == SlotKind::kConstant)
    return const_cast<void*>(slot.constant);  // rows only read their inputs
  return nullptr;
}

void Context::patch(void const* const* inputs, void* const* outputs) {
  const auto caller = [&](bool output, int index) {
    void* pointer = output ? outputs[index] : const_cast<void*>(inputs[index]);
    return pointer != nullptr ? pointer : static_cast<void*>(g_nothing);
  };
  for (const Patch& patch : patches_) pointers_[patch.slot] = caller(patch.output, patch.index);
  for (size_t i = 0; i < copies_.size(); ++i) {
    const OutputCopy& copy = binding_->copies[i];
    const bool fixed = copy.from.kind == SlotKind::kConstant;
    copies_[i].from =
        fixed ? copy.from.constant : caller(copy.from.kind == SlotKind::kOutput, copy.from.index);
    copies_[i].to = caller(true, copy.output);
  }
}

Status Context::run(void const* const* inputs, void* const* outputs, const RunOptions& options) {
  patch(inputs, outputs);
  const FloatEnvironment environment;
  PYRT_RETURN_IF_ERROR(run_steps(options));
  for (size_t i = 0; i < copies_.size(); ++i)
    std::memcpy(copies_[i].to, copies_[i].from, binding_->copies[i].bytes);
  return {};
}

Status Context::run_steps(const RunOptions& options) {
  double since_check_ns = 0;
  Clock::time_point last_poll = options.poll != nullptr ? Clock::now() : Clock::time_point();
  for (const ReplayStep& step : binding_->replay) {
    if (options.cancel != nullptr && options.cancel->load(std::memory_order_relaxed)) {
      return Status(Code::kCancelled, "cancelled before " + label(*binding_, step.bound));
    }
    if (options.measure_again && step.row != nullptr) PYRT_RETURN_IF_ERROR(run_kernel(step));
    const Clock::time_point begin = options.step_ns != nullptr ? Clock::now() : Clock::time_point();
    if (step.row != nullptr) {
      PYRT_RETURN_IF_ERROR(run_kernel(step));
    } else {
      PYRT_RETURN_IF_ERROR(run_host(step, options));
    }
    if (options.step_ns != nullptr) {
      options.step_ns[step.bound] += std::chrono::nanoseconds(Clock::now() - begin).count();
    }
    since_check_ns += step.cost_ns;
    if (options.poll != nullptr && since_check_ns > kPollCheckNs) {
      since_check_ns = 0;
      if (const Clock::time_point now = Clock::now(); now - last_poll > kPollInterval) {
        last_poll = now;
        if (!options.poll(options.poll_user)) {
          return Status(Code::kCancelled, "interrupted after " + label(*binding_, step.bound));
        }
      }
    }
  }
  return {};
}

Status Context::run_kernel(const ReplayStep& step) {
  void* const* slots = pointers_.data() + step.first_slot;
  error_ = kRunOk;
  const Call call{.inputs = slots,
                  .outputs = slots + step.inputs,
                  .packed = step.packed,
                  .scratch = scratch_,
                  .error = &error_};
  if (step.parallel) {
    const Region region{&step, call, scratch_, binding_->scratch_bytes};
    ThreadPool::instance().run(binding_->threads, step.tasks, step.cost_ns, run_region, &region);
  } else {
    step.row->run(*step.problem, call, 0, step.tasks);
  }
  if (error_ != kRunOk)
    return Status(Code::kArgument, label(*binding_, step.bound) + ": " + run_error_text(error_));
  return {};
}

Status Context::run_host(const ReplayStep& step, const RunOptions& options) {
  if (options.host == nullptr)
    return Status(Code::kUnsupported, label(*binding_, step.bound) + ": no host callback");
  const uint32_t count = step.inputs + step.outputs;
  for (uint32_t i = 0; i < count; ++i) {
    const Operand& operand =
        i < step.inputs ? step.problem->inputs[i] : step.problem->outputs[i - step.inputs];
    host_tensors_[i] = {pointers_[step.first_slot + i], operand.dtype, &operand.dims};
  }
  const std::span<const HostTensor> tensors(host_tensors_.data(), count);
  const HostCall call{binding_->steps[static_cast<size_t>(step.bound)].step,
                      tensors.first(step.inputs), tensors.subspan(step.inputs)};
  const Status status = options.host(options.host_user, call);
  return status.ok() ? status : status.at(label(*binding_, step.bound));
}

}  // namespace pyrt
