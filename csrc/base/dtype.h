// Element types of values. 4-bit values take one byte each in memory; only files pack two per byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pyrt {

enum class DType : uint8_t {
  kBool,
  kU8,
  kS8,
  kU16,
  kS16,
  kU32,
  kS32,
  kU64,
  kS64,
  kF16,
  kBF16,
  kF32,
  kF64,
  kU4,
  kS4,
};
inline constexpr int kDTypeCount = 15;

struct DTypeInfo {
  std::string_view name;  // spelling in the Program and in messages
  uint8_t bytes;          // of one element in memory
};

constexpr DTypeInfo kDTypeInfo[kDTypeCount] = {
    {"bool", 1}, {"u8", 1},  {"s8", 1},  {"u16", 2}, {"s16", 2},
    {"u32", 4},  {"s32", 4}, {"u64", 8}, {"s64", 8}, {"f16", 2},
    {"bf16", 2}, {"f32", 4}, {"f64", 8}, {"u4", 1},  {"s4", 1},
};

[[gnu::always_inline]] constexpr std::string_view dtype_name(DType dtype) {
  return kDTypeInfo[static_cast<size_t>(dtype)].name;
}
[[gnu::always_inline]] constexpr size_t dtype_bytes(DType dtype) {
  return kDTypeInfo[static_cast<size_t>(dtype)].bytes;
}

// Writes the dtype called `name` to *dtype; false when there is none.
constexpr bool dtype_from_name(std::string_view name, DType* dtype) {
  for (int i = 0; i < kDTypeCount; ++i) {
    if (kDTypeInfo[i].name == name) {
      *dtype = static_cast<DType>(i);
      return true;
    }
  }
  return false;
}

}  // namespace pyrt
