// What an embedder holds: a model with options, its bindings and their contexts. Thread-safe:
// concurrent runs take a context each.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/status.h"
#include "runtime/bind.h"
#include "runtime/model.h"
#include "runtime/replay.h"

namespace pyrt {

struct SessionOptions {
  int threads = 0;  // 0: what the affinity mask and the control group allow
  std::string isa;  // empty: PYRUNTIME_ISA, else all that the CPU has
  bool verify = true;
  bool map = true;  // map the file instead of reading it
  size_t max_bytes = kMaxBytes;
  std::string row_filter;
  std::vector<std::pair<std::string, double>> cost_factors;
  HostFunction host = nullptr;
  void* host_user = nullptr;
};

// A binding with its idle contexts.
class BoundModel {
 public:
  explicit BoundModel(std::shared_ptr<const Binding> binding) : binding_(std::move(binding)) {}
  const Binding& binding() const { return *binding_; }
  const std::shared_ptr<const Binding>& shared_binding() const { return binding_; }

  // Takes an idle context, or makes one when all are running.
  Result<std::unique_ptr<Context>> take();
  void give_back(std::unique_ptr<Context> context);
  // Takes a context, runs and gives it back. In steady state nothing is allocated.
  Status run(void const* const* inputs, void* const* outputs, const RunOptions& options);

 private:
  std::shared_ptr<const Binding> binding_;
  std::mutex mutex_;  // guards idle_; held for a push or pop only
  std::vector<std::unique_ptr<Context>> idle_;
};

class Session {
 public:
  static Result<std::shared_ptr<Session>> open(const std::string& path,
                                               const SessionOptions& options);
  static Result<std::shared_ptr<Session>> from_bytes(std::span<const std::byte> bytes,
                                                     const SessionOptions& options);
  static Result<std::shared_ptr<Session>> from_model(std::shared_ptr<const Model> model,
                                                     const SessionOptions& options, bool strict);

  // The binding for these input dims, from the cache or made now.
  Result<std::shared_ptr<BoundModel>> bind(std::span<const Dims> input_dims);
  // The most recent binding if it has these dims, else null: the fast path of run.
  std::shared_ptr<BoundModel> recent(std::span<const Dims> input_dims);

  const Model& model() const { return *model_; }
  const BindOptions& bind_options() const { return bind_options_; }
  // Fills in the callbacks that belong to the session.
  RunOptions run_options() const {
    return {.host = options_.host, .host_user = options_.host_user};
  }

 private:
  static Result<std::shared_ptr<Session>> from_shared(std::shared_ptr<const Bytes> bytes,
                                                      const SessionOptions& options);
  explicit Session(SessionOptions options) : options_(std::move(options)) {}

  SessionOptions options_;
  BindOptions bind_options_;
  std::shared_ptr<const Model> model_;
  std::mutex mutex_;                                 // guards bindings_
  std::list<std::shared_ptr<BoundModel>> bindings_;  // most recent first
};

}  // namespace pyrt
