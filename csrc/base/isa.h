// CPU feature bits and the presets a translation unit can be built for (one row each).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace pyrt {

using FeatureMask = uint64_t;

enum Feature : FeatureMask {
  // x86 (CPUID, with the operating system's register state checked by XGETBV)
  kAvx2 = 1ull << 0,
  kFma = 1ull << 1,
  kF16c = 1ull << 2,
  kBmi2 = 1ull << 3,
  kAvxVnni = 1ull << 4,
  kAvx512F = 1ull << 8,
  kAvx512Bw = 1ull << 9,
  kAvx512Dq = 1ull << 10,
  kAvx512Vl = 1ull << 11,
  kAvx512Vnni = 1ull << 12,
  kAvx512Vbmi = 1ull << 13,
  kAvx512Vbmi2 = 1ull << 14,
  kAvx512Bitalg = 1ull << 15,
  kAvx512Vpopcntdq = 1ull << 16,
  kAvx512Bf16 = 1ull << 17,
  // ARM (hwcap)
  kNeon = 1ull << 32,
  kNeonDot = 1ull << 33,
  kNeonI8mm = 1ull << 34,
  kNeonFp16 = 1ull << 35,
};

inline constexpr FeatureMask kPresetScalar = 0;
inline constexpr FeatureMask kPresetAvx2 = kAvx2 | kFma | kF16c | kBmi2;
inline constexpr FeatureMask kPresetAvxVnni = kPresetAvx2 | kAvxVnni;
inline constexpr FeatureMask kPresetAvx512 =
    kPresetAvx2 | kAvx512F | kAvx512Bw | kAvx512Dq | kAvx512Vl;
inline constexpr FeatureMask kPresetAvx512Vnni = kPresetAvx512 | kAvx512Vnni;
inline constexpr FeatureMask kPresetAvx512Icl =
    kPresetAvx512Vnni | kAvx512Vbmi | kAvx512Vbmi2 | kAvx512Bitalg | kAvx512Vpopcntdq;

struct Preset {
  std::string_view name;  // value of PYRUNTIME_ISA
  FeatureMask features;
};

// A partial order by inclusion of feature bits; listed from the least to the most capable.
inline constexpr Preset kPresets[] = {
    {"scalar", kPresetScalar},         {"avx2", kPresetAvx2},
    {"avxvnni", kPresetAvxVnni},       {"avx512", kPresetAvx512},
    {"avx512vnni", kPresetAvx512Vnni}, {"avx512icl", kPresetAvx512Icl},
};
inline constexpr size_t kPresetCount = sizeof(kPresets) / sizeof(kPresets[0]);

}  // namespace pyrt
