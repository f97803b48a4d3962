// The rows of elementwise-inl.h with vectors of 16 floats.
#include "kernels/elementwise/elementwise-inl.h"

namespace pyrt {
namespace {

constexpr Row kRows[] = {
    elementwise_row<Float16>("elementwise_canonical_avx512vnni", kPresetAvx512Vnni,
                             Exactness::kCanonical),
    elementwise_row<Float16>("elementwise_avx512vnni", kPresetAvx512Vnni, Exactness::kExact),
    qelementwise_row<Float16>("qelementwise_s8_avx512vnni", kPresetAvx512Vnni),
};

}  // namespace

extern constinit const Table elementwise_avx512vnni;
constinit const Table elementwise_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
