// Movement of elements: families that compute nothing but where an element comes from (and cast,
// which changes its dtype, and resize, which mixes neighbours). Axes and indices are in ONNX order,
// whatever the layout; kernels go by strides. y never overlaps an input, except for reshape, which
// is y under other dims.
//
//   reshape    y = x, other dims (an alias: nothing runs)
//   transpose  y[i] = x[j] with j[perm[k]] = i[k]
//   slice      y[i] = x[starts + i * steps]
//   expand     y[i] = x[i, or 0 where the dim of x is 1]
//   concat     x_0, x_1, .. behind one another along axis
//   pad        y[i] = x[map(i - pads_begin)] or value
//   tile       y[i] = x[i mod dims of x]
//   gather     y[a.., i.., b..] = x[a.., indices[i..], b..]; an index outside: zeros, and
//   kRunIndexOutOfRange cast       y = x in another dtype: C rules; float to integer saturates, NaN
//   becomes 0; to bool: x != 0 fill       y = value resize     nearest: y[i] = x[source(i)];
//   linear: between neighbours, innermost axis first
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

// transpose, slice, expand: one strided read. Output index i reads x at start[a] + i[k] * step[k]
// for a = axis[k].
struct CopyParams {
  int axis[kMaxRank] = {};       // of x, for each axis of y; -1: broadcast
  int64_t start[kMaxRank] = {};  // per axis of x
  int64_t step[kMaxRank] = {};   // per axis of y
};

struct ConcatParams {
  int axis = 0;
};

enum class PadMode : uint8_t { kConstant, kReflect, kEdge, kWrap };

struct PadParams {  // pad and tile (tile: wrap with no pads)
  PadMode mode = PadMode::kConstant;
  int64_t begin[kMaxRank] = {};
};

struct GatherParams {
  int64_t outer = 1, axis_dim = 0, indices = 0,
          inner = 1;  // x [outer, axis_dim, inner], y [outer, indices, inner]
};

enum class Coordinate : uint8_t { kHalfPixel, kAsymmetric, kAlignCorners, kPytorchHalfPixel };
enum class Nearest : uint8_t { kRoundPreferFloor, kRoundPreferCeil, kFloor, kCeil };

struct ResizeParams {
  bool linear = false;
  Coordinate coordinate = Coordinate::kHalfPixel;
  Nearest nearest = Nearest::kRoundPreferFloor;
};

}  // namespace pyrt
