// The rows of form-inl.h, compiled for this preset.
#include "kernels/form/form-inl.h"

namespace pyrt {
namespace {

constexpr FeatureMask kPreset = kPresetAvx2;
constexpr Row kRows[] = {
    cast_row("cast_avx2", kPreset),
    concat_row("concat_avx2", kPreset),
    copy_row("expand_avx2", "expand", kPreset, FormRule::kPlain),
    copy_row("slice_avx2", "slice", kPreset, FormRule::kFollow),
    copy_row("transpose_avx2", "transpose", kPreset, FormRule::kPlain),
    form_row("fill_avx2", "fill", kPreset, FormRule::kFollow, run_fill),
    gather_row("gather_avx2", kPreset),
    pad_row_of("pad_avx2", "pad", kPreset, FormRule::kFollow),
    pad_row_of("tile_avx2", "tile", kPreset, FormRule::kPlain),
    resize_row("resize_linear_f32_avx2", kPreset, Exactness::kCanonical),
    resize_row("resize_nearest_avx2", kPreset, Exactness::kExact),
};

}  // namespace

extern constinit const Table form_avx2;
constinit const Table form_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
