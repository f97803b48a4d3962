// What all rows that skip zero weights share.
#pragma once

#include "kernels/conv/conv.h"
#include "kernels/gemm/gemm.h"
#include "kernels/sparse/sparse.h"

namespace pyrt {
namespace {

// A matrix product as a convolution of an image of height 1.
PYRT_INLINE ConvParams as_conv(const GemmParams& p) {
  ConvParams c;
  c.B = 1;
  c.C = p.K;
  c.W = c.OW = p.M;
  c.O = p.N;
  c.epilogue = p.epilogue;
  return c;
}

PYRT_INLINE const char* sparse_refusal(const Problem& problem, const GemmParams& p) {
  if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
  if (p.trans_a) return "the activations are transposed";
  if (p.batch != 1) return "the product has batch dims";
  return nullptr;
}
PYRT_INLINE const char* sparse_refusal(const Problem& problem, const ConvParams& p) {
  if (problem.inputs[kInputW].constant == nullptr) return "the weights are not constant";
  if (p.group != 1) return "the convolution is grouped";
  if (p.volume) return "it has three spatial dims";
  return nullptr;
}

}  // namespace
}  // namespace pyrt
