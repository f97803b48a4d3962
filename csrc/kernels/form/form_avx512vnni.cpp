// The rows of form-inl.h, compiled for this preset.
#include "kernels/form/form-inl.h"

namespace pyrt {
namespace {

constexpr FeatureMask kPreset = kPresetAvx512Vnni;
constexpr Row kRows[] = {
    cast_row("cast_avx512vnni", kPreset),
    concat_row("concat_avx512vnni", kPreset),
    copy_row("expand_avx512vnni", "expand", kPreset, FormRule::kPlain),
    copy_row("slice_avx512vnni", "slice", kPreset, FormRule::kFollow),
    copy_row("transpose_avx512vnni", "transpose", kPreset, FormRule::kPlain),
    form_row("fill_avx512vnni", "fill", kPreset, FormRule::kFollow, run_fill),
    gather_row("gather_avx512vnni", kPreset),
    pad_row_of("pad_avx512vnni", "pad", kPreset, FormRule::kFollow),
    pad_row_of("tile_avx512vnni", "tile", kPreset, FormRule::kPlain),
    resize_row("resize_linear_f32_avx512vnni", kPreset, Exactness::kCanonical),
    resize_row("resize_nearest_avx512vnni", kPreset, Exactness::kExact),
};

}  // namespace

extern constinit const Table form_avx512vnni;
constinit const Table form_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
