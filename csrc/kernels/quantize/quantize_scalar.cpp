// The specification of the quantize families: one element at a time, by its coordinates in ONNX
// order.
#include "kernels/common/lanes-inl.h"
#include "kernels/common/loops-inl.h"
#include "kernels/quantize/quantize.h"

namespace pyrt {
namespace {

// Calls each(y_at, x_at, channel) for the outputs of tasks [begin, end).
template <class Each>
void for_each_element(const Problem& problem, int axis, int64_t begin, int64_t end,
                      const Each& each) {
  const Operand &x = problem.inputs[0], &y = problem.outputs[0];
  const size_t bytes = dtype_bytes(y.dtype);
  int order[kMaxRank] = {};
  int64_t strides[kMaxRank] = {};
  physical_order(y, order);
  x.strides(strides);
  const int64_t last = task_end(end, y.dims.count(), bytes);
  for (int64_t at = task_begin(begin, bytes); at < last; ++at) {
    int64_t x_at = 0, channel = 0, rest = at;
    for (int i = y.dims.rank - 1; i >= 0; --i) {
      const int64_t index = rest % y.dims[order[i]];
      rest /= y.dims[order[i]];
      x_at += index * strides[order[i]];
      if (order[i] == axis) channel = index;
    }
    each(at, x_at, channel);
  }
}

// f clamped, rounded half to even and moved to the zero point; NaN becomes the zero point.
int32_t quantized(float f, float lo, float hi, int32_t zero_point) {
  if (f != f) f = 0;
  if (f < lo) f = lo;
  if (f > hi) f = hi;
  return static_cast<int32_t>(round_even(f)) + zero_point;
}

void run_quantize(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const QuantizeParams& p = problem.as<QuantizeParams>();
  const float* x = static_cast<const float*>(call.inputs[0]);
  const float* scale = static_cast<const float*>(call.inputs[1]);
  int8_t* y = static_cast<int8_t*>(call.outputs[0]);
  for_each_element(problem, p.axis, begin, end, [&](int64_t at, int64_t x_at, int64_t channel) {
    y[at] = static_cast<int8_t>(quantized(x[x_at] / scale[channel], p.lo, p.hi, p.y_zero_point));
  });
}

void run_dequantize(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const QuantizeParams& p = problem.as<QuantizeParams>();
  const bool wide = problem.inputs[0].dtype == DType::kS32;
  const float* scale = static_cast<const float*>(call.inputs[1]);
  float* y = static_cast<float*>(call.outputs[0]);
  for_each_element(problem, p.axis, begin, end, [&](int64_t at, int64_t x_at, int64_t channel) {
    const int32_t x = wide ? static_cast<const int32_t*>(call.inputs[0])[x_at]
                           : static_cast<const int8_t*>(call.inputs[0])[x_at];
    const uint32_t difference = static_cast<uint32_t>(x) - static_cast<uint32_t>(p.x_zero_point);
    y[at] = static_cast<float>(static_cast<int32_t>(difference)) * scale[channel];
  });
}

void run_requantize(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const QuantizeParams& p = problem.as<QuantizeParams>();
  const int8_t* x = static_cast<const int8_t*>(call.inputs[0]);
  const float scale = *static_cast<const float*>(call.inputs[1]);
  int8_t* y = static_cast<int8_t*>(call.outputs[0]);
  for_each_element(problem, -1, begin, end, [&](int64_t at, int64_t x_at, int64_t) {
    const float f = static_cast<float>(x[x_at] - p.x_zero_point) * scale;
    y[at] = static_cast<int8_t>(quantized(f, p.lo, p.hi, p.y_zero_point));
  });
}

void run_lookup(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const int8_t* x = static_cast<const int8_t*>(call.inputs[0]);
  const int8_t* table = static_cast<const int8_t*>(call.inputs[1]);
  int8_t* y = static_cast<int8_t*>(call.outputs[0]);
  for_each_element(problem, -1, begin, end,
                   [&](int64_t at, int64_t x_at, int64_t) { y[at] = table[x[x_at] + 128]; });
}

void run_cast_sign(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const uint8_t* x = static_cast<const uint8_t*>(call.inputs[0]);
  uint8_t* y = static_cast<uint8_t*>(call.outputs[0]);
  for_each_element(problem, -1, begin, end, [&](int64_t at, int64_t x_at, int64_t) {
    y[at] = static_cast<uint8_t>(x[x_at] ^ 0x80);
  });
}

void run_dynamic(const Problem& problem, const Call& call, int64_t, int64_t) {
  const float* x = static_cast<const float*>(call.inputs[0]);
  uint8_t* y = static_cast<uint8_t*>(call.outputs[0]);
  const int64_t tasks = output_tasks(problem);
  float lo = 0, hi = 0;
  for_each_element(problem, -1, 0, tasks, [&](int64_t, int64_t x_at, int64_t) {
    if (x[x_at] < lo) lo = x[x_at];
    if (x[x_at] > hi) hi = x[x_at];
  });
  float scale = (hi - lo) / 255.0f;
  if (scale == 0.0f) scale = 1.0f;
  const int32_t zero_point = quantized((0.0f - lo) / scale, 0.0f, 255.0f, 0);
  const float least = static_cast<float>(-zero_point), most = static_cast<float>(255 - zero_point);
  for_each_element(problem, -1, 0, tasks, [&](int64_t at, int64_t x_at, int64_t) {
    y[at] = static_cast<uint8_t>(quantized(x[x_at] / scale, least, most, zero_point));
  });
  *static_cast<float*>(call.outputs[1]) = scale;
  *static_cast<uint8_t*>(call.outputs[2]) = static_cast<uint8_t>(zero_point);
}

double cost(const Problem& problem) {
  return 60 + 6.0 * static_cast<double>(problem.outputs[0].dims.count());
}

using RunFn = void (*)(const Problem&, const Call&, int64_t, int64_t);
constexpr Row row(std::string_view name, std::string_view family, RunFn run,
                  int64_t (*tasks)(const Problem&) = output_tasks) {
  return {.name = name,
          .family = family,
          .forms = FormRule::kFollow,
          .cost_ns = cost,
          .tasks = tasks,
          .run = run};
}

constexpr Row kRows[] = {
    row("cast_sign_scalar", "cast_sign", run_cast_sign),
    row("dequantize_scalar", "dequantize", run_dequantize),
    row("dynamic_quantize_scalar", "dynamic_quantize", run_dynamic, nullptr),
    row("lookup_scalar", "lookup", run_lookup),
    row("quantize_scalar", "quantize", run_quantize),
    row("requantize_scalar", "requantize", run_requantize),
};

}  // namespace

extern constinit const Table quantize_scalar;
constinit const Table quantize_scalar{kRows, sizeof(kRows) / sizeof(Row)};

}  // namespace pyrt
