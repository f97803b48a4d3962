// Implementation of the row bench and the test program's main(). Usage: kernel_test [part of a case
// name]
#include "harness.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>

#include "kernels/facts.h"

namespace pyrt::test {
namespace {

constexpr size_t kGuard = 64;
constexpr uint8_t kGuardByte = 0xa5;

int failures = 0;
std::map<std::string, int> runs_of_row;

std::vector<std::pair<const char*, void (*)()>>& cases() {
  static std::vector<std::pair<const char*, void (*)()>> list;
  return list;
}

class AttributeSet : public Attributes {
 public:
  AttributeSet(const Family& family,
               const std::vector<std::pair<std::string, AttributeValue>>& values) {
    for (const AttributeSpec& spec : family.attributes) {
      AttributeValue value;
      switch (spec.kind) {
        case AttributeKind::kInt:
          value = spec.default_int;
          break;
        case AttributeKind::kInts:
          value = std::vector<int64_t>();
          break;
        case AttributeKind::kFloat:
          value = spec.default_float;
          break;
        case AttributeKind::kText:
          value = std::string(spec.default_text);
          break;
      }
      values_[std::string(spec.name)] = value;
    }
    for (const auto& [name, value] : values) {
      if (values_.count(name) == 0 || values_[name].index() != value.index()) {
        fail("test sets attribute '" + name + "', which the schema lacks or types otherwise");
      }
      values_[name] = value;
    }
  }
  int64_t integer(std::string_view name) const override { return std::get<int64_t>(get(name)); }
  std::span<const int64_t> integers(std::string_view name) const override {
    return std::get<std::vector<int64_t>>(get(name));
  }
  double real(std::string_view name) const override { return std::get<double>(get(name)); }
  std::string_view text(std::string_view name) const override {
    return std::get<std::string>(get(name));
  }

 private:
  const AttributeValue& get(std::string_view name) const { return values_.at(std::string(name)); }
  std::map<std::string, AttributeValue> values_;
};

// Bytes between two guards. `shift` bytes off the 64-byte alignment, as a caller's array may be.
class Buffer {
 public:
  Buffer(size_t bytes, size_t shift = 0)
      : bytes_(bytes), storage_(bytes + 4 * kGuard + shift, kGuardByte) {
    const auto address = reinterpret_cast<uintptr_t>(storage_.data()) + kGuard;
    begin_ = storage_.data() + kGuard + (64 - address % 64) % 64 + shift;
  }
  uint8_t* begin() { return begin_; }
  size_t size() const { return bytes_; }
  bool intact() const {
    const auto is_guard = [](uint8_t byte) { return byte == kGuardByte; };
    return std::all_of(storage_.data(), static_cast<const uint8_t*>(begin_), is_guard) &&
           std::all_of(static_cast<const uint8_t*>(begin_) + bytes_,
                       storage_.data() + storage_.size(), is_guard);
  }

 private:
  size_t bytes_;
  std::vector<uint8_t> storage_;
  uint8_t* begin_;
};

// Copies elements from plain form to the operand's, or back.
void convert(const Operand& operand, uint8_t* formed, uint8_t* plain, bool to_plain) {
  int64_t strides[kMaxRank];
  operand.strides(strides);
  const size_t size = dtype_bytes(operand.dtype);
  const int64_t count = operand.dims.count();
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i;
    int64_t at = 0;
    for (int axis = operand.dims.rank - 1; axis >= 0; --axis) {
      at += rest % operand.dims[axis] * strides[axis];
      rest /= operand.dims[axis];
    }
    uint8_t* a = formed + static_cast<size_t>(at) * size;
    uint8_t* b = plain + static_cast<size_t>(i) * size;
    if (to_plain) {
      std::memcpy(b, a, size);
      if (operand.form.offset128) *b ^= 0x80;
    } else {
      std::memcpy(a, b, size);
      if (operand.form.offset128) *a ^= 0x80;
    }
  }
}

bool channels_last_possible(const Operand& operand) { return operand.dims.rank >= 3; }

// The largest error relative to magnitude + |reference|, of f32 tensors; infinite where NaN or
// infinities differ.
double error_of(const Tensor& got, const Tensor& want, double magnitude) {
  double worst = 0;
  const float* a = got.data<float>();
  const float* b = want.data<float>();
  for (int64_t i = 0; i < want.dims.count(); ++i) {
    if (std::memcmp(a + i, b + i, 4) == 0) continue;
    const double error =
        std::abs(double{a[i]} - double{b[i]}) / (magnitude + std::abs(double{b[i]}));
    if (!(error <= worst)) worst = std::isnan(error) ? INFINITY : error;
  }
  return worst;
}

std::string first_difference(const Tensor& got, const Tensor& want) {
  const size_t size = dtype_bytes(want.dtype);
  for (size_t i = 0; i < want.bytes.size() / size; ++i) {
    if (std::memcmp(&got.bytes[i * size], &want.bytes[i * size], size) == 0) continue;
    const auto value = [&](const Tensor& t) {
      switch (t.dtype) {
        case DType::kF32:
          return std::to_string(t.data<float>()[i]);
        case DType::kS32:
          return std::to_string(t.data<int32_t>()[i]);
        case DType::kS8:
          return std::to_string(t.data<int8_t>()[i]);
        default:
          return std::to_string(t.bytes[i * size]);
      }
    };
    return "element " + std::to_string(i) + " is " + value(got) + ", the scalar row says " +
           value(want);
  }
  return "equal";
}

}  // namespace

