// Recurrent layers in one direction, behind the product of all inputs with their weights, which is
// an ordinary gemm: gates [T, N, G * H] hold x w + bias already.
//
//   lstm  i, o, f, g = parts of gates[t] + h r^T   (ONNX's order)
//         i = sigmoid(i + p_i c), f = sigmoid(f + p_f c) or 1 - i, c = f c + i tanh(g)
//         o = sigmoid(o + p_o c), h = o tanh(c)
//   gru   z, r = sigmoid(parts of gates[t] + h r^T), h = (1 - z) n + z h with
//         n = tanh(gates_n + r (h r_n^T + bias))  linear_before_reset
//         n = tanh(gates_n + (r h) r_n^T)         else
//
// gates f32 [T, N, G * H], r [G * H, H], h0, c0 [N, H], peepholes [3 * H] (i, o, f), lengths s32
// [N]: a sequence that has ended keeps its state and gives zeros. y [T, N, H] in the order of time,
// h, c [N, H] the last states. The arguments of sigmoid and tanh are clipped to +-clip, but for c.
//
// Exactness F: h r^T is summed as gemm's f32 rows do; everything else is canonical. A step is one
// task: its time steps wait for each other.
#pragma once

#include "kernels/kernel.h"

namespace pyrt {

enum LstmInput : size_t {
  kGates = 0,
  kRecurrent = 1,
  kLstmH0 = 2,
  kLstmC0 = 3,
  kPeepholes = 4,
  kLstmLengths = 5,
};
enum GruInput : size_t { kGruBias = 2, kGruH0 = 3, kGruLengths = 4 };

struct RecurrentParams {
  int64_t T = 0, N = 0, H = 0;
  float clip = 0;  // infinity: none
  bool reverse = false;
  bool input_forget = false;         // lstm
  bool linear_before_reset = false;  // gru
};

}  // namespace pyrt
