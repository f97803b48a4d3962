// Normalisations, f32, class D (sums: common/lane_sums-inl.h, lane = index within what is summed,
// mod 16):
//   softmax     m = max x;  e = exp(x - m);  y = e * (1 / sum e);  log: y = (x - m) - log(sum e)
//   layer_norm  mean = sum x / n;  var = sum (x - mean)^2 / n;  inv = 1 / sqrt(var + epsilon);
//               y = (x - mean) * inv * scale + bias, over the n elements of dims axis..
//   group_norm  the same over the n = C / groups * spatial elements of a group, scale and bias per
//   channel
// All data is plain. y may be the same buffer as x.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

struct SoftmaxParams {
  int64_t outer = 1, n = 1, inner = 1;  // x [outer, n, inner], normalised along n
  bool log = false;
};

struct NormParams {
  int64_t rows = 1, n = 1;  // x [rows, n]
  int64_t run = 1;          // elements that share a scale: 1 (layer_norm), else the spatial size
  int64_t groups = 1;       // row r uses the scales from (r % groups) * (n / run)
  float epsilon = 0;
};

}  // namespace pyrt
