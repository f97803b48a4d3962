// The rows of quantize-inl.h, compiled for this preset. Without VBMI the table look-up is that of
// AVX2.
#include "kernels/quantize/lookup_avx2-inl.h"
#include "kernels/quantize/quantize-inl.h"
#include "kernels/quantize/quantize_avx512-inl.h"

namespace pyrt {
namespace {

constexpr FeatureMask kPreset = kPresetAvx512Vnni;
constexpr int kRate = 25;
constexpr Row kRows[] = {
    quantize_row<kRate>("cast_sign_avx512vnni", "cast_sign", kPreset, run_cast_sign, setup_linear),
    quantize_row<kRate>("dequantize_avx512vnni", "dequantize", kPreset, run_dequantize,
                        setup_channels),
    quantize_row<kRate>("dynamic_quantize_avx512vnni", "dynamic_quantize", kPreset,
                        run_dynamic<QuantizeAvx512>, setup_linear),
    quantize_row<kRate>("lookup_avx512vnni", "lookup", kPreset, run_lookup<lookup_run>,
                        setup_linear),
    quantize_row<kRate>("quantize_avx512vnni", "quantize", kPreset, run_quantize<QuantizeAvx512>,
                        setup_channels),
    quantize_row<kRate>("requantize_avx512vnni", "requantize", kPreset, run_requantize,
                        setup_linear),
};

}  // namespace

extern constinit const Table quantize_avx512vnni;
constinit const Table quantize_avx512vnni{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
