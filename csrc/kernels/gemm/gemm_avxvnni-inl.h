// The AVX-VNNI arithmetic of the product engine: vpdpbusd in VEX form.
#pragma once

#include "kernels/gemm/vnni_ymm-inl.h"

namespace pyrt {
namespace {

struct DotVex {
  PYRT_INLINE static __m256i dot(__m256i sum, __m256i a, __m256i w) {
    return _mm256_dpbusd_avx_epi32(sum, a, w);
  }
};
using AvxVnniS8 = VnniS8<VnniYmm<DotVex, 16>>;

}  // namespace
}  // namespace pyrt
