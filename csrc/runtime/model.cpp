#include "runtime/model.h"

#include <cstring>

#include "kernels/facts.h"
#include "runtime/validate.h"

namespace pyrt {
namespace {

// Multiply and mix over 8-byte words (the constants are splitmix64's). Equal hashes are only a
// hint: who shares by them compares the bytes.
uint64_t hash_bytes(const std::byte* bytes, size_t count) {
  uint64_t hash = 0x9e3779b97f4a7c15ull ^ count;
  const auto mix = [&hash](uint64_t word) {
    hash = (hash ^ word) * 0xbf58476d1ce4e5b9ull;
    hash ^= hash >> 31;
  };
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, bytes + i, 8);
    mix(word);
  }
  uint64_t last = 0;
  if (i < count) std::memcpy(&last, bytes + i, count - i);
  mix(last);
  return hash == 0 ? 1 : hash;
}

}  // namespace

Result<std::shared_ptr<const Model>> Model::load(std::shared_ptr<const Bytes> bytes,
                                                 const LoadOptions& options) {
  Result<ModelFile> file = ModelFile::parse(std::move(bytes), options.verify);
  if (!file.ok()) return file.status();
  std::shared_ptr<Model> model(new Model);
  model->file_ = std::move(file.value());
  Result<Program> program = parse_program(*model->file_);
  if (!program.ok()) return program.status();
  model->program_ = std::move(program.value());
  PYRT_RETURN_IF_ERROR(validate_program(model->program_, options.host));
  Result<std::vector<Constant>> constants =
      decode_constants(model->program_, *model->file_, options.max_bytes);
  if (!constants.ok()) return constants.status();
  model->constants_ = std::move(constants.value());
  model->start_hashes();
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<const Model>> Model::from_program(Program program,
                                                         std::vector<Constant> constants) {
  std::shared_ptr<Model> model(new Model);
  model->program_ = std::move(program);
  model->constants_ = std::move(constants);
  PYRT_RETURN_IF_ERROR(validate_program(model->program_, false));
  model->start_hashes();
  return std::shared_ptr<const Model>(std::move(model));
}

void Model::start_hashes() {
  hashes_ = std::make_unique<std::atomic<uint64_t>[]>(constants_.size());
}

std::span<const std::byte> Model::program_text() const {
  return file_ ? file_->find("pyrt.program")->bytes : std::span<const std::byte>();
}

size_t Model::decoded_bytes() const {
  size_t bytes = 0;
  for (const Constant& constant : constants_) bytes += constant.copied ? constant.bytes : 0;
  return bytes;
}

uint64_t Model::constant_hash(int constant) const {
  std::atomic<uint64_t>& memo = hashes_[static_cast<size_t>(constant)];
  uint64_t hash = memo.load(std::memory_order_relaxed);
  if (hash == 0) {
    const Constant& c = constants_[static_cast<size_t>(constant)];
    hash = hash_bytes(c.data.get(), c.bytes);
    memo.store(hash, std::memory_order_relaxed);
  }
  return hash;
}

const WeightFacts* Model::weight_facts(int constant, DType dtype, const WeightView& view) const {
  const Constant& c = constants_[static_cast<size_t>(constant)];
  if (c.bytes == 0) return nullptr;
  const std::lock_guard<std::mutex> lock(measured_mutex_);
  for (const auto& known : measured_) {
    if (known->constant == constant && known->view == view) return &known->facts;
  }
  measured_.push_back(std::make_unique<const Measured>(
      Measured{constant, view, measure_weights(c.data.get(), dtype, view)}));
  return &measured_.back()->facts;
}

}  // namespace pyrt
