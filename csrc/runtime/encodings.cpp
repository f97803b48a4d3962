#include "runtime/encodings.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>
#include <string>
#include <vector>

namespace pyrt {
namespace {

constexpr int64_t kTrits = 5;         // elements in a byte of kT5
constexpr unsigned kTritBytes = 243;  // 3^5

Status bad(const std::string& message) { return Status(Code::kFormat, message); }

struct Name {
  std::string_view text;
  Packing packing;
};
constexpr Name kNames[] = {{"b1", Packing::kB1},
                           {"t5", Packing::kT5},
                           {"s2", Packing::kS2},
                           {"s4", Packing::kS4},
                           {"u4", Packing::kU4}};

int field_bits(Packing packing) {
  if (packing == Packing::kB1) return 1;
  return packing == Packing::kS2 ? 2 : 4;
}

int8_t field_value(Packing packing, unsigned field) {
  switch (packing) {
    case Packing::kB1:
      return field != 0 ? int8_t{1} : int8_t{-1};
    case Packing::kS2:
      return static_cast<int8_t>(static_cast<int>(field ^ 2u) - 2);
    case Packing::kS4:
      return static_cast<int8_t>(static_cast<int>(field ^ 8u) - 8);
    default:
      return static_cast<int8_t>(field);
  }
}

Status unpack_fields(Packing packing, std::span<const std::byte> bytes, int64_t count,
                     int8_t* out) {
  const int bits = field_bits(packing);
  const int64_t each = 8 / bits;
  const unsigned mask = (1u << bits) - 1u;
  for (int64_t i = 0; i < count; ++i) {
    const auto byte = static_cast<unsigned>(bytes[static_cast<size_t>(i / each)]);
    out[i] = field_value(packing, (byte >> (i % each * bits)) & mask);
  }
  if (count % each != 0 && (static_cast<unsigned>(bytes.back()) >> (count % each * bits)) != 0) {
    return bad("the unused bits of its last byte are not 0");
  }
  return {};
}

Status unpack_trits(std::span<const std::byte> bytes, int64_t count, int8_t* out) {
  int64_t next = 0;
  for (const std::byte byte : bytes) {
    auto left = static_cast<unsigned>(byte);
    if (left >= kTritBytes) return bad("a byte of five elements is above 242");
    for (int64_t i = 0; i < kTrits; ++i, left /= 3) {
      const auto digit = static_cast<int>(left % 3);
      if (next < count) {
        out[next++] = static_cast<int8_t>(digit - 1);
      } else if (digit != 0) {
        return bad("the unused elements of its last byte are not 0");
      }
    }
  }
  return {};
}

// Bits of a byte string, least significant first; zeros behind the end.
class Bits {
 public:
  explicit Bits(std::span<const std::byte> bytes) : bytes_(bytes) {}

  int64_t count() const { return static_cast<int64_t>(bytes_.size()) * 8; }
  // 57 bits or more from `at` on.
  uint64_t window(int64_t at) const {
    const auto first = static_cast<size_t>(at / 8);
    uint64_t word = 0;
    if (first < bytes_.size()) {
      std::memcpy(&word, bytes_.data() + first, std::min<size_t>(8, bytes_.size() - first));
    }
    return word >> (at % 8);
  }
  uint64_t field(int64_t at, int bits) const { return window(at) & ((uint64_t{1} << bits) - 1); }
  // The next set bit at or after `at`, or count() where there is none.
  int64_t next_one(int64_t at) const {
    for (; at < count(); at = at / 8 * 8 + 56) {
      const uint64_t word = window(at);
      if (word != 0) return at + std::countr_zero(word);
    }
    return count();
  }

 private:
  std::span<const std::byte> bytes_;
};

// Copies stored elements one after the other.
class Placer {
 public:
  Placer(std::span<const std::byte> values, size_t size, std::byte* out)
      : next_(values.data()), left_(values.size() / size), size_(size), out_(out) {}

  // False where there are no more values.
  bool put(int64_t index) {
    if (left_ == 0) return false;
    std::byte* to = out_ + static_cast<size_t>(index) * size_;
    if (size_ == 1) {
      *to = *next_;
    } else {
      std::memcpy(to, next_, size_);
    }
    next_ += size_;
    --left_;
    return true;
  }
  bool done() const { return left_ == 0; }

