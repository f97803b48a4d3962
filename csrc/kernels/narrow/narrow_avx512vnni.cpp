// Narrow rows for AVX-512 with VNNI.
#include "kernels/common/epilogue_avx512-inl.h"
#include "kernels/narrow/narrow_vnni-inl.h"

namespace pyrt {
namespace {

struct NarrowZmm {
  // A GNU vector: g++ 12 spills arrays of __m512i when shifts follow the loop.
  using Register [[gnu::may_alias]] = int32_t __attribute__((vector_size(64)));
  static constexpr int kRegisters = 1;  // of a panel
  static constexpr int kAccumulators = 16;

  PYRT_INLINE static Register load(const uint8_t* from) {
    auto value = reinterpret_cast<Register>(_mm512_loadu_si512(from));
#if !defined(PYRT_EMULATE_AVX512)
    asm("" : "+v"(value));  // else g++ 12 loads it again for every mask
#endif
    return value;
  }
  PYRT_INLINE static Register broadcast(int32_t four) {
    return reinterpret_cast<Register>(_mm512_set1_epi32(four));
  }
  PYRT_INLINE static Register dot(Register sum, Register u, Register a) {
    return reinterpret_cast<Register>(_mm512_dpbusd_epi32(reinterpret_cast<__m512i>(sum),
                                                          reinterpret_cast<__m512i>(u),
                                                          reinterpret_cast<__m512i>(a)));
  }
  PYRT_INLINE static void store(int32_t* to, Register value) {
    _mm512_storeu_si512(to, reinterpret_cast<__m512i>(value));
  }
  static void finish(const Epilogue& e, const int32_t* acc, int ldacc, int rows, int columns,
                     int64_t n, int64_t at, int64_t ldy) {
    finish_s32_avx512(e, acc, ldacc, rows, columns, n, at, ldy);
  }
};
using Avx512Narrow = VnniNarrow<NarrowZmm>;

// Zen 4 at 3.4 GHz: bound by reading weights at 4 bits, by vpdpbusd (220 at its peak) at 2 and 1.
constexpr NarrowRates kRates{92, 210, 0.3, 60};

template <int kBits>
double cost_ns(const Problem& p) {
  return narrow_cost_ns<Avx512Narrow, kBits>(kRates, p);
}

constexpr Row kRows[] = {
    narrow_row<Avx512Narrow, 4>("gemm_s8_u4_s32_4x64x8_avx512vnni", kPresetAvx512Vnni, cost_ns<4>),
    narrow_row<Avx512Narrow, 2>("gemm_s8_u2_s32_4x64x16_avx512vnni", kPresetAvx512Vnni, cost_ns<2>),
    narrow_row<Avx512Narrow, 1>("gemm_s8_u1_s32_2x32x32_avx512vnni", kPresetAvx512Vnni, cost_ns<1>),
};

}  // namespace

extern constinit const Table narrow_avx512vnni;
constinit const Table narrow_avx512vnni{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
