// The rows of reduce-inl.h with vectors of 16 floats.
#include "kernels/reduce/reduce-inl.h"

namespace pyrt {
namespace {

constexpr Row kRows[] = {
    arg_reduce_row("arg_reduce_avx512vnni", kPresetAvx512Vnni),
    reduce_row_of<Float16>("reduce_canonical_f32_avx512vnni", kPresetAvx512Vnni,
                           Exactness::kCanonical),
    reduce_row_of<Float16>("reduce_avx512vnni", kPresetAvx512Vnni, Exactness::kExact),
};

}  // namespace

extern constinit const Table reduce_avx512vnni;
constinit const Table reduce_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
