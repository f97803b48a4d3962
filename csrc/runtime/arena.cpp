#include "runtime/arena.h"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

namespace pyrt {
namespace {

size_t aligned(size_t bytes) {
  return (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
}

}  // namespace

size_t plan_arena(std::span<ArenaBuffer> buffers) {
  std::vector<size_t> order(buffers.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return buffers[a].bytes > buffers[b].bytes; });
  std::vector<const ArenaBuffer*> placed;  // ascending offset
  size_t total = 0;
  for (const size_t index : order) {
    ArenaBuffer& buffer = buffers[index];
    const size_t bytes = aligned(buffer.bytes);
    size_t end = 0;  // of the buffers before the gap under test
    size_t best_gap = SIZE_MAX;
    size_t best_offset = SIZE_MAX;
    for (const ArenaBuffer* other : placed) {
      if (other->last < buffer.first || buffer.last < other->first) continue;
      if (other->offset > end && other->offset - end >= bytes && other->offset - end < best_gap) {
        best_gap = other->offset - end;
        best_offset = end;
      }
      end = std::max(end, other->offset + aligned(other->bytes));
    }
    buffer.offset = best_offset != SIZE_MAX ? best_offset : end;
    total = std::max(total, buffer.offset + bytes);
    const auto place = std::upper_bound(
        placed.begin(), placed.end(), &buffer,
        [](const ArenaBuffer* a, const ArenaBuffer* b) { return a->offset < b->offset; });
    placed.insert(place, &buffer);
  }
  return total;
}

}  // namespace pyrt
