// A 256-byte table with vpshufb: 16 tables of 16 bytes in 4 groups. In a group, table k > 0 holds
// its difference (xor) to the one before, and is looked up with t - 16 k, where t is the index in
// the group: that is negative, so that vpshufb gives 0, for the tables behind the right one, and
// the differences up to it telescope to the entry. The upper two bits of the index choose between
// the groups: 36 operations for 32 bytes against 32 loads.
#pragma once

#include <immintrin.h>

#include "kernels/kernel.h"

namespace pyrt {
namespace {

constexpr int kLookupGroup = 4;

struct LookupTables {
  __m256i part[16];
};

PYRT_INLINE void load_tables(const void* table, LookupTables* tables) {
  const uint8_t* bytes = static_cast<const uint8_t*>(table);
  const auto part = [bytes](int k) {
    __m128i half;
    __builtin_memcpy(&half, bytes + 16 * k, sizeof(half));
    return _mm256_broadcastsi128_si256(half);
  };
  for (int k = 0; k < 16; ++k) {
    tables->part[k] = k % kLookupGroup == 0 ? part(k) : _mm256_xor_si256(part(k), part(k - 1));
  }
}

// x is signed: its sign is the inverted top bit of the index.
PYRT_INLINE __m256i look_up(const LookupTables& tables, __m256i x) {
  __m256i t[kLookupGroup], y[4];
  t[0] = _mm256_and_si256(x, _mm256_set1_epi8(63));
  for (int k = 1; k < kLookupGroup; ++k) t[k] = _mm256_sub_epi8(t[k - 1], _mm256_set1_epi8(16));
  for (int group = 0; group < 4; ++group) {
    const __m256i* part = tables.part + group * kLookupGroup;
    y[group] = _mm256_shuffle_epi8(part[0], t[0]);
    for (int k = 1; k < kLookupGroup; ++k)
      y[group] = _mm256_xor_si256(y[group], _mm256_shuffle_epi8(part[k], t[k]));
  }
  const __m256i bit6 = _mm256_slli_epi16(x, 1);  // as the sign of each byte
  const __m256i negative = _mm256_blendv_epi8(y[0], y[1], bit6);
  const __m256i positive = _mm256_blendv_epi8(y[2], y[3], bit6);
  return _mm256_blendv_epi8(positive, negative, x);
}

[[maybe_unused]] void lookup_run(const void* table, const uint8_t* x, uint8_t* y, int64_t n) {
  const uint8_t* bytes = static_cast<const uint8_t*>(table);
  int64_t i = 0;
  if (n >= 64) {  // below, building the tables costs more than it saves
    LookupTables tables;
    load_tables(table, &tables);
    for (; i + 32 <= n; i += 32) {
      __m256i v;
      __builtin_memcpy(&v, x + i, sizeof(v));
      v = look_up(tables, v);
      __builtin_memcpy(y + i, &v, sizeof(v));
    }
  }
  for (; i < n; ++i) y[i] = bytes[x[i] ^ 0x80];
}

}  // namespace
}  // namespace pyrt
