// What bind measures of constant weights before rows are chosen.
#pragma once

#include "base/dtype.h"
#include "kernels/kernel.h"

namespace pyrt {

// `weights`: view.N * view.K() elements of s8, f16 or f32; other types give only `count`. Blocks
// are counted where at least an eighth of the weights are zero; elsewhere all count as non-zero.
WeightFacts measure_weights(const void* weights, DType dtype, const WeightView& view);

}  // namespace pyrt
