#include "runtime/session.h"

#include <algorithm>

#include "runtime/cpu_features.h"
#include "runtime/os.h"

namespace pyrt {
namespace {

// Distinct input shapes kept bound per session. Serving with more shapes than this should bucket
// them.
constexpr size_t kMaxBindings = 16;
constexpr int kMaxThreads = 1024;
constexpr size_t kIdleContexts = 64;

bool same_dims(const Binding& binding, std::span<const Dims> input_dims) {
  if (binding.inputs.size() != input_dims.size()) return false;
  for (size_t i = 0; i < input_dims.size(); ++i) {
    if (!(binding.inputs[i].dims == input_dims[i])) return false;
  }
  return true;
}

size_t context_bytes(const Binding& binding) {
  return binding.arena_bytes + binding.scratch_bytes * static_cast<size_t>(binding.threads) +
         binding.packed_bytes;
}

}  // namespace

Result<std::unique_ptr<Context>> BoundModel::take() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Context> context = std::move(idle_.back());
      idle_.pop_back();
      return context;
    }
  }
  return Context::create(binding_);
}

void BoundModel::give_back(std::unique_ptr<Context> context) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.capacity() < kIdleContexts) idle_.reserve(kIdleContexts);
  if (idle_.size() < kIdleContexts) idle_.push_back(std::move(context));
}

Status BoundModel::run(void const* const* inputs, void* const* outputs, const RunOptions& options) {
  Result<std::unique_ptr<Context>> context = take();
  if (!context.ok()) return context.status();
  Status status = context.value()->run(inputs, outputs, options);
  give_back(std::move(context.value()));
  return status;
}

Result<std::shared_ptr<Session>> Session::open(const std::string& path,
                                               const SessionOptions& options) {
  Result<std::shared_ptr<const Bytes>> bytes = open_file(path, options.map);
  if (!bytes.ok()) return bytes.status();
  Result<std::shared_ptr<Session>> session = from_shared(std::move(bytes.value()), options);
  if (!session.ok()) return session.status().at("'" + path + "'");
  return session;
}

Result<std::shared_ptr<Session>> Session::from_bytes(std::span<const std::byte> bytes,
                                                     const SessionOptions& options) {
  Result<std::shared_ptr<const Bytes>> copy = copy_bytes(bytes);
  if (!copy.ok()) return copy.status();
  return from_shared(std::move(copy.value()), options);
}

Result<std::shared_ptr<Session>> Session::from_shared(std::shared_ptr<const Bytes> bytes,
                                                      const SessionOptions& options) {
  const LoadOptions load{
      .verify = options.verify, .host = options.host != nullptr, .max_bytes = options.max_bytes};
  Result<std::shared_ptr<const Model>> model = Model::load(std::move(bytes), load);
  if (!model.ok()) return model.status();
  return from_model(std::move(model.value()), options, false);
}

Result<std::shared_ptr<Session>> Session::from_model(std::shared_ptr<const Model> model,
                                                     const SessionOptions& options, bool strict) {
  if (options.threads < 0 || options.threads > kMaxThreads) {
    return Status(Code::kArgument,
                  "threads must lie in [0, 1024], got " + std::to_string(options.threads));
  }
  Result<FeatureMask> features = resolve_isa_or_environment(options.isa);
  if (!features.ok()) return features.status();
  std::shared_ptr<Session> session(new Session(options));
  session->bind_options_ = {.features = features.value(),
                            .threads = options.threads > 0 ? options.threads : available_cpus(),
                            .max_bytes = options.max_bytes,
                            .row_filter = options.row_filter,
                            .strict = strict,
                            .cost_factors = options.cost_factors};
  session->model_ = std::move(model);
  return session;
}

std::shared_ptr<BoundModel> Session::recent(std::span<const Dims> input_dims) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (bindings_.empty() || !same_dims(bindings_.front()->binding(), input_dims)) return nullptr;
  return bindings_.front();
}

Result<std::shared_ptr<BoundModel>> Session::bind(std::span<const Dims> input_dims) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = std::find_if(bindings_.begin(), bindings_.end(),
                                    [&](const std::shared_ptr<BoundModel>& bound) {
                                      return same_dims(bound->binding(), input_dims);
                                    });
    if (found != bindings_.end()) {
      bindings_.splice(bindings_.begin(), bindings_, found);
      return bindings_.front();
    }
  }
  // Two threads may bind the same dims at once; the later one wins and the weights are shared
  // anyway.
  Result<std::shared_ptr<const Binding>> binding = pyrt::bind(model_, input_dims, bind_options_);
  if (!binding.ok()) return binding.status();
  auto bound = std::make_shared<BoundModel>(std::move(binding.value()));
  const std::lock_guard<std::mutex> lock(mutex_);
  bindings_.push_front(bound);
  // Packed weights are shared by bindings, so counting them for each errs towards keeping less.
  size_t bytes = 0;
  size_t kept = 0;
  for (auto entry = bindings_.begin(); entry != bindings_.end(); ++kept) {
    bytes += context_bytes((*entry)->binding());
    const bool keep = kept == 0 || (kept < kMaxBindings && bytes <= options_.max_bytes);
    entry = keep ? std::next(entry) : bindings_.erase(entry);
  }
  return bound;
}

}  // namespace pyrt
