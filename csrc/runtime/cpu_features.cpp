#include "runtime/cpu_features.h"

#include <cstdio>
#include <cstring>

#include "runtime/os.h"

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__linux__) && (defined(__aarch64__) || defined(__arm__))
#include <sys/auxv.h>
#endif

namespace pyrt {
namespace {

struct FeatureName {
  FeatureMask bit;
  std::string_view name;
};
constexpr FeatureName kFeatureNames[] = {
    {kAvx2, "avx2"},
    {kFma, "fma"},
    {kF16c, "f16c"},
    {kBmi2, "bmi2"},
    {kAvxVnni, "avxvnni"},
    {kAvx512F, "avx512f"},
    {kAvx512Bw, "avx512bw"},
    {kAvx512Dq, "avx512dq"},
    {kAvx512Vl, "avx512vl"},
    {kAvx512Vnni, "avx512vnni"},
    {kAvx512Vbmi, "avx512vbmi"},
    {kAvx512Vbmi2, "avx512vbmi2"},
    {kAvx512Bitalg, "avx512bitalg"},
    {kAvx512Vpopcntdq, "avx512vpopcntdq"},
    {kAvx512Bf16, "avx512bf16"},
    {kNeon, "neon"},
    {kNeonDot, "neon_dot"},
    {kNeonI8mm, "neon_i8mm"},
    {kNeonFp16, "neon_fp16"},
};

#if defined(__x86_64__) || defined(__i386__)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  // Signed in clang's header, unsigned in g++'s.
  if (static_cast<uint32_t>(__get_cpuid_max(leaf & 0x80000000u, nullptr)) < leaf) return r;
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
  return r;
}

uint64_t xgetbv() {
  uint32_t low = 0;
  uint32_t high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<uint64_t>(high) << 32) | low;
}

bool bit(uint32_t value, int index) { return ((value >> index) & 1u) != 0; }

// Intel SDM volume 2, CPUID. XCR0: bits 1, 2 are the SSE and AVX state; 5, 6, 7 the AVX-512 state.
FeatureMask probe() {
  const Registers leaf1 = cpuid(1, 0);
  const bool os_saves_state = bit(leaf1.ecx, 27);
  if (!os_saves_state || !bit(leaf1.ecx, 28)) return 0;
  const uint64_t xcr0 = xgetbv();
  if ((xcr0 & 0x06) != 0x06) return 0;
  const Registers leaf7 = cpuid(7, 0);
  const Registers leaf7_1 = cpuid(7, 1);
  FeatureMask mask = 0;
  const auto add = [&mask](bool present, FeatureMask feature) { mask |= present ? feature : 0; };
  add(bit(leaf1.ecx, 12), kFma);
  add(bit(leaf1.ecx, 29), kF16c);
  add(bit(leaf7.ebx, 5), kAvx2);
  add(bit(leaf7.ebx, 8), kBmi2);
  add(bit(leaf7_1.eax, 4), kAvxVnni);
  if ((xcr0 & 0xe6) != 0xe6 || !bit(leaf7.ebx, 16)) return mask;
  add(true, kAvx512F);
  add(bit(leaf7.ebx, 17), kAvx512Dq);
  add(bit(leaf7.ebx, 30), kAvx512Bw);
  add(bit(leaf7.ebx, 31), kAvx512Vl);
  add(bit(leaf7.ecx, 11), kAvx512Vnni);
  add(bit(leaf7.ecx, 1), kAvx512Vbmi);
  add(bit(leaf7.ecx, 6), kAvx512Vbmi2);
  add(bit(leaf7.ecx, 12), kAvx512Bitalg);
  add(bit(leaf7.ecx, 14), kAvx512Vpopcntdq);
  add(bit(leaf7_1.eax, 5), kAvx512Bf16);
  return mask;
}

#elif defined(__linux__) && defined(__aarch64__)

// Bits from Linux's arch/arm64/include/uapi/asm/hwcap.h.
FeatureMask probe() {
  const unsigned long hwcap = getauxval(AT_HWCAP);
  const unsigned long hwcap2 = getauxval(AT_HWCAP2);
  FeatureMask mask = 0;
  if ((hwcap & (1ul << 1)) != 0) mask |= kNeon;                                    // ASIMD
  if ((hwcap & (1ul << 20)) != 0) mask |= kNeonDot;                                // ASIMDDP
  if ((hwcap2 & (1ul << 13)) != 0) mask |= kNeonI8mm;                              // I8MM
  if ((hwcap & (1ul << 9)) != 0 && (hwcap & (1ul << 10)) != 0) mask |= kNeonFp16;  // FPHP, ASIMDHP
  return mask;
}

#elif defined(__linux__) && defined(__arm__)

FeatureMask probe() {
  return (getauxval(AT_HWCAP) & (1ul << 12)) != 0 ? FeatureMask{kNeon}
                                                  : FeatureMask{0};  // HWCAP_NEON
}

#else

FeatureMask probe() { return 0; }

#endif

std::string join(const std::vector<std::string_view>& names) {
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace

FeatureMask cpu_features() {
  static const FeatureMask features = probe();
  return features;
}

Result<FeatureMask> resolve_isa(std::string_view isa) {
  if (isa.empty()) return cpu_features();
  for (const Preset& preset : kPresets) {
    if (preset.name != isa) continue;
    const FeatureMask missing = preset.features & ~cpu_features();
    if (missing == 0) return preset.features;
    return Status(Code::kUnsupported, "isa '" + std::string(isa) + "': this CPU lacks " +
                                          join(feature_names(missing)) + "; it runs " +
                                          join(runnable_presets()));
  }
  return Status(Code::kUnsupported, "unknown isa '" + std::string(isa) + "'; this CPU runs " +
                                        join(runnable_presets()));
}

Result<FeatureMask> resolve_isa_or_environment(std::string_view isa) {
  if (!isa.empty()) return resolve_isa(isa);
  const std::string value = environment("PYRUNTIME_ISA");
  Result<FeatureMask> result = resolve_isa(value);
  if (!result.ok()) return result.status().at("PYRUNTIME_ISA");
  return result;
}

std::vector<std::string_view> runnable_presets() {
  std::vector<std::string_view> names;
  for (const Preset& preset : kPresets) {
    if ((preset.features & ~cpu_features()) == 0) names.push_back(preset.name);
  }
  return names;
}

std::string cpu_model_name() {
#if defined(__x86_64__) || defined(__i386__)
  char brand[49] = {};
  for (uint32_t i = 0; i < 3; ++i) {
    const Registers r = cpuid(0x80000002u + i, 0);
    std::memcpy(brand + 16 * i, &r, sizeof(r));
  }
  std::string name(brand);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  return name;
#else
  // ARM kernels name the board here; /proc/cpuinfo often holds numbers only.
  std::string name = "ARM";
  if (std::FILE* file = std::fopen("/proc/device-tree/model", "re")) {
    char text[128] = {};
    if (std::fgets(text, sizeof(text), file) != nullptr) name = text;
    std::fclose(file);
  }
  return name;
#endif
}

std::vector<std::string_view> feature_names(FeatureMask mask) {
  std::vector<std::string_view> names;
  for (const FeatureName& feature : kFeatureNames) {
    if ((mask & feature.bit) != 0) names.push_back(feature.name);
  }
  return names;
}

}  // namespace pyrt
