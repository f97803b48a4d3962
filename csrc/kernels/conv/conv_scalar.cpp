// conv and conv_transpose in plain loops: the specification of the s8 rows, and the fall-back of
// CPUs without a vector row. Activations are channels-last.
#include "kernels/common/epilogue-inl.h"
#include "kernels/conv/conv.h"

namespace pyrt {
namespace {

constexpr double kNsPerMac = 0.8;  // order of magnitude on Zen 3: any vector row must win
constexpr double kCallNs = 50;

const char* supports_f32(const Problem& problem) {
  return problem.as<ConvParams>().epilogue.integer ? "the operands are s8" : nullptr;
}
const char* supports_s8(const Problem& problem) {
  return problem.as<ConvParams>().epilogue.integer ? nullptr : "the operands are f32";
}

double cost_ns(const Problem& problem) {
  const auto& p = problem.as<ConvParams>();
  return kCallNs + kNsPerMac * static_cast<double>(p.B * p.OD * p.OH * p.OW) *
                       static_cast<double>(p.O) * static_cast<double>(p.K() + 1);
}

double transpose_cost_ns(const Problem& problem) {
  const auto& p = problem.as<ConvParams>();
  return kCallNs + 4 * kNsPerMac * static_cast<double>(p.B * p.OH * p.OW) *
                       static_cast<double>(p.O) * static_cast<double>(p.K() + 1);
}

int64_t tasks(const Problem& problem) {  // one row of output pixels each
  const auto& p = problem.as<ConvParams>();
  return p.B * p.OD * p.OH;
}

// T: element of x and w. Acc: uint32_t (modulo 2^32) or float.
template <class T, class Acc>
void run(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<ConvParams>();
  const Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
  const T* x = static_cast<const T*>(call.inputs[kInputX]);
  const T* w = static_cast<const T*>(call.inputs[kInputW]);
  const T zero_point = static_cast<T>(p.epilogue.x_zero_point);
  const int64_t Cg = p.C / p.group;
  const int64_t taps = p.taps();
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / p.OH / p.OD;
    const int64_t od = task / p.OH % p.OD;
    const int64_t oh = task % p.OH;
    for (int64_t i = 0; i < p.OW * p.O; ++i) {
      const int64_t ow = i / p.O;
      const int64_t o = i % p.O;
      const int64_t c0 = o / p.N() * Cg;
      Acc acc = 0;
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t t_d = t / p.kernel_w / p.kernel_h;
        const int64_t t_h = t / p.kernel_w % p.kernel_h;
        const int64_t id = od * p.stride_d - p.pad_d + t_d * p.dilation_d;
        const int64_t ih = oh * p.stride_h - p.pad_h + t_h * p.dilation_h;
        const int64_t iw = ow * p.stride_w - p.pad_w + t % p.kernel_w * p.dilation_w;
        if (id < 0 || id >= p.D || ih < 0 || ih >= p.H || iw < 0 || iw >= p.W) {
          continue;  // padding is real zero
        }
        const T* pixel = x + (((b * p.D + id) * p.H + ih) * p.W + iw) * p.C + c0;
        for (int64_t c = 0; c < Cg; ++c) {
          acc += static_cast<Acc>(pixel[c] - zero_point) *
                 static_cast<Acc>(w[(o * Cg + c) * taps + t]);
        }
      }
      const int64_t at = task * p.OW * p.O + i;
      if constexpr (sizeof(T) == 1) {
        finish_s32(e, acc, o, at);
      } else {
        finish_f32(e, acc, o, at);
      }
    }
  }
}

// The input coordinate that tap t adds to output coordinate `o`, or -1.
int64_t source(int64_t o, int64_t pad, int64_t t, int64_t dilation, int64_t stride, int64_t size) {
  const int64_t at = o + pad - t * dilation;
  return at >= 0 && at % stride == 0 && at / stride < size ? at / stride : -1;
}

void run_transpose(const Problem& problem, const Call& call, int64_t begin, int64_t end) {
  const auto& p = problem.as<ConvParams>();
  const Epilogue e = make_epilogue(p.epilogue, problem, call, nullptr);
  const float* x = static_cast<const float*>(call.inputs[kInputX]);
  const float* w = static_cast<const float*>(call.inputs[kInputW]);
  const int64_t Cg = p.C / p.group;
  const int64_t taps = p.kernel_h * p.kernel_w;
  for (int64_t task = begin; task < end; ++task) {
    const int64_t b = task / p.OH;
    const int64_t oh = task % p.OH;
    for (int64_t i = 0; i < p.OW * p.O; ++i) {
      const int64_t o = i % p.O;
      const int64_t c0 = o / p.N() * Cg;
      float acc = 0;
      for (int64_t t = 0; t < taps; ++t) {
        const int64_t ih = source(oh, p.pad_h, t / p.kernel_w, p.dilation_h, p.stride_h, p.H);
        const int64_t iw = source(i / p.O, p.pad_w, t % p.kernel_w, p.dilation_w, p.stride_w, p.W);
        if (ih < 0 || iw < 0) continue;
        const float* pixel = x + ((b * p.H + ih) * p.W + iw) * p.C + c0;
        for (int64_t c = 0; c < Cg; ++c) {
          acc += pixel[c] * w[((c0 + c) * p.N() + o % p.N()) * taps + t];
        }
      }
      finish_f32(e, acc, o, task * p.OW * p.O + i);
    }
  }
}

constexpr Row kRows[] = {
    {.name = "conv_f32_f32_f32_scalar",
     .family = "conv",
     .exactness = Exactness::kFast,
     .forms = FormRule::kChannelsLast,
     .supports = supports_f32,
     .cost_ns = cost_ns,
     .tasks = tasks,
     .run = run<float, float>},
    {.name = "conv_s8_s8_s32_scalar",
     .family = "conv",
     .exactness = Exactness::kExact,
     .forms = FormRule::kChannelsLast,
     .supports = supports_s8,
     .cost_ns = cost_ns,
     .tasks = tasks,
     .run = run<int8_t, uint32_t>},
    {.name = "conv_transpose_f32_f32_f32_scalar",
     .family = "conv_transpose",
     .exactness = Exactness::kFast,
     .forms = FormRule::kChannelsLast,
     .cost_ns = transpose_cost_ns,
     .tasks = tasks,
     .run = run_transpose},
};

}  // namespace

extern constinit const Table conv_scalar;
constinit const Table conv_scalar{kRows, sizeof(kRows) / sizeof(kRows[0])};

}  // namespace pyrt
