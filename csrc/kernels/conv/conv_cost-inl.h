// Predicted times of the rows that conv files of all ISAs share. Cost is the ISA's:
//
//   struct Cost {
//     static double product_ns(double M, double N, double K, bool prepare);  // of a product
//   };
#pragma once

#include "kernels/conv/conv_rows-inl.h"
#include "kernels/conv/conv_transpose_rows-inl.h"
#include "kernels/conv/conv_transpose_tiles-inl.h"
#include "kernels/conv/winograd-inl.h"

namespace pyrt {
namespace {

inline constexpr double kConvCallNs = 80;

template <class Isa, class Cost>
double conv_ns(const Problem& problem) {
  using Rows = ConvRows<Isa>;
  const auto& p = problem.as<ConvParams>();
  const ConvGeometry g = Rows::Lines::geometry(p);
  return kConvCallNs + Rows::prepare_ns(problem) +
         static_cast<double>(p.group) * Cost::product_ns(static_cast<double>(g.M()),
                                                         static_cast<double>(p.N()),
                                                         static_cast<double>(g.K()), false);
}

// Cost::kInputNs and kOutputNs: transforms of a channel of a tile. Transformed weights are four
// times as many (s8: eight times the bytes), so a network reads them from memory again in each run:
// Cost::kMemoryBytesPerNs beyond a few MB.
template <class Transforms, class Cost>
double winograd_ns(const Problem& problem) {
  using Rows = WinogradRows<Transforms>;
  const auto& p = problem.as<ConvParams>();
  const typename Rows::Blocks b = Rows::blocks(p);
  const auto tiles = static_cast<double>(Rows::tiles(p));
  const auto C = static_cast<double>(p.C);
  const auto O = static_cast<double>(p.O);
  const auto blocks = static_cast<double>(b.m_blocks);
  const auto weight_bytes = static_cast<double>(Rows::weight_bytes(p));
  return kConvCallNs + tiles * (C * Cost::kInputNs + O * Cost::kOutputNs) +
         (weight_bytes > 4e6 ? weight_bytes / Cost::kMemoryBytesPerNs : 0) +
         Rows::kElements * blocks * (40 + Cost::product_ns(tiles / blocks, O, C, false));
}

template <class Cost>
double transpose_ns(const Problem& problem) {
  constexpr double kLocateNs = 40;  // an output pixel: gathered, and copied to its place
  const auto& p = problem.as<ConvParams>();
  const auto phases = static_cast<double>(p.stride_h * p.stride_w);
  const double pixels = static_cast<double>(p.B * p.OH * p.OW);
  return kConvCallNs + pixels * kLocateNs +
         phases * static_cast<double>(p.group) *
             Cost::product_ns(pixels / phases + 1, static_cast<double>(p.N()),
                              static_cast<double>(p.K()) / phases + 1, true);
}

template <class Isa, class Cost>
double transpose_tiles_ns(const Problem& problem) {
  constexpr double kStoreNs = 0.25;  // an element cut from a row of the product
  using Tiles = ConvTransposeTiles<Isa>;
  const auto& p = problem.as<ConvParams>();
  const auto M = static_cast<double>(Tiles::M(p));
  const auto N = static_cast<double>(Tiles::columns(p));
  return kConvCallNs + M * N * kStoreNs + Cost::product_ns(M, N, static_cast<double>(p.C), false);
}

}  // namespace
}  // namespace pyrt