 private:
  const std::byte* next_;
  size_t left_, size_;
  std::byte* out_;
};

bool put_block(const PositionSpec& spec, int64_t block, Placer* placer) {
  const WeightView& view = spec.view;
  const int64_t across = (view.K() + spec.block_width - 1) / spec.block_width;
  const int64_t n0 = block / across * spec.block_height;
  const int64_t k0 = block % across * spec.block_width;
  for (int64_t n = n0; n < std::min(view.N, n0 + spec.block_height); ++n) {
    for (int64_t k = k0; k < std::min(view.K(), k0 + spec.block_width); ++k) {
      if (!placer->put(view.index(k, n))) return false;
    }
  }
  return true;
}

const char* const kFewValues = "it holds fewer values than its positions";

// Golomb-Rice: the low bits of all gaps, then the high parts in unary.
Status place_gaps(const PositionSpec& spec, std::span<const std::byte> code, int64_t count,
                  Placer* placer) {
  const bool elements = !spec.has_view;
  const auto ceil_div = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const int64_t total = elements ? count
                                 : ceil_div(spec.view.N, spec.block_height) *
                                       ceil_div(spec.view.K(), spec.block_width);
  if (spec.blocks > total) return bad("'blocks' is above the number of blocks");
  const auto head = static_cast<size_t>(ceil_div(spec.blocks * spec.rice, 8));
  if (code.size() < head) return bad("its positions end early");
  const Bits low(code.first(head)), high(code.subspan(head));
  int64_t at = 0, block = -1;
  for (int64_t i = 0; i < spec.blocks; ++i) {
    const int64_t one = high.next_one(at);
    if (one == high.count()) return bad("its positions hold fewer blocks than 'blocks'");
    const auto rest = static_cast<int64_t>(low.field(i * spec.rice, spec.rice));
    block += (((one - at) << spec.rice) | rest) + 1;
    at = one + 1;
    if (block >= total) return bad("its positions lie outside of the constant");
    if (!(elements ? placer->put(block) : put_block(spec, block, placer))) return bad(kFewValues);
  }
  const bool more = high.next_one(at) != high.count();
  if (more || ceil_div(at, 8) * 8 != high.count()) {
    return bad("its positions hold more than 'blocks'");
  }
  return {};
}

// All masks of `group` bits with `most` set, ascending.
std::vector<uint32_t> combinations(int most, int group) {
  std::vector<uint32_t> masks;
  for (uint32_t mask = 0; mask < (1u << group); ++mask) {
    if (std::popcount(mask) == most) masks.push_back(mask);
  }
  return masks;
}

Status place_pattern(const PositionSpec& spec, std::span<const std::byte> code, Placer* placer) {
  const WeightView& view = spec.view;
  if (view.K() % spec.group != 0) return bad("its pattern does not divide K");
  const std::vector<uint32_t> table = combinations(spec.most, spec.group);
  const auto bits = static_cast<int>(std::bit_width(table.size() - 1));
  const int64_t groups = view.N * view.K() / spec.group;
  if (static_cast<int64_t>(code.size()) != (groups * bits + 7) / 8) {
    return bad("its positions must have " + std::to_string((groups * bits + 7) / 8) + " bytes");
  }
  const Bits ranks(code);
  for (int64_t i = 0; i < groups; ++i) {
    const uint64_t rank = ranks.field(i * bits, bits);
    if (rank >= table.size()) return bad("a rank of its positions is too large");
    const int64_t n = i * spec.group / view.K(), k = i * spec.group % view.K();
    for (uint32_t mask = table[static_cast<size_t>(rank)]; mask != 0; mask &= mask - 1) {
      if (!placer->put(view.index(k + std::countr_zero(mask), n))) return bad(kFewValues);
    }
  }
  if (ranks.next_one(groups * bits) != ranks.count()) {
    return bad("the unused bits of its positions are not 0");
  }
  return {};
}

}  // namespace

bool packing_from_name(std::string_view name, Packing* packing) {
  const auto* found = std::find_if(std::begin(kNames), std::end(kNames),
                                   [&](const Name& n) { return n.text == name; });
  if (found == std::end(kNames)) return false;
  *packing = found->packing;
  return true;
}

int64_t packed_size(Packing packing, int64_t count) {
  const int64_t each = packing == Packing::kT5 ? kTrits : 8 / field_bits(packing);
  return count / each + (count % each != 0 ? 1 : 0);
}

Status unpack(Packing packing, std::span<const std::byte> bytes, int64_t count, int8_t* out) {
  if (static_cast<int64_t>(bytes.size()) != packed_size(packing, count)) {
    return bad(std::to_string(count) + " packed elements need " +
               std::to_string(packed_size(packing, count)) + " bytes");
  }
  if (packing == Packing::kT5) return unpack_trits(bytes, count, out);
  return unpack_fields(packing, bytes, count, out);
}

Status place(const PositionSpec& spec, std::span<const std::byte> code,
             std::span<const std::byte> values, size_t size, int64_t count, std::byte* out) {
  Placer placer(values, size, out);
  PYRT_RETURN_IF_ERROR(spec.code == PositionSpec::Code::kPattern
                           ? place_pattern(spec, code, &placer)
                           : place_gaps(spec, code, count, &placer));
  return placer.done() ? Status() : bad("it holds more values than its positions");
}

}  // namespace pyrt
