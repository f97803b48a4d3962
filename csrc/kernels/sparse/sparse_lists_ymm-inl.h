// Steps of list rows by vpdpbusd on ymm registers, in VEX or EVEX form (gemm/vnni_ymm-inl.h).
#pragma once

#include "kernels/gemm/vnni_ymm-inl.h"
#include "kernels/sparse/sparse_lists_avx2-inl.h"

namespace pyrt {
namespace {

template <class Dot>
struct StepYmm {
  using A = uint8_t;  // s8 + 128: the offset form of the operand
  static constexpr bool kInPlace = true;

  static void prepare(const int8_t* x, int64_t count, uint8_t* a) {
    memcpy(a, x, static_cast<size_t>(count));
  }
  PYRT_INLINE static __m256i load_256(const int8_t* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }
  PYRT_INLINE static void add(ListSum* sum, __m256i a, __m256i w) {
    *sum = reinterpret_cast<ListSum>(Dot::dot(reinterpret_cast<__m256i>(*sum), a, w));
  }
};

template <class Dot>
struct BlocksYmm : StepYmm<Dot> {
  using Format = SparseBlocks<false>;
  static constexpr int kMr = 4, kSums = 2;

  struct Piece {
    __m256i weights[2];
  };
  PYRT_INLINE static Piece load(const int8_t* piece) {
    return {{BlocksYmm::load_256(piece), BlocksYmm::load_256(piece + 32)}};
  }
  PYRT_INLINE static void dot(ListSum* sums, const uint8_t* a, const Piece& piece) {
    int32_t four;
    memcpy(&four, a, sizeof(four));
    const __m256i values = _mm256_set1_epi32(four);
    BlocksYmm::add(sums, values, piece.weights[0]);
    BlocksYmm::add(sums + 1, values, piece.weights[1]);
  }
};

template <class Dot>
struct SellYmm : StepYmm<Dot> {
  using Format = SparseSell<Window32<false>>;
  static constexpr int kMr = 8, kSums = 1;

  struct Piece {
    ShuffledWindow window;
    __m256i weights;
  };
  PYRT_INLINE static Piece load(const int8_t* piece) {
    return {ShuffledWindow::load(piece), SellYmm::load_256(piece + Format::kSlots)};
  }
  PYRT_INLINE static void dot(ListSum* sums, const uint8_t* a, const Piece& piece) {
    SellYmm::add(sums, piece.window.values(a), piece.weights);
  }
};

}  // namespace
}  // namespace pyrt
