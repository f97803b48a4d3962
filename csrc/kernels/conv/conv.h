// conv: y[b, o, p] = epilogue(sum over c, t of x[b, c, p * stride - pad + t * dilation] * w[o, c,
// t]) for each group, and conv_transpose, its adjoint. The epilogue is that of common/epilogue.h.
//
// x [B, C, (D,) (H,) W], w [O, C/group, (kd,) (kh,) kw], y [B, O, (OD,) (OH,) OW]; sequences (rank
// 3) are images of height 1, images volumes of depth 1. Elements outside x are x_zero_point (real
// zero). Dense rows take x, residual and y channels-last: x [B, H, W, C]. f32 -> f32, or s8 -> s32,
// s8, f32. conv_transpose is f32 with w [C, O/group, (kh,) kw] and y[b, o, i * stride - pad + t *
// dilation] += x[b, c, i] * w[c, o, t].
//
// As a product (see gemm/gemm.h): M = output pixels, N = O/group, K = kd * kh * kw * C/group with
// the index k = ((t_d * kh + t_h) * kw + t_w) * (C/group) + c, so that one pixel's channels are a
// run of K. Packed: per group the panels of gemm.
#pragma once

#include <cstdint>

#include "kernels/common/epilogue.h"

namespace pyrt {

struct ConvParams {
  bool volume = false;  // three spatial dims; rows for images alone refuse it
  int64_t B = 0, C = 0, D = 1, H = 1, W = 0;
  int64_t O = 0, OD = 1, OH = 1, OW = 0;
  int64_t group = 1;
  int64_t kernel_d = 1, kernel_h = 1, kernel_w = 1;
  int64_t stride_d = 1, stride_h = 1, stride_w = 1;
  int64_t pad_d = 0, pad_h = 0,
          pad_w = 0;  // before; what lies after follows from the output's dims
  int64_t dilation_d = 1, dilation_h = 1, dilation_w = 1;
  EpilogueParams epilogue;

  PYRT_INLINE int64_t taps() const { return kernel_d * kernel_h * kernel_w; }
  PYRT_INLINE int64_t K() const { return taps() * (C / group); }  // of conv
  PYRT_INLINE int64_t N() const { return O / group; }
  // A 1x1 kernel that visits every pixel once: the activations are the matrix already.
  PYRT_INLINE bool pointwise() const {
    return kernel_d == 1 && kernel_h == 1 && kernel_w == 1 && stride_d == 1 && stride_h == 1 &&
           stride_w == 1 && pad_d == 0 && pad_h == 0 && pad_w == 0 && OD == D && OH == H && OW == W;
  }
  PYRT_INLINE bool depthwise() const { return group == C && group > 1; }
};

}  // namespace pyrt