Dims make_dims(const std::vector<int64_t>& dims) {
  Dims result;
  result.rank = static_cast<int>(dims.size());
  std::copy(dims.begin(), dims.end(), result.at);
  return result;
}

Tensor empty(DType dtype, const std::vector<int64_t>& dims) {
  Tensor t{dtype, make_dims(dims), {}};
  t.bytes.resize(static_cast<size_t>(t.dims.count()) * dtype_bytes(dtype));
  return t;
}

int64_t Random::integer(int64_t least, int64_t most) {
  return std::uniform_int_distribution<int64_t>(least, most)(engine_);
}

Tensor Random::s8(const std::vector<int64_t>& dims, int64_t least, int64_t most) {
  Tensor t = empty(DType::kS8, dims);
  for (uint8_t& byte : t.bytes) byte = static_cast<uint8_t>(integer(least, most));
  return t;
}

Tensor Random::s32(const std::vector<int64_t>& dims, int64_t least, int64_t most) {
  Tensor t = empty(DType::kS32, dims);
  for (int64_t i = 0; i < t.dims.count(); ++i) {
    t.data<int32_t>()[i] = static_cast<int32_t>(integer(least, most));
  }
  return t;
}

Tensor Random::f32(const std::vector<int64_t>& dims, float least, float most) {
  Tensor t = empty(DType::kF32, dims);
  std::uniform_real_distribution<float> draw(least, most);
  for (int64_t i = 0; i < t.dims.count(); ++i) t.data<float>()[i] = draw(engine_);
  return t;
}

Step& Step::input(Tensor tensor, Role role) {
  inputs_.push_back(std::move(tensor));
  present_.push_back(true);
  constant_.push_back(role == Role::kConstant);
  return *this;
}

Step& Step::absent() {
  inputs_.emplace_back();
  present_.push_back(false);
  constant_.push_back(false);
  return *this;
}

Step& Step::output(DType dtype, const std::vector<int64_t>& dims) {
  outputs_.push_back(empty(dtype, dims));
  return *this;
}

Step& Step::set(const std::string& name, AttributeValue value) {
  attributes_.emplace_back(name, std::move(value));
  return *this;
}

Status Step::bind(Problem* problem) {
  input_operands_.assign(inputs_.size(), Operand{});
  output_operands_.assign(outputs_.size(), Operand{});
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Operand& o = input_operands_[i];
    o.dtype = inputs_[i].dtype;
    o.dims = inputs_[i].dims;
    o.present = present_[i];
    o.constant = constant_[i] ? inputs_[i].bytes.data() : nullptr;
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    output_operands_[i].dtype = outputs_[i].dtype;
    output_operands_[i].dims = outputs_[i].dims;
    output_operands_[i].present = true;
  }
  problem->inputs = Operands(input_operands_.data(), input_operands_.size());
  problem->outputs = Operands(output_operands_.data(), output_operands_.size());
  const Family* family = find_family(family_);
  if (family == nullptr) return Status(Code::kArgument, "no family '" + family_ + "'");
  Status status = family->prepare(AttributeSet(*family, attributes_), *problem);
  WeightView view;
  if (status.ok() && family->weight_view != nullptr && family->weight_view(*problem, &view) &&
      problem->inputs[1].constant != nullptr && view.N * view.K() > 0) {
    if (!facts_) {
      facts_ = measure_weights(problem->inputs[1].constant, problem->inputs[1].dtype, view);
    }
    problem->facts = &*facts_;
  }
  return status;
}

Status Step::prepare() {
  Problem problem;
  return bind(&problem);
}

// One way to lay a row's operands out and to cut its tasks.
struct Step::Variant {
  bool channels_last = false;
  bool offset_out = false;
  size_t shift = 0;  // of inputs and outputs, in elements
  int cuts = 0;
};

