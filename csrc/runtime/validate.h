// What must hold before a Program may be bound: every step fits its family's schema, values are
// SSA, symbols are bound, constants have dims. Nothing here depends on the machine.
#pragma once

#include "base/status.h"
#include "runtime/program.h"

namespace pyrt {

// Checks the program and sets StepSpec::family. With `host` false, host steps are refused, all of
// them named.
Status validate_program(Program& program, bool host);

// The schema's entry for operand `index`, or null when the family has no such operand.
const OperandSpec* operand_spec(std::span<const OperandSpec> specs, size_t index);

}  // namespace pyrt
