// Where an output position of resize comes from: shared by the scalar and the vector rows.
// Positions are computed in double in the order written here, and clamped before they become
// integers, so scales from a damaged file cannot lead outside the input.
#pragma once

#include "kernels/form/form.h"

namespace pyrt {
namespace {

struct Source {
  int32_t low = 0, high = 0;  // neighbours; nearest: both the same
  float weight = 0;           // of high
};

PYRT_INLINE double floor_double(double x) {
  const double truncated = static_cast<double>(static_cast<int64_t>(x));
  return truncated > x ? truncated - 1.0 : truncated;
}

PYRT_INLINE Source resize_source(const ResizeParams& params, int64_t position, int64_t in,
                                 int64_t out, float scale) {
  const double p = static_cast<double>(position), s = static_cast<double>(scale);
  double x = 0;
  switch (params.coordinate) {
    case Coordinate::kHalfPixel:
      x = (p + 0.5) / s - 0.5;
      break;
    case Coordinate::kAsymmetric:
      x = p / s;
      break;
    case Coordinate::kAlignCorners:
      x = out > 1 ? p * static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
      break;
    case Coordinate::kPytorchHalfPixel:
      x = out > 1 ? (p + 0.5) / s - 0.5 : 0.0;
      break;
  }
  const double last = static_cast<double>(in - 1);
  x = x > -1.0 ? x : -1.0;  // NaN too
  x = x < last + 1.0 ? x : last + 1.0;
  Source source;
  if (params.linear) {
    x = x < 0.0 ? 0.0 : x;
    x = x > last ? last : x;
    const double low = floor_double(x);
    source.low = static_cast<int32_t>(low);
    source.high = source.low + (source.low < in - 1 ? 1 : 0);
    source.weight = static_cast<float>(x - low);
    return source;
  }
  double nearest = 0;
  switch (params.nearest) {
    case Nearest::kRoundPreferFloor:
      nearest = -floor_double(-(x - 0.5));
      break;
    case Nearest::kRoundPreferCeil:
      nearest = floor_double(x + 0.5);
      break;
    case Nearest::kFloor:
      nearest = floor_double(x);
      break;
    case Nearest::kCeil:
      nearest = -floor_double(-x);
      break;
  }
  nearest = nearest < 0.0 ? 0.0 : nearest;
  nearest = nearest > last ? last : nearest;
  source.low = source.high = static_cast<int32_t>(nearest);
  return source;
}

// Between two neighbours; a weight of 0 leaves an infinite or NaN neighbour out.
PYRT_INLINE float mix(float low, float high, float weight) {
  return weight == 0.0f ? low : low * (1.0f - weight) + high * weight;
}

}  // namespace
}  // namespace pyrt