std::vector<Tensor> Step::run(const Row& row, const Variant& variant) {
  const Family& family = *find_family(family_);
  Problem problem;
  const Status status = bind(&problem);
  if (!status.ok()) {
    fail(status.message());
    return outputs_;
  }
  for (size_t i = 0; i < input_operands_.size(); ++i) {
    const OperandSpec& spec = family.inputs[std::min(i, family.inputs.size() - 1)];
    Operand& o = input_operands_[i];
    if (spec.parameter || o.constant != nullptr) continue;
    if (variant.channels_last && channels_last_possible(o)) o.form.layout = Layout::kChannelsLast;
    o.form.offset128 = i == 0 && row.offset == Offset::kTakes && o.dtype == DType::kS8;
  }
  for (Operand& o : output_operands_) {
    if (variant.channels_last && channels_last_possible(o)) o.form.layout = Layout::kChannelsLast;
    o.form.offset128 = variant.offset_out && o.dtype == DType::kS8;
  }
  if (row.setup != nullptr) row.setup(problem);

  std::vector<Buffer> inputs;
  std::vector<Buffer> outputs;
  std::vector<const void*> input_pointers;
  std::vector<void*> output_pointers;
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const bool plain_constant = constant_[i];
    const size_t shift = plain_constant ? 0 : variant.shift * dtype_bytes(inputs_[i].dtype);
    inputs.emplace_back(inputs_[i].bytes.size(), shift);
    if (present_[i]) {
      convert(input_operands_[i], inputs.back().begin(), inputs_[i].bytes.data(), false);
    }
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    outputs.emplace_back(outputs_[i].bytes.size(), variant.shift * dtype_bytes(outputs_[i].dtype));
  }
  for (size_t i = 0; i < inputs.size(); ++i) {
    input_pointers.push_back(present_[i] ? inputs[i].begin() : nullptr);
  }
  for (Buffer& buffer : outputs) output_pointers.push_back(buffer.begin());
  Buffer packed(row.packed_bytes != nullptr ? row.packed_bytes(problem) : 0);
  if (row.pack != nullptr) row.pack(problem, packed.begin());

  const int64_t tasks = row.tasks != nullptr ? row.tasks(problem) : 1;
  Random random(static_cast<uint32_t>(tasks + variant.cuts));
  std::set<int64_t> borders = {0, tasks};
  for (int i = 0; i < variant.cuts; ++i) borders.insert(random.integer(0, tasks));
  const std::vector<int64_t> ordered(borders.begin(), borders.end());
  for (size_t i = ordered.size() - 1; i > 0; --i) {  // last range first: ranges are independent
    Buffer scratch(row.scratch_bytes != nullptr ? row.scratch_bytes(problem) : 0);
    std::memset(scratch.begin(), 0x5a, scratch.size());
    const Call call{.inputs = input_pointers.data(),
                    .outputs = output_pointers.data(),
                    .packed = packed.size() > 0 ? packed.begin() : nullptr,
                    .scratch = scratch.begin()};
    row.run(problem, call, ordered[i - 1], ordered[i]);
    expect(scratch.intact(), std::string(row.name) + " writes outside its scratch");
  }
  expect(packed.intact(), std::string(row.name) + " packs outside its buffer");
  std::vector<Tensor> result = outputs_;
  for (size_t i = 0; i < outputs.size(); ++i) {
    expect(outputs[i].intact(), std::string(row.name) + " writes outside its output");
    convert(output_operands_[i], outputs[i].begin(), result[i].bytes.data(), true);
  }
  for (const Buffer& buffer : inputs) {
    expect(buffer.intact(), std::string(row.name) + " writes around its inputs");
  }
  ++runs_of_row[std::string(row.name)];
  return result;
}

const Row* Step::scalar_row(const Problem& problem) const {
  for (const Row* row : rows_of(family_)) {
    // Features first: supports() is compiled for them, too.
    if (row->features != 0 || row->compressed || row->run == nullptr) continue;
    if (row->supports == nullptr || row->supports(problem) == nullptr) return row;
  }
  return nullptr;
}

Tensor Step::scalar_output() {
  Problem problem;
  const Status status = bind(&problem);
  const Row* row = status.ok() ? scalar_row(problem) : nullptr;
  if (row == nullptr) {
    fail("no scalar row runs this step: " + status.message());
    return outputs_[0];
  }
  return run(*row, {.channels_last = row->forms == FormRule::kChannelsLast})[0];
}

const Row* Step::named_row(const std::string& name, Problem* problem) {
  const Status status = bind(problem);
  if (!status.ok()) fail(name + ": " + status.message());
  for (const Row* row : rows_of(family_)) {
    if (row->name == name) return row;
  }
  return nullptr;  // not in the build for this architecture
}

Tensor Step::output_of(const std::string& name, bool* ran) {
  Problem problem;
  const Row* row = named_row(name, &problem);
  *ran = row != nullptr && (row->features & ~cpu_features()) == 0;
  if (!*ran) return outputs_[0];
  return run(*row, {.channels_last = row->forms == FormRule::kChannelsLast})[0];
}

