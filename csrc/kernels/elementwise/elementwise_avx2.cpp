// The rows of elementwise-inl.h with vectors of 8 floats.
#include "kernels/elementwise/elementwise-inl.h"

namespace pyrt {
namespace {

constexpr Row kRows[] = {
    elementwise_row<Float8>("elementwise_canonical_avx2", kPresetAvx2, Exactness::kCanonical),
    elementwise_row<Float8>("elementwise_avx2", kPresetAvx2, Exactness::kExact),
    qelementwise_row<Float8>("qelementwise_s8_avx2", kPresetAvx2),
};

}  // namespace

extern constinit const Table elementwise_avx2;
constinit const Table elementwise_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
