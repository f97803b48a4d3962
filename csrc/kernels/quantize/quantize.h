// Between real and 8-bit values, all class E (each operation is rounded once, in this order):
//   quantize          f = x / scale[c];  q = round_half_even(min(max(f, q_lo - zp), q_hi - zp)) +
//   zp;  NaN -> zp dequantize        y = float(x - zp) * scale[c] (the difference modulo 2^32)
//   requantize        f = float(x - x_zp) * scale, then clamped and rounded as above (bounds -128,
//   127) lookup            y = table[x + 128] cast_sign         y = x with the top bit flipped: u8
//   <-> s8 dynamic_quantize  lo = min(x, 0), hi = max(x, 0), scale = (hi - lo) / 255, or 1 where
//   that is 0;
//                     zp = round_half_even(min(max((0 - lo) / scale, 0), 255)), y as quantize; NaN
//                     in x is left out of lo and hi
// c is the index along `axis` where scale has more than one element. y may be the same buffer as x
// where both have 1-byte elements and the same form.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

struct QuantizeParams {
  int axis = -1;  // of the scales; -1: one scale
  int32_t x_zero_point = 0;
  int32_t y_zero_point = 0;
  float lo = 0, hi = 0;  // bounds of f
};

}  // namespace pyrt
