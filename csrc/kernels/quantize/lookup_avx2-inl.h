// A 256-byte table with vpshufb: 16 tables of 16 bytes, of which the k-th adds by xor its
// difference to the one before. An index t >= 0 takes part in every table k <= t / 16, and the
// differences telescope to the right entry; below, the saturated t - 16 k is negative and vpshufb
// gives 0. Indices are signed, so the table is done in two halves: 48 operations for 32 bytes
// against 32 loads.
#pragma once

#include <immintrin.h>

#include "kernels/kernel.h"

namespace pyrt {
namespace {

struct LookupTables {
  __m256i positive[8], negative[8];  // for x >= 0 (t = x) and x < 0 (t = x + 128)
};

PYRT_INLINE void load_tables(const void* table, LookupTables* tables) {
  const uint8_t* bytes = static_cast<const uint8_t*>(table);
  const auto part = [bytes](int k) {
    __m128i half;
    __builtin_memcpy(&half, bytes + 16 * k, sizeof(half));
    return _mm256_broadcastsi128_si256(half);
  };
  for (int k = 0; k < 8; ++k) {
    tables->negative[k] = k == 0 ? part(0) : _mm256_xor_si256(part(k), part(k - 1));
    tables->positive[k] = k == 0 ? part(8) : _mm256_xor_si256(part(8 + k), part(7 + k));
  }
}

PYRT_INLINE __m256i look_up(const LookupTables& tables, __m256i x) {
  const __m256i step = _mm256_set1_epi8(16);
  __m256i t = x, u = _mm256_xor_si256(x, _mm256_set1_epi8(-128));
  __m256i y = _mm256_shuffle_epi8(tables.positive[0], t),
          z = _mm256_shuffle_epi8(tables.negative[0], u);
  for (int k = 1; k < 8; ++k) {
    t = _mm256_subs_epi8(t, step);
    u = _mm256_subs_epi8(u, step);
    y = _mm256_xor_si256(y, _mm256_shuffle_epi8(tables.positive[k], t));
    z = _mm256_xor_si256(z, _mm256_shuffle_epi8(tables.negative[k], u));
  }
  return _mm256_or_si256(y, z);
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