const char* Step::reason_against(const std::string& name) {
  Problem problem;
  const Row* row = named_row(name, &problem);
  if (row == nullptr || (row->features & ~cpu_features()) != 0) return nullptr;
  return row->supports == nullptr ? nullptr : row->supports(problem);
}

void Step::allow(const std::string& part_of_name, double factor) {
  allowances_.emplace_back(part_of_name, factor);
}

void Step::check_rows(const std::string& label, double tolerance, double magnitude) {
  Problem problem;
  const Status status = bind(&problem);
  if (!status.ok()) return fail(label + ": " + status.message());
  const Row* scalar = scalar_row(problem);
  if (scalar == nullptr) return fail(label + ": no scalar row supports the problem");
  const std::vector<Tensor> want =
      run(*scalar, {.channels_last = scalar->forms == FormRule::kChannelsLast});
  for (const Row* row : rows_of(family_)) {
    if (const Status again = bind(&problem); !again.ok()) return fail(label + again.message());
    if ((row->features & ~cpu_features()) != 0 || row->run == nullptr) continue;
    if (row->supports != nullptr && row->supports(problem) != nullptr) continue;
    expect(row->cost_ns(problem) > 0, std::string(row->name) + " predicts no time");
    std::vector<Variant> variants;
    const bool offsets = row->offset != Offset::kNever && outputs_[0].dtype == DType::kS8;
    for (const bool last : {false, true}) {
      if (last ? row->forms == FormRule::kPlain : row->forms == FormRule::kChannelsLast) continue;
      variants.push_back({.channels_last = last, .cuts = 0});
      variants.push_back({.channels_last = last, .offset_out = offsets, .shift = 1, .cuts = 3});
    }
    double allowed = tolerance;
    for (const auto& [text, factor] : allowances_) {
      if (row->name.find(text) != std::string_view::npos) allowed *= factor;
    }
    std::vector<Tensor> first;
    for (const Variant& variant : variants) {
      const std::vector<Tensor> got = run(*row, variant);
      for (size_t i = 0; i < want.size(); ++i) {
        const std::string where =
            label + ", " + std::string(row->name) + ", output " + std::to_string(i) + ": ";
        const bool same = got[i].bytes == want[i].bytes;
        if (row->exactness != Exactness::kFast || want[i].dtype != DType::kF32) {
          expect(same, where + first_difference(got[i], want[i]));
          continue;
        }
        const double error = error_of(got[i], want[i], magnitude);
        expect(error <= allowed, where + "relative error " + std::to_string(error) + " above " +
                                     std::to_string(allowed) + "; " +
                                     first_difference(got[i], want[i]));
        expect(first.empty() || got[i].bytes == first[i].bytes,
               where + "bytes depend on alignment or on how the tasks are cut");
      }
      if (first.empty()) first = got;
    }
  }
}

void fail(const std::string& message) {
  ++failures;
  if (failures <= 40) std::fprintf(stderr, "FAILED %s\n", message.c_str());
}

void expect(bool condition, const std::string& message) {
  if (!condition) fail(message);
}

void expect_error(const Status& status, Code code, const std::string& text) {
  if (status.ok()) return fail("no error; expected one about '" + text + "'");
  expect(status.code() == code, "wrong error code for: " + status.message());
  expect(status.message().find(text) != std::string::npos,
         "message '" + status.message() + "' does not mention '" + text + "'");
}

FeatureMask cpu_features() {
#if defined(PYRT_EMULATE_AVX512)
  return kPresetAvx512Icl | kPresetAvxVnni;  // intrinsics are plain C++ here
#elif defined(__x86_64__)
  __builtin_cpu_init();
  FeatureMask mask = 0;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) mask |= kPresetAvx2;
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512dq")) {
    mask |= kPresetAvx512;
    if (__builtin_cpu_supports("avx512vnni")) mask |= kPresetAvx512Vnni;
  }
  if (__builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bitalg") &&
      __builtin_cpu_supports("avx512vpopcntdq")) {
    mask |= kPresetAvx512Icl;
  }
  return mask;
#else
  return 0;
#endif
}

Case::Case(const char* name, void (*function)()) { cases().emplace_back(name, function); }

}  // namespace pyrt::test

int main(int argc, char** argv) {
  using namespace pyrt::test;
  int ran = 0;
  for (const auto& [name, function] : cases()) {
    if (argc > 1 && std::strstr(name, argv[1]) == nullptr) continue;
    const int before = failures;
    function();
    ++ran;
    std::printf("%s %s\n", failures == before ? "passed" : "FAILED", name);
  }
  for (const auto& [row, runs] : runs_of_row) std::printf("  %6d runs of %s\n", runs, row.c_str());
  std::printf("%d cases, %d failures\n", ran, failures);
  return failures == 0 && ran > 0 ? 0 : 1;
}
