// The rows of quantize-inl.h, compiled for this preset.
#include "kernels/quantize/lookup_avx2-inl.h"
#include "kernels/quantize/quantize-inl.h"
#include "kernels/quantize/quantize_avx2-inl.h"

namespace pyrt {
namespace {

constexpr FeatureMask kPreset = kPresetAvx2;
constexpr int kRate = 15;
constexpr Row kRows[] = {
    quantize_row<kRate>("cast_sign_avx2", "cast_sign", kPreset, run_cast_sign, setup_linear),
    quantize_row<kRate>("dequantize_avx2", "dequantize", kPreset, run_dequantize, setup_channels),
    quantize_row<kRate>("dynamic_quantize_avx2", "dynamic_quantize", kPreset,
                        run_dynamic<QuantizeAvx2>, setup_linear),
    quantize_row<kRate>("lookup_avx2", "lookup", kPreset, run_lookup<lookup_run>, setup_linear),
    quantize_row<kRate>("quantize_avx2", "quantize", kPreset, run_quantize<QuantizeAvx2>,
                        setup_channels),
    quantize_row<kRate>("requantize_avx2", "requantize", kPreset, run_requantize, setup_linear),
};

}  // namespace

extern constinit const Table quantize_avx2;
constinit const Table quantize_avx2{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
