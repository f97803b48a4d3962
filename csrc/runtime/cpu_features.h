// Which instructions this CPU and its operating system run, and how presets mask them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/isa.h"
#include "base/status.h"

namespace pyrt {

// All features of the machine; probed once.
FeatureMask cpu_features();

// The machine's features masked to those of the preset `isa`; all of them when it is empty.
// UnsupportedError when there is no such preset or the CPU lacks one of its bits.
Result<FeatureMask> resolve_isa(std::string_view isa);

// `isa`, or the environment variable PYRUNTIME_ISA when it is empty, resolved.
Result<FeatureMask> resolve_isa_or_environment(std::string_view isa);

// Presets whose bits the machine has, from the least to the most capable.
std::vector<std::string_view> runnable_presets();

std::string cpu_model_name();

// Names of the bits in `mask`, e.g. "avx2 fma".
std::vector<std::string_view> feature_names(FeatureMask mask);

}  // namespace pyrt
