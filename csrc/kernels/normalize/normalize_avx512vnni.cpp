// The rows of normalize-inl.h with vectors of 16 floats.
#include "kernels/normalize/normalize-inl.h"

namespace pyrt {
namespace {

constexpr Row kRows[] = {
    norm_row_of<Float16, true>("group_norm_f32_avx512vnni", kPresetAvx512Vnni),
    norm_row_of<Float16, false>("layer_norm_f32_avx512vnni", kPresetAvx512Vnni),
    softmax_row_of<Float16>("softmax_f32_avx512vnni", kPresetAvx512Vnni),
};

}  // namespace

extern constinit const Table normalize_avx512vnni;
constinit const Table normalize_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
