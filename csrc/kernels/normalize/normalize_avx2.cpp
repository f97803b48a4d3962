// The rows of normalize-inl.h with vectors of 8 floats.
#include "kernels/normalize/normalize-inl.h"

namespace pyrt {
namespace {

constexpr Row kRows[] = {
    norm_row_of<Float8, true>("group_norm_f32_avx2", kPresetAvx2),
    norm_row_of<Float8, false>("layer_norm_f32_avx2", kPresetAvx2),
    softmax_row_of<Float8>("softmax_f32_avx2", kPresetAvx2),
};

}  // namespace

extern constinit const Table normalize_avx2;
constinit const Table normalize_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
