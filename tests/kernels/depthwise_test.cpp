// Depthwise conv: every row against the scalar one, at the edges of their tiles, blocks and bands.
#include <cmath>

#include "harness.h"

namespace pyrt::test {
namespace {

struct Depthwise {
  int64_t C, multiplier, H, W;
  std::vector<int64_t> kernel, strides, pads, dilations;  // pads: begins, then ends

  int64_t out(size_t axis) const {
    const int64_t size = axis == 0 ? H : W;
    const int64_t reach = dilations[axis] * (kernel[axis] - 1) + 1;
    return (size + pads[axis] + pads[axis + 2] - reach) / strides[axis] + 1;
  }
  std::vector<int64_t> x() const { return {2, C, H, W}; }
  std::vector<int64_t> w() const { return {C * multiplier, 1, kernel[0], kernel[1]}; }
  std::vector<int64_t> y() const { return {2, C * multiplier, out(0), out(1)}; }
  std::string name() const {
    std::string text;
    for (const int64_t item : {C, multiplier, H, W}) text += std::to_string(item) + " ";
    for (const auto* list : {&kernel, &strides, &pads, &dilations}) {
      for (const int64_t item : *list) text += std::to_string(item) + " ";
    }
    return text;
  }
  void attributes(Step* step) const {
    step->set("strides", strides).set("pads", pads).set("dilations", dilations).set("group", C);
  }
};

const Depthwise kDepthwise[] = {
    // blocks: 64, 32, both, overlapping ones
    {32, 1, 7, 7, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {33, 1, 6, 9, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {64, 1, 5, 6, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
    {72, 1, 9, 8, {3, 3}, {2, 2}, {0, 0, 1, 1}, {1, 1}},
    {100, 1, 4, 5, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {144, 1, 8, 11, {3, 3}, {2, 1}, {1, 1, 1, 1}, {1, 1}},
    {330, 1, 3, 3, {3, 3}, {1, 2}, {1, 1, 1, 1}, {1, 1}},
    // widths around tiles, bands of odd heights
    {48, 1, 131, 3, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {40, 1, 4, 131, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {65, 1, 71, 67, {3, 3}, {3, 3}, {1, 1, 1, 1}, {1, 1}},
    {16, 1, 3, 200, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
    // one row, one column, one pixel
    {64, 1, 1, 50, {1, 3}, {1, 1}, {0, 1, 0, 1}, {1, 1}},
    {96, 1, 1, 17, {1, 7}, {1, 2}, {0, 6, 0, 0}, {1, 2}},
    {34, 1, 19, 1, {5, 1}, {1, 1}, {2, 0, 2, 0}, {1, 1}},
    {70, 1, 1, 1, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {70, 1, 2, 2, {1, 1}, {1, 1}, {0, 0, 0, 0}, {1, 1}},
    // kernels of all sizes, also larger than the image, far-apart taps, much padding
    {64, 1, 9, 9, {2, 2}, {1, 1}, {0, 0, 1, 1}, {1, 1}},
    {32, 1, 9, 10, {2, 3}, {2, 2}, {0, 1, 0, 1}, {1, 1}},
    {64, 1, 9, 7, {4, 4}, {1, 1}, {1, 2, 2, 1}, {1, 1}},
    {100, 1, 12, 9, {5, 5}, {1, 1}, {2, 2, 2, 2}, {1, 1}},
    {32, 1, 13, 14, {5, 5}, {2, 2}, {2, 2, 2, 2}, {1, 1}},
    {64, 1, 8, 8, {6, 3}, {1, 1}, {3, 1, 2, 1}, {1, 1}},
    {40, 1, 14, 15, {7, 7}, {1, 1}, {3, 3, 3, 3}, {1, 1}},
    {36, 1, 4, 4, {7, 7}, {2, 2}, {3, 3, 3, 3}, {1, 1}},
    {32, 1, 20, 6, {13, 3}, {1, 1}, {6, 1, 6, 1}, {1, 1}},
    {32, 1, 24, 5, {17, 2}, {2, 1}, {3, 1, 3, 1}, {1, 1}},
    {64, 1, 9, 11, {3, 3}, {1, 1}, {2, 2, 2, 2}, {2, 2}},
    {32, 1, 9, 11, {3, 3}, {2, 2}, {5, 4, 6, 7}, {1, 1}},
    {32, 1, 5, 5, {3, 3}, {1, 1}, {3, 4, 4, 3}, {1, 1}},
    {64, 1, 2, 3, {3, 3}, {1, 1}, {3, 3, 3, 3}, {1, 3}},
    {16, 1, 8, 8, {3, 3}, {1, 1}, {0, 0, 0, 0}, {1, 1}},
    {16, 1, 8, 9, {3, 3}, {2, 2}, {0, 1, 1, 0}, {1, 1}},
    // several outputs per channel, few channels
    {32, 2, 6, 7, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {24, 3, 5, 5, {5, 5}, {2, 2}, {2, 2, 2, 2}, {1, 1}},
    {3, 1, 6, 6, {3, 3}, {1, 1}, {1, 1, 1, 1}, {1, 1}},
    {9, 1, 7, 6, {3, 3}, {2, 2}, {1, 1, 1, 1}, {1, 1}},
};

}  // namespace

PYRT_TEST(depthwise_f32_rows) {
  Random random(40);
  for (const Depthwise& d : kDepthwise) {
    for (int variant = 0; variant < 3; ++variant) {
      Step step("conv");
      step.input(random.f32(d.x())).input(random.f32(d.w()), Role::kConstant);
      d.attributes(&step);
      if (variant > 0) step.input(random.f32({d.y()[1]}), Role::kConstant).absent();
      if (variant > 1) step.input(random.f32(d.y()));
      if (variant > 0) step.set("lo", 0.0).set("hi", 1.5);
      step.output(DType::kF32, d.y());
      step.check_rows(d.name(), 2e-6,
                      1 + std::sqrt(static_cast<double>(d.kernel[0] * d.kernel[1])));
    }
  }
}

PYRT_TEST(depthwise_s8_rows) {
  enum Variant { kUsual, kExtremes, kOneScale, kLargeScale, kResidual, kSums, kReal, kVariants };
  Random random(41);
  for (const Depthwise& d : kDepthwise) {
    for (int variant = 0; variant < kVariants; ++variant) {
      const int64_t O = d.y()[1];
      const int64_t most = variant == kExtremes ? -128 : 127;
      Step step("conv");
      step.input(random.s8(d.x(), -128, most)).input(random.s8(d.w(), -128, most), Role::kConstant);
      d.attributes(&step);
      step.set("x_zero_point", variant == kExtremes ? int64_t{127} : random.integer(-128, 127));
      step.set("y_zero_point", random.integer(-128, 127));
      if (variant != kOneScale) step.input(random.s32({O}, -3000, 3000), Role::kConstant);
      if (variant == kOneScale) step.absent();
      const float scale = variant == kLargeScale ? 1e6f : 0.02f;
      if (variant != kSums) {
        step.input(random.f32({variant == kOneScale ? 1 : O}, scale / 10, scale), Role::kConstant);
      }
      if (variant == kResidual) {
        step.input(random.s8(d.y())).input(random.f32({1}, 0.3f, 2), Role::kConstant);
        step.set("residual_zero_point", random.integer(-128, 127));
      }
      if (variant == kUsual) step.set("q_lo", int64_t{-100}).set("q_hi", int64_t{90});
      const DType out = variant == kSums ? DType::kS32 : DType::kS8;
      step.output(variant == kReal ? DType::kF32 : out, d.y());
      step.check_rows(d.name() + " variant " + std::to_string(variant));
    }
  }
}

}  // namespace pyrt::test
