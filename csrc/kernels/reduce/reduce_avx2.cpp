// The rows of reduce-inl.h with vectors of 8 floats.
#include "kernels/reduce/reduce-inl.h"

namespace pyrt {
namespace {

constexpr Row kRows[] = {
    arg_reduce_row("arg_reduce_avx2", kPresetAvx2),
    reduce_row_of<Float8>("reduce_canonical_f32_avx2", kPresetAvx2, Exactness::kCanonical),
    reduce_row_of<Float8>("reduce_avx2", kPresetAvx2, Exactness::kExact),
};

}  // namespace

extern constinit const Table reduce_avx2;
constinit const Table reduce_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
