// The codes in which the file keeps constants: narrow elements packed into bytes, and where the
// stored elements of a sparse constant are (FORMAT.md, sections 3.1 and 3.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "kernels/kernel.h"

namespace pyrt {

enum class Packing : uint8_t { kNone, kB1, kT5, kS2, kS4, kU4 };

// False where `name` is no packing.
bool packing_from_name(std::string_view name, Packing* packing);
// Bytes that `count` elements take.
int64_t packed_size(Packing packing, int64_t count);
// `count` elements into s8. FormatError where `bytes` has another size or holds what no element is
// packed to.
Status unpack(Packing packing, std::span<const std::byte> bytes, int64_t count, int8_t* out);

inline constexpr int kMaxRice = 24;
inline constexpr int kMaxPattern = 16;
inline constexpr int64_t kMaxBlock = 256;

struct PositionSpec {
  enum class Code : uint8_t { kAll, kGaps, kPattern };
  Code code = Code::kAll;
  int rice = 0;                               // kGaps
  int64_t blocks = 0;                         // kGaps: number of stored blocks
  int64_t block_height = 1, block_width = 1;  // kGaps: columns and k; 1 x 1 needs no view
  int most = 0, group = 0;                    // kPattern: `most` of each `group` k of a column
  bool has_view = false;
  WeightView view;
};

// Puts stored elements of `size` bytes each where `code` says. `out` holds `count` zeroed elements.
// FormatError where the code does not fit the spec, or holds another number of elements than
// `values`.
Status place(const PositionSpec& spec, std::span<const std::byte> code,
             std::span<const std::byte> values, size_t size, int64_t count, std::byte* out);

}  // namespace pyrt
