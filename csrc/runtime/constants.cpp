#include "runtime/constants.h"

#include <bit>
#include <cmath>
#include <cstring>

namespace pyrt {
namespace {

Status bad(const std::string& message) { return Status(Code::kFormat, message); }

float widen_f16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 31u;
  const uint32_t fraction = half & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
  const float small = static_cast<float>(fraction) * 0x1p-24f;  // subnormal: exact
  return sign != 0 ? -small : small;
}

template <class T>
T load(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + static_cast<size_t>(index) * sizeof(T), sizeof(T));
  return value;
}

// Element `index` as f32, before any scale.
float as_float(DType dtype, const std::byte* bytes, int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return load<float>(bytes, index);
    case DType::kF16:
      return widen_f16(load<uint16_t>(bytes, index));
    case DType::kBF16:
      return std::bit_cast<float>(static_cast<uint32_t>(load<uint16_t>(bytes, index)) << 16);
    case DType::kS8:
    case DType::kS4:
      return load<int8_t>(bytes, index);
    case DType::kU8:
    case DType::kU4:
      return load<uint8_t>(bytes, index);
    case DType::kS16:
      return load<int16_t>(bytes, index);
    case DType::kU16:
      return load<uint16_t>(bytes, index);
    default:
      return 0;
  }
}

// What packed elements of a value are: its own type, or s8 that a scale widens.
DType unpacked_type(DType dtype) {
  const bool narrow = dtype == DType::kU8 || dtype == DType::kS4 || dtype == DType::kU4;
  return narrow ? dtype : DType::kS8;
}

bool is_scaled_type(DType dtype) {
  return dtype == DType::kS8 || dtype == DType::kU8 || dtype == DType::kS16 ||
         dtype == DType::kU16 || dtype == DType::kS4 || dtype == DType::kU4;
}

// Whether elements stored as `stored` may stand for `dtype`.
bool may_store(DType stored, DType dtype, bool scaled) {
  if (scaled) return dtype == DType::kF32 && is_scaled_type(stored);
  if (stored == dtype) return true;
  return dtype == DType::kF32 && (stored == DType::kF16 || stored == DType::kBF16);
}

class Decoder {
 public:
  Decoder(const Program& program, const ModelFile& file, size_t max_bytes)
      : program_(program), file_(file), left_(max_bytes) {}

  Result<Constant> decode(const ValueSpec& value) {
    const ConstantSpec& spec = program_.constants[static_cast<size_t>(value.constant)];
    PYRT_RETURN_IF_ERROR(read_dims(value));
    Result<const TensorEntry*> tensor = find(spec.tensor);
    if (!tensor.ok()) return tensor.status();
    const TensorEntry& entry = *tensor.value();
    const DType stored = spec.packing == Packing::kNone ? entry.dtype : unpacked_type(value.dtype);
    if (!may_store(stored, value.dtype, !spec.scale.empty())) {
      return bad("tensor '" + spec.tensor + "' of type " + std::string(dtype_name(stored)) +
                 (spec.scale.empty() ? " without" : " with") +
                 " scale cannot hold a value of type " + std::string(dtype_name(value.dtype)));
    }
    if (spec.packing == Packing::kNone && spec.positions.code == PositionSpec::Code::kAll) {
      return decode_dense(value, spec, entry);
    }
    Result<Constant> elements = expand(spec, entry, stored);
    if (!elements.ok()) return elements.status().at("tensor '" + spec.tensor + "'");
    return stored == value.dtype ? elements : to_float(spec, stored, elements.value().data.get());
  }

 private:
  Status read_dims(const ValueSpec& value) {
    dims_ = {};
    dims_.rank = static_cast<int>(value.dims.size());
    int64_t product = static_cast<int64_t>(dtype_bytes(value.dtype));
    bool empty = false;
    for (int i = 0; i < dims_.rank; ++i) {
      dims_.at[i] = program_.expressions.constant_value(value.dims[static_cast<size_t>(i)]);
      empty = empty || dims_.at[i] == 0;
      if (dims_.at[i] != 0 && __builtin_mul_overflow(product, dims_.at[i], &product))
        return bad("dims are too large");
    }
    count_ = empty ? 0 : product / static_cast<int64_t>(dtype_bytes(value.dtype));
    return {};
  }

