// conv and conv_transpose: every row against the scalar one, the scalar one against a reference,
// and hostile steps.
#include <cmath>

#include "harness.h"

namespace pyrt::test {
namespace {

struct Conv {
  int64_t B, C, H, W, O;
  int64_t kernel_h, kernel_w;
  int64_t stride, pad, dilation, group;

  int64_t out(int64_t size, int64_t kernel) const {
    const int64_t room = size + 2 * pad - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
  }
  std::vector<int64_t> y() const { return {B, O, out(H, kernel_h), out(W, kernel_w)}; }
  std::string name() const {
    return std::to_string(B) + "x" + std::to_string(C) + "x" + std::to_string(H) + "x" +
           std::to_string(W) + " -> " + std::to_string(O) + " k" + std::to_string(kernel_h) + "x" +
           std::to_string(kernel_w) + " s" + std::to_string(stride) + " p" + std::to_string(pad) +
           " d" + std::to_string(dilation) + " g" + std::to_string(group);
  }
  void attributes(Step* step) const {
    step->set("strides", std::vector{stride, stride}).set("group", group);
    step->set("pads", std::vector{pad, pad, pad, pad});
    step->set("dilations", std::vector{dilation, dilation});
  }
};

const Conv kConvs[] = {{1, 1, 1, 1, 1, 1, 1, 1, 0, 1, 1},
                       {2, 8, 5, 7, 17, 1, 1, 1, 0, 1, 1},
                       {1, 3, 13, 11, 16, 3, 3, 2, 1, 1, 1},
                       {1, 1, 9, 9, 5, 5, 5, 1, 2, 1, 1},
                       {2, 5, 6, 9, 33, 3, 2, 1, 1, 2, 1},
                       {1, 16, 8, 8, 32, 3, 3, 1, 1, 1, 1},
                       {1, 12, 7, 5, 18, 3, 3, 1, 1, 1, 3},
                       {1, 8, 6, 6, 8, 1, 1, 1, 0, 1, 2},
                       {1, 4, 4, 4, 6, 1, 1, 2, 0, 1, 1},
                       {1, 2, 3, 3, 4, 3, 3, 1, 4, 1, 1},
                       {0, 2, 3, 3, 4, 3, 3, 1, 1, 1, 1},
                       {1, 4, 2, 2, 4, 3, 3, 1, 0, 1, 1},
                       {1, 3, 23, 19, 20, 7, 7, 2, 3, 1, 1},
                       {1, 64, 10, 10, 70, 3, 3, 1, 1, 1, 1},
                       // blocks over several images, parts of a line, gaps between lines
                       {5, 20, 7, 7, 17, 3, 3, 1, 1, 1, 1},
                       {4, 6, 9, 8, 18, 3, 3, 3, 1, 2, 2},
                       {2, 64, 3, 700, 16, 3, 3, 1, 1, 1, 1},
                       {1, 48, 6, 900, 16, 3, 3, 2, 0, 3, 1},
                       {3, 24, 17, 11, 8, 2, 2, 5, 3, 1, 1},
                       {2, 8, 9, 9, 24, 1, 1, 2, 1, 1, 2},
                       {1, 8, 12, 14, 24, 3, 4, 2, 0, 1, 1},
                       // a last panel of 8 columns
                       {2, 16, 6, 7, 24, 1, 1, 1, 0, 1, 1},
                       {1, 5, 9, 9, 8, 3, 3, 2, 1, 1, 1},
                       // Winograd: whole and partial tiles, unequal paddings below, several blocks
                       {1, 8, 4, 4, 8, 3, 3, 1, 0, 1, 1},
                       {2, 24, 9, 14, 40, 3, 3, 1, 1, 1, 1},
                       {1, 16, 33, 61, 24, 3, 3, 1, 2, 1, 1},
                       {3, 128, 7, 7, 72, 3, 3, 1, 1, 1, 1},
                       // depthwise: one and several outputs per channel, strides, dilation,
                       // channels around 8, 16 and 32
                       {1, 16, 7, 9, 16, 3, 3, 1, 1, 1, 16},
                       {2, 33, 6, 5, 33, 3, 3, 2, 1, 1, 33},
                       {1, 8, 9, 9, 8, 5, 5, 1, 2, 1, 8},
                       {1, 40, 8, 8, 40, 3, 3, 1, 2, 2, 40},
                       {1, 6, 5, 5, 12, 3, 3, 1, 1, 1, 6},
                       {1, 7, 4, 4, 7, 1, 2, 1, 1, 1, 7},
                       {1, 24, 1, 12, 24, 1, 4, 1, 0, 1, 24},
                       {1, 130, 3, 3, 130, 3, 3, 1, 1, 1, 130},
                       // wider than a tile, several bands, multipliers across blocks of 16, even
                       // and one-row kernels, far-apart taps
                       {1, 16, 70, 70, 16, 3, 3, 1, 1, 1, 16},
                       {1, 20, 40, 68, 20, 3, 3, 2, 1, 1, 20},
                       {1, 16, 5, 72, 16, 5, 5, 2, 2, 1, 16},
                       {2, 24, 5, 6, 72, 3, 3, 1, 1, 1, 24},
                       {1, 17, 6, 5, 34, 2, 4, 1, 1, 2, 17},
                       {1, 16, 1, 90, 16, 1, 7, 1, 0, 1, 16},
                       {1, 18, 20, 20, 18, 3, 3, 1, 9, 9, 18}};

}  // namespace

PYRT_TEST(conv_scalar_matches_double) {
  Random random(10);
  for (const Conv& c : kConvs) {
    const int64_t Cg = c.C / c.group;
    const Tensor x = random.f32({c.B, c.C, c.H, c.W});
    const Tensor w = random.f32({c.O, Cg, c.kernel_h, c.kernel_w});
    Step step("conv");
    step.input(x).input(w, Role::kConstant).output(DType::kF32, c.y());
    c.attributes(&step);
    const Tensor y = step.scalar_output();
    const int64_t OH = c.y()[2];
    const int64_t OW = c.y()[3];
    for (int64_t i = 0; i < y.dims.count(); ++i) {
      const int64_t o = i / (OH * OW) % c.O;
      double sum = 0;
      for (int64_t k = 0; k < Cg * c.kernel_h * c.kernel_w; ++k) {
        const int64_t channel = o / (c.O / c.group) * Cg + k / (c.kernel_h * c.kernel_w);
        const int64_t h = i / OW % OH * c.stride - c.pad + k / c.kernel_w % c.kernel_h * c.dilation;
        const int64_t v = i % OW * c.stride - c.pad + k % c.kernel_w * c.dilation;
        if (h < 0 || h >= c.H || v < 0 || v >= c.W) continue;
        const int64_t b = i / (c.O * OH * OW);
        sum += double{x.data<float>()[((b * c.C + channel) * c.H + h) * c.W + v]} *
               w.data<float>()[o * Cg * c.kernel_h * c.kernel_w + k];
      }
      expect(std::abs(sum - y.data<float>()[i]) < 1e-4, c.name() + ": scalar conv is off");
    }
  }
}

PYRT_TEST(conv_f32_rows) {
  Random random(11);
  for (const Conv& c : kConvs) {
    for (int variant = 0; variant < 3; ++variant) {
      Step step("conv");
      step.input(random.f32({c.B, c.C, c.H, c.W}));
      step.input(random.f32({c.O, c.C / c.group, c.kernel_h, c.kernel_w}), Role::kConstant);
      c.attributes(&step);
      if (variant > 0) step.input(random.f32({c.O}), Role::kConstant).absent();
      if (variant > 1) step.input(random.f32(c.y())).set("lo", 0.0).set("hi", 1.5);
      step.output(DType::kF32, c.y());
      const double K = static_cast<double>(c.C / c.group * c.kernel_h * c.kernel_w);
      step.allow("winograd", 2);  // docs/numerics.md
      step.check_rows(c.name(), 2e-6, 1 + std::sqrt(K));
    }
  }
}

PYRT_TEST(conv_s8_rows) {
  Random random(12);
  for (const Conv& c : kConvs) {
    for (int variant = 0; variant < 7; ++variant) {
      const float typical =
          1.0f / (60.0f * std::sqrt(static_cast<float>(c.C / c.group * c.kernel_h * c.kernel_w)));
      const int64_t least = variant == 6 ? -128 : -127;
      const int64_t most = variant == 6 ? -128 : 127;
      Step step("conv");
      step.input(random.s8({c.B, c.C, c.H, c.W}, least, most));
      step.input(random.s8({c.O, c.C / c.group, c.kernel_h, c.kernel_w}, least, most),
                 Role::kConstant);
      c.attributes(&step);
      step.set("x_zero_point", variant == 6 ? int64_t{127} : random.integer(-128, 127));
      step.set("y_zero_point", random.integer(-128, 127));
      if (variant % 2 == 0) {
        step.input(random.s32({c.O}, -3000, 3000), Role::kConstant);
      } else {
        step.absent();
      }
      DType out = DType::kS32;
      if (variant > 0) {
        out = variant == 3 ? DType::kF32 : DType::kS8;
        step.input(random.f32({variant % 2 == 0 ? c.O : 1}, typical / 2, typical * 2),
                   Role::kConstant);
      }
      if (variant == 4 || variant == 5) {
        step.input(random.s8(c.y())).input(random.f32({1}, 0.3f, 2), Role::kConstant);
        step.set("residual_zero_point", random.integer(-128, 127));
        step.set("q_lo", int64_t{-100}).set("q_hi", int64_t{90});
      }
      step.output(out, c.y());
      step.check_rows(c.name() + " variant " + std::to_string(variant));
    }
  }
}

PYRT_TEST(conv_by_computed_weights) {
  Random random(16);
  const Conv convs[] = {{2, 8, 5, 7, 17, 1, 1, 1, 0, 1, 1},   {1, 16, 8, 8, 100, 3, 3, 1, 1, 1, 1},
                        {1, 12, 7, 5, 18, 3, 3, 2, 1, 1, 3},  {2, 256, 5, 5, 90, 3, 3, 1, 1, 1, 1},
                        {1, 33, 6, 5, 33, 3, 3, 2, 1, 1, 33}, {1, 8, 9, 9, 24, 3, 3, 1, 2, 2, 1}};
  for (const Conv& c : convs) {
    const std::vector<int64_t> w = {c.O, c.C / c.group, c.kernel_h, c.kernel_w};
    Step real("conv");
    real.input(random.f32({c.B, c.C, c.H, c.W})).input(random.f32(w)).input(random.f32({c.O}));
    c.attributes(&real);
    real.output(DType::kF32, c.y());
    real.check_rows(c.name(), 2e-6,
                    1 + std::sqrt(static_cast<double>(w[1] * c.kernel_h * c.kernel_w)));
    Step quantized("conv");
    quantized.input(random.s8({c.B, c.C, c.H, c.W})).input(random.s8(w)).absent();
    quantized.input(random.f32({c.O}, 0.0005f, 0.001f), Role::kConstant);
    c.attributes(&quantized);
    quantized.set("x_zero_point", int64_t{5}).output(DType::kS8, c.y());
    quantized.check_rows(c.name());
  }
}

PYRT_TEST(conv_of_sequences) {
  Random random(13);
  for (const int64_t group : {int64_t{1}, int64_t{12}}) {
    Step real("conv");
    real.input(random.f32({2, 12, 30})).input(random.f32({24, 12 / group, 5}), Role::kConstant);
    real.set("pads", std::vector<int64_t>{4, 0})
        .set("group", group)
        .output(DType::kF32, {2, 24, 30});
    real.set("kernel", std::vector<int64_t>{5});
    real.check_rows("f32 sequence", 2e-6, 8);
    Step quantized("conv");
    quantized.input(random.s8({2, 12, 30})).input(random.s8({24, 12 / group, 5}), Role::kConstant);
    quantized.absent().input(random.f32({24}, 0.001f, 0.002f), Role::kConstant);
    quantized.set("pads", std::vector<int64_t>{4, 0}).set("group", group);
    quantized.set("x_zero_point", int64_t{-11}).output(DType::kS8, {2, 24, 30});
    quantized.check_rows("s8 sequence");
  }
}

PYRT_TEST(conv_of_volumes) {
  Random random(15);
  struct Volume {
    int64_t B, C, D, H, W, O;
    std::vector<int64_t> kernel, strides, pads, dilations;
    int64_t group;
  };
  const Volume volumes[] = {
      {1, 3, 5, 6, 7, 20, {3, 3, 3}, {1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1}, 1},
      {2, 8, 6, 5, 4, 24, {2, 3, 1}, {1, 2, 1}, {0, 1, 0, 1, 0, 0}, {1, 1, 1}, 1},
      {2, 4, 9, 7, 8, 16, {3, 2, 3}, {2, 3, 1}, {1, 0, 2, 2, 1, 0}, {2, 1, 2}, 2},
      {3, 16, 2, 4, 5, 18, {1, 1, 1}, {1, 1, 1}, {0, 0, 0, 0, 0, 0}, {1, 1, 1}, 1},
      {1, 16, 5, 4, 5, 8, {1, 1, 1}, {2, 2, 1}, {0, 0, 0, 0, 0, 0}, {1, 1, 1}, 1},
      {1, 24, 6, 9, 80, 16, {3, 3, 3}, {1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1}, 1},
      {1, 6, 4, 4, 4, 6, {3, 3, 3}, {1, 1, 1}, {1, 1, 1, 1, 1, 1}, {1, 1, 1}, 6},
      {0, 2, 3, 3, 3, 4, {3, 3, 3}, {1, 1, 1}, {0, 0, 0, 0, 0, 0}, {1, 1, 1}, 1}};
  for (const Volume& v : volumes) {
    const int64_t in[3] = {v.D, v.H, v.W};
    std::vector<int64_t> y = {v.B, v.O};
    std::vector<int64_t> w = {v.O, v.C / v.group};
    for (size_t i = 0; i < 3; ++i) {
      const int64_t room = in[i] + v.pads[i] + v.pads[3 + i] - v.dilations[i] * (v.kernel[i] - 1);
      y.push_back((room - 1) / v.strides[i] + 1);
      w.push_back(v.kernel[i]);
    }
    const Tensor x = random.f32({v.B, v.C, v.D, v.H, v.W});
    const Tensor weights = random.f32(w);
    const auto attributes = [&](Step* step) {
      step->set("strides", v.strides).set("pads", v.pads).set("dilations", v.dilations);
      step->set("group", v.group);
    };
    Step real("conv");
    real.input(x).input(weights, Role::kConstant).output(DType::kF32, y);
    attributes(&real);
    real.check_rows("f32 volume", 2e-6, 16);
    Step quantized("conv");
    quantized.input(random.s8({v.B, v.C, v.D, v.H, v.W})).input(random.s8(w), Role::kConstant);
    quantized.absent().input(random.f32({v.O}, 0.0005f, 0.001f), Role::kConstant);
    attributes(&quantized);
    quantized.set("x_zero_point", int64_t{-7}).output(DType::kS8, y);
    quantized.check_rows("s8 volume");

    // The definition.
    const Tensor got = real.scalar_output();
    const int64_t taps = v.kernel[0] * v.kernel[1] * v.kernel[2];
    for (int64_t i = 0; i < got.dims.count(); ++i) {
      const int64_t place[3] = {i / (y[4] * y[3]) % y[2], i / y[4] % y[3], i % y[4]};
      const int64_t o = i / (y[4] * y[3] * y[2]) % v.O;
      double sum = 0;
      for (int64_t k = 0; k < w[1] * taps; ++k) {
        const int64_t tap[3] = {k / (v.kernel[2] * v.kernel[1]) % v.kernel[0],
                                k / v.kernel[2] % v.kernel[1], k % v.kernel[2]};
        int64_t at = i / (y[4] * y[3] * y[2] * v.O) * v.C + o / (v.O / v.group) * w[1] + k / taps;
        bool inside = true;
        for (size_t axis = 0; axis < 3; ++axis) {
          const int64_t c =
              place[axis] * v.strides[axis] - v.pads[axis] + tap[axis] * v.dilations[axis];
          inside = inside && c >= 0 && c < in[axis];
          at = at * in[axis] + c;
        }
        if (inside) sum += double{x.data<float>()[at]} * weights.data<float>()[o * w[1] * taps + k];
      }
      expect(std::abs(sum - got.data<float>()[i]) < 1e-4, "scalar conv of volumes is off");
    }
  }
}

PYRT_TEST(conv_transpose_rows) {
  Random random(14);
  struct Shape {
    int64_t B, C, H, W, O, kernel, stride, pad, dilation, group, more;
  };
  const Shape shapes[] = {{1, 1, 1, 1, 1, 1, 1, 0, 1, 1, 0},   {1, 8, 5, 4, 20, 4, 2, 1, 1, 1, 0},
                          {2, 5, 3, 6, 7, 3, 2, 1, 1, 1, 1},   {1, 6, 4, 4, 9, 2, 3, 0, 1, 3, 2},
                          {1, 4, 5, 5, 33, 3, 2, 2, 2, 1, 0},  {1, 3, 4, 5, 16, 5, 1, 2, 1, 1, 0},
                          {1, 16, 9, 9, 16, 3, 3, 0, 2, 4, 0}, {2, 24, 5, 7, 1, 2, 2, 0, 1, 1, 0},
                          {1, 5, 70, 3, 24, 3, 3, 0, 1, 1, 0}, {0, 2, 3, 3, 4, 3, 2, 1, 1, 1, 0}};
  for (const Shape& s : shapes) {
    const auto out = [&](int64_t in) {
      return (in - 1) * s.stride - 2 * s.pad + s.dilation * (s.kernel - 1) + 1 + s.more;
    };
    const std::vector<int64_t> y = {s.B, s.O, out(s.H), out(s.W)};
    const Tensor x = random.f32({s.B, s.C, s.H, s.W});
    const int64_t Og = s.O / s.group;
    const Tensor w = random.f32({s.C, Og, s.kernel, s.kernel});
    const Tensor bias = random.f32({s.O});
    Step step("conv_transpose");
    step.input(x).input(w, Role::kConstant).input(bias, Role::kConstant).output(DType::kF32, y);
    step.set("strides", std::vector{s.stride, s.stride}).set("group", s.group);
    step.set("pads", std::vector{s.pad, s.pad, s.pad, s.pad});
    step.set("dilations", std::vector{s.dilation, s.dilation});
    Step clipped = step;
    clipped.set("lo", -0.25).set("hi", 0.5);
    clipped.check_rows("clipped conv_transpose", 2e-6,
                       1 + double(s.kernel) * std::sqrt(double(s.C)));
    step.check_rows("conv_transpose", 2e-6, 1 + double(s.kernel) * std::sqrt(double(s.C)));

    // The definition: every input element scatters its kernel.
    std::vector<double> want(static_cast<size_t>(s.B * s.O * y[2] * y[3]));
    for (size_t i = 0; i < want.size(); ++i) {
      want[i] = bias.data<float>()[static_cast<int64_t>(i) / (y[2] * y[3]) % s.O];
    }
    for (int64_t i = 0; i < x.dims.count(); ++i) {
      const int64_t c = i / (s.H * s.W) % s.C;
      for (int64_t j = 0; j < Og * s.kernel * s.kernel; ++j) {
        const int64_t o = c / (s.C / s.group) * Og + j / (s.kernel * s.kernel);
        const int64_t h = i / s.W % s.H * s.stride - s.pad + j / s.kernel % s.kernel * s.dilation;
        const int64_t v = i % s.W * s.stride - s.pad + j % s.kernel * s.dilation;
        if (h < 0 || h >= y[2] || v < 0 || v >= y[3]) continue;
        const int64_t b = i / (s.C * s.H * s.W);
        want[static_cast<size_t>(((b * s.O + o) * y[2] + h) * y[3] + v)] +=
            double{x.data<float>()[i]} * w.data<float>()[c * Og * s.kernel * s.kernel + j];
      }
    }
    const Tensor got = step.scalar_output();
    for (size_t i = 0; i < want.size(); ++i) {
      expect(std::abs(want[i] - got.data<float>()[i]) < 1e-4, "scalar conv_transpose is off");
    }
  }
}

PYRT_TEST(conv_refuses_hostile_steps) {
  const auto conv = [](std::vector<int64_t> x, std::vector<int64_t> w, std::vector<int64_t> y) {
    Step s("conv");
    s.input(empty(DType::kF32, x)).input(empty(DType::kF32, w), Role::kConstant);
    s.output(DType::kF32, y);
    return s;
  };
  expect_error(conv({1, 3, 8}, {4, 3, 3, 3}, {1, 4, 6, 6}).prepare(), Code::kShape, "equal ranks");
  expect_error(conv({1, 3, 8, 8}, {4, 2, 3, 3}, {1, 4, 6, 6}).prepare(), Code::kShape, "[4, 3]");
  expect_error(conv({1, 3, 8, 8}, {4, 3, 3, 3}, {1, 4, 7, 6}).prepare(), Code::kShape, "6 x 6");
  expect_error(conv({1, 3, 8, 8}, {4, 3, 0, 3}, {1, 4, 9, 6}).prepare(), Code::kShape, "empty");
  expect_error(conv({1, 3, 8, 8}, {4, 3, 3, 3}, {2, 4, 6, 6}).prepare(), Code::kShape, "batch");
  Step pads = conv({1, 3, 8, 8}, {4, 3, 3, 3}, {1, 4, 6, 6});
  pads.set("pads", std::vector<int64_t>{-1, 0, 0, 0});
  expect_error(pads.prepare(), Code::kShape, "pads");
  Step strides = conv({1, 3, 8, 8}, {4, 3, 3, 3}, {1, 4, 6, 6});
  strides.set("strides", std::vector<int64_t>{0, 1});
  expect_error(strides.prepare(), Code::kShape, "strides");
  Step group = conv({1, 3, 8, 8}, {4, 3, 3, 3}, {1, 4, 6, 6});
  group.set("group", int64_t{2});
  expect_error(group.prepare(), Code::kShape, "group = 2");
  Step kernel = conv({1, 3, 8, 8}, {4, 3, 3, 3}, {1, 4, 6, 6});
  kernel.set("kernel", std::vector<int64_t>{3, 5});
  expect_error(kernel.prepare(), Code::kShape, "kernel");
}

}  // namespace pyrt::test
