// Table look-up with VBMI: 256 bytes are four registers and two vpermi2b.
#include <immintrin.h>

#include "kernels/quantize/quantize-inl.h"

namespace pyrt {
namespace {

void lookup_run(const void* table, const uint8_t* x, uint8_t* y, int64_t n) {
  const uint8_t* bytes = static_cast<const uint8_t*>(table);
  const __m512i t0 = _mm512_loadu_si512(bytes), t1 = _mm512_loadu_si512(bytes + 64);
  const __m512i t2 = _mm512_loadu_si512(bytes + 128), t3 = _mm512_loadu_si512(bytes + 192);
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    const __m512i v = _mm512_loadu_si512(x + i);
    // x >= 0 is the upper half of the table; vpermi2b takes the low 7 bits.
    const __m512i low = _mm512_permutex2var_epi8(t0, v, t1),
                  high = _mm512_permutex2var_epi8(t2, v, t3);
    _mm512_storeu_si512(y + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(v), high, low));
  }
  for (; i < n; ++i) y[i] = bytes[x[i] ^ 0x80];
}

// 27 to 47 elements a nanosecond measured on Ice Lake.
constexpr int kRate = 60;
constexpr Row kRows[] = {
    quantize_row<kRate>("lookup_avx512icl", "lookup", kPresetAvx512Icl, run_lookup<lookup_run>,
                        setup_linear),
};

}  // namespace

extern constinit const Table quantize_avx512icl;
constinit const Table quantize_avx512icl{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