  Result<const TensorEntry*> find(const std::string& name) const {
    const TensorEntry* entry = file_.find(name);
    if (entry == nullptr) return bad("the file has no tensor '" + name.substr(0, 80) + "'");
    return entry;
  }

  Result<Constant> allocate(int64_t count, DType dtype) {
    Constant constant;
    constant.bytes = static_cast<size_t>(count) * dtype_bytes(dtype);
    constant.copied = true;
    if (constant.bytes > left_) {
      return Status(Code::kResource,
                    "its " + std::to_string(constant.bytes) + " bytes exceed max_bytes");
    }
    left_ -= constant.bytes;
    std::shared_ptr<std::byte> memory = allocate_aligned(constant.bytes);
    if (memory == nullptr)
      return Status(Code::kResource, "no memory for " + std::to_string(constant.bytes) + " bytes");
    std::memset(memory.get(), 0, constant.bytes + 64);
    constant.data = memory;
    return constant;
  }

  // allocate() gave us this memory; it becomes constant when decoding ends.
  static std::byte* writable(const Constant& constant) {
    return const_cast<std::byte*>(constant.data.get());
  }

  Result<Constant> decode_dense(const ValueSpec& value, const ConstantSpec& spec,
                                const TensorEntry& entry) {
    const bool same =
        entry.shape.size() == value.dims.size() &&
        std::memcmp(entry.shape.data(), dims_.at, entry.shape.size() * sizeof(int64_t)) == 0;
    if (!same) return bad("tensor '" + spec.tensor + "' has another shape than the value");
    if (entry.dtype == value.dtype) {
      const bool in_place =
          reinterpret_cast<uintptr_t>(entry.bytes.data()) % 64 == 0 && entry.readable_tail >= 64;
      if (in_place) {
        Constant constant;
        constant.bytes = entry.bytes.size();
        constant.data = std::shared_ptr<const std::byte>(file_.bytes(), entry.bytes.data());
        return constant;
      }
      Result<Constant> constant = allocate(count_, value.dtype);
      if (constant.ok() && !entry.bytes.empty()) {
        std::memcpy(writable(constant.value()), entry.bytes.data(), entry.bytes.size());
      }
      return constant;
    }
    return to_float(spec, entry.dtype, entry.bytes.data());
  }

  // Unpacks the stored elements and puts them where they belong; the others are 0.
  Result<Constant> expand(const ConstantSpec& spec, const TensorEntry& entry, DType stored) {
    if (entry.shape.size() != 1) return bad("it must have one dim");
    const bool all = spec.positions.code == PositionSpec::Code::kAll;
    if (spec.packing == Packing::kNone) return put_in_place(spec, entry.bytes, stored);
    if (entry.dtype != DType::kU8) return bad("packed elements must be U8");
    const int64_t count = all ? count_ : spec.stored;
    if (count > count_) return bad("'stored' is above the number of elements");
    Result<Constant> unpacked = allocate(count, DType::kS8);
    if (!unpacked.ok()) return unpacked;
    auto* elements = reinterpret_cast<int8_t*>(writable(unpacked.value()));
    PYRT_RETURN_IF_ERROR(unpack(spec.packing, entry.bytes, count, elements));
    PYRT_RETURN_IF_ERROR(check_range(elements, count, stored));
    if (all) return unpacked;
    return put_in_place(spec, {writable(unpacked.value()), unpacked.value().bytes}, stored);
  }

  static Status check_range(const int8_t* elements, int64_t count, DType stored) {
    const bool is_unsigned = stored == DType::kU8 || stored == DType::kU4;
    for (int64_t i = 0; i < count; ++i) {
      if (is_unsigned ? elements[i] < 0 : stored == DType::kS4 && elements[i] > 7) {
        return bad("an element lies outside of its type's range");
      }
    }
    return {};
  }

  Result<Constant> put_in_place(const ConstantSpec& spec, std::span<const std::byte> values,
                                DType stored) {
    Result<const TensorEntry*> found = find(spec.code);
    if (!found.ok()) return found.status().at("positions");
    const TensorEntry& code = *found.value();
    if (code.dtype != DType::kU8 || code.shape.size() != 1) {
      return bad("positions '" + spec.code + "' must be U8 with one dim");
    }
    const PositionSpec& positions = spec.positions;
    if (positions.has_view) {
      int64_t count = positions.view.N;
      if (__builtin_mul_overflow(count, positions.view.C, &count) ||
          __builtin_mul_overflow(count, positions.view.taps, &count) || count != count_) {
        return bad("'view' has another number of elements than the value");
      }
    }
    Result<Constant> expanded = allocate(count_, stored);
    if (!expanded.ok()) return expanded;
    PYRT_RETURN_IF_ERROR(place(positions, code.bytes, values, dtype_bytes(stored), count_,
                               writable(expanded.value())));
    return expanded;
  }

  // Widens or scales `count_` elements to f32.
  Result<Constant> to_float(const ConstantSpec& spec, DType stored, const std::byte* from) {
    Result<Constant> constant = allocate(count_, DType::kF32);
    if (!constant.ok()) return constant;
    auto* out = reinterpret_cast<float*>(writable(constant.value()));
    if (spec.scale.empty()) {
      for (int64_t i = 0; i < count_; ++i) out[i] = as_float(stored, from, i);
      return constant;
    }
    std::vector<float> scales;
    PYRT_RETURN_IF_ERROR(read_scales(spec, &scales));
    // Row-major index = (outer * axis_dim + along) * inner + within; the scale follows `along`, and
    // with groups all axes.
    const int64_t axis_dim = spec.axis < 0 ? 1 : dims_.at[spec.axis];
    int64_t inner = spec.axis < 0 ? count_ : 1;
    for (int i = spec.axis + 1; spec.axis >= 0 && i < dims_.rank; ++i) inner *= dims_.at[i];
    const int64_t groups = spec.group == 0 ? 0 : (axis_dim + spec.group - 1) / spec.group;
    for (int64_t i = 0; i < count_; ++i) {
      const int64_t along = inner == 0 ? 0 : i / inner % axis_dim;
      int64_t index = spec.axis < 0 ? 0 : along;
      if (spec.group != 0)
        index = (i / (inner * axis_dim) * groups + along / spec.group) * inner + i % inner;
      out[i] = as_float(stored, from, i) * scales[static_cast<size_t>(index)];
    }
    return constant;
  }

  Status read_scales(const ConstantSpec& spec, std::vector<float>* out) const {
    Result<const TensorEntry*> found = find(spec.scale);
    if (!found.ok()) return found.status().at("scale");
    const TensorEntry& entry = *found.value();
    if (entry.dtype != DType::kF32 && entry.dtype != DType::kF16)
      return bad("scale '" + spec.scale + "' must be F32 or F16");
    if (spec.axis >= dims_.rank)
      return bad("scale: axis " + std::to_string(spec.axis) + " does not exist");
    std::vector<int64_t> shape;
    if (spec.group != 0) {
      shape.assign(dims_.at, dims_.at + dims_.rank);
      int64_t& along = shape[static_cast<size_t>(spec.axis)];
      along = along / spec.group + (along % spec.group != 0 ? 1 : 0);
      if (entry.shape != shape)
        return bad("scale '" + spec.scale + "' must have the value's dims, grouped along the axis");
    }
    const auto count = static_cast<int64_t>(entry.bytes.size() / dtype_bytes(entry.dtype));
    if (spec.group == 0 && count != (spec.axis < 0 ? 1 : dims_.at[spec.axis])) {
      return bad("scale '" + spec.scale + "' has " + std::to_string(count) + " elements, " +
                 std::to_string(spec.axis < 0 ? 1 : dims_.at[spec.axis]) + " are needed");
    }
    for (int64_t i = 0; i < count; ++i) {
      out->push_back(as_float(entry.dtype, entry.bytes.data(), i));
      if (!std::isfinite(out->back()))
        return bad("scale '" + spec.scale + "' has an element that is not finite");
    }
    return {};
  }

  const Program& program_;
  const ModelFile& file_;
  size_t left_;
  Dims dims_;
  int64_t count_ = 0;
};

}  // namespace

Result<std::vector<Constant>> decode_constants(const Program& program, const ModelFile& file,
                                               size_t max_bytes) {
  std::vector<Constant> constants(program.constants.size());
  Decoder decoder(program, file, max_bytes);
  for (size_t i = 0; i < program.values.size(); ++i) {
    const ValueSpec& value = program.values[i];
    if (value.constant < 0) continue;
    Result<Constant> constant = decoder.decode(value);
    if (!constant.ok()) return constant.status().at(program.value_label(static_cast<int>(i)));
    constants[static_cast<size_t>(value.constant)] = std::move(constant.value());
  }
  return constants;
}

}  // namespace pyrt
