// The contract between a kernel family, its rows, and the runtime that binds and replays them.
//
// A *family* is a kind of step in a Program: its attributes, its operands and the formula it
// computes. A *row* is one way to compute it: a kernel for an instruction set, with its packing,
// tile and the physical forms it works on. Bind checks a step with Family::prepare, asks every row
// whether it supports the problem and what it would cost, takes one (choose.h), settles the forms
// of the activations, packs the constants once, and replay calls run().
//
// Kernels are pure functions on pointers: no allocation, lock, throw, log, thread or static
// constructor. prepare() runs at bind time in baseline code and may build messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/dtype.h"
#include "base/isa.h"
#include "base/status.h"

namespace pyrt {

// On every function here that kernel files call: an ordinary inline function compiled with one
// ISA's flags would be a weak symbol that the linker may keep for all callers (style guide, "weak
// symbols"). For the same reason kernel files use no std::span.
#define PYRT_INLINE [[gnu::always_inline]] inline

inline constexpr int kMaxRank = 8;

struct Dims {
  int rank = 0;
  int64_t at[kMaxRank] = {};

  PYRT_INLINE int64_t operator[](int axis) const { return at[axis]; }
  PYRT_INLINE int64_t count() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= at[i];
    return n;
  }
  PYRT_INLINE bool operator==(const Dims& other) const {
    if (rank != other.rank) return false;
    for (int i = 0; i < rank; ++i) {
      if (at[i] != other.at[i]) return false;
    }
    return true;
  }
};

// How the elements of a value lie in memory. Dims never change with it: they are always in ONNX
// order.
enum class Layout : uint8_t {
  kPlain,         // row-major in the order of the dims (NCHW for images)
  kChannelsLast,  // dim 1 moved to the end (NHWC for images, NLC for sequences); rank >= 3 only
};

struct Form {
  Layout layout = Layout::kPlain;
  bool offset128 = false;  // 8-bit values only: the byte holds s8 + 128, as u8 dot products like it
  PYRT_INLINE bool operator==(const Form& other) const {
    return layout == other.layout && offset128 == other.offset128;
  }
};

// One input or output of a step, as a row sees it.
struct Operand {
  DType dtype = DType::kF32;
  Form form;
  bool present = false;            // optional operands may be absent
  const void* constant = nullptr;  // its elements, plain form, if known at bind time; else null
  Dims dims;                       // ONNX order

  // Distance in elements between neighbours along each axis, for its form.
  PYRT_INLINE void strides(int64_t out[kMaxRank]) const {
    int order[kMaxRank];  // axes from outermost to innermost
    for (int i = 0; i < dims.rank; ++i) order[i] = i;
    if (form.layout == Layout::kChannelsLast) {
      for (int i = 1; i + 1 < dims.rank; ++i) order[i] = i + 1;
      order[dims.rank - 1] = 1;
    }
    int64_t step = 1;
    for (int i = dims.rank - 1; i >= 0; --i) {
      out[order[i]] = step;
      step *= dims.at[order[i]];
    }
  }
};

// The operands of a step: a span that kernel files can use.
struct Operands {
  Operand* items = nullptr;
  size_t count = 0;

  Operands() = default;
  PYRT_INLINE Operands(Operand* first, size_t n) : items(first), count(n) {}
  // NOLINTNEXTLINE: implicit by design
  Operands(std::span<Operand> span) : items(span.data()), count(span.size()) {}
  PYRT_INLINE Operand& operator[](size_t i) const { return items[i]; }
  PYRT_INLINE size_t size() const { return count; }
  PYRT_INLINE Operand* begin() const { return items; }
  PYRT_INLINE Operand* end() const { return items + count; }
};

// How the weights of a product lie in operand 1: element (k, n), k = tap * C + c, is element
// (n * C + c) * taps + tap, or k * N + n where the columns are not outermost.
struct WeightView {
  int64_t N = 0, C = 0, taps = 1;
  bool columns_first = true;

  PYRT_INLINE int64_t K() const { return taps * C; }
  PYRT_INLINE int64_t index(int64_t k, int64_t n) const {
    if (!columns_first) return k * N + n;
    if (taps == 1) return n * C + k;
    return (n * C + k % C) * taps + k / C;
  }
  PYRT_INLINE bool operator==(const WeightView& other) const {
    return N == other.N && C == other.C && taps == other.taps &&
           columns_first == other.columns_first;
  }
};

// What is known of constant weights, for rows that exploit zeros or a narrow range.
struct WeightFacts {
  int64_t count = 0;
  int64_t nonzeros = 0;
  int64_t quads = 0;            // runs of 4 k (from a multiple of 4) of a column, not all zero
  int64_t blocks = 0;           // the same k of 16 columns (from a multiple of 16), not all zero
  int most_of_16 = 0;           // most non-zeros among 16 k of a column, from a multiple of 16
  int lowest = 0, highest = 0;  // s8 only
  int step = 0;                 // s8 only: the largest that leads from the lowest to all others
};

// A step with its dims known: what rows are chosen for and run on. Lives as long as the binding.
struct Problem {
  Operands inputs;
  Operands outputs;
  static constexpr size_t kParamBytes = 512;
  // The family's own parameters, a trivially copyable struct.
  alignas(16) std::byte params[kParamBytes] = {};
  // Of the constant weights of a family that has a weight_view; else null.
  const WeightFacts* facts = nullptr;

  template <class T>
  PYRT_INLINE const T& as() const {
    static_assert(__is_trivially_copyable(T) && sizeof(T) <= kParamBytes);
    return *reinterpret_cast<const T*>(params);
  }
  template <class T>
  PYRT_INLINE T& as() {
    static_assert(__is_trivially_copyable(T) && sizeof(T) <= kParamBytes);
    return *reinterpret_cast<T*>(params);
  }
  PYRT_INLINE bool has_input(size_t i) const { return i < inputs.size() && inputs[i].present; }
};

// What changes from run to run. Every activation buffer is 64-byte aligned unless it belongs to the
// caller (graph inputs and outputs may be aligned to their element only), and 64 bytes behind every
// arena buffer are readable.
struct Call {
  const void* const* inputs;  // null where absent
  void* const* outputs;
  const void* packed;  // what pack() wrote, 64-byte aligned, or null
  void* scratch;       // scratch_bytes() of this thread's own, 64-byte aligned; contents undefined
  // Where a kernel reports that the *values* of its inputs are invalid (kernels cannot throw): it
  // stores a RunError there with report() and writes zeros for the elements concerned. Replay
  // clears it before a step and turns a non-zero value into a Status after it. May be null: then
  // nobody listens.
  int32_t* error = nullptr;

  PYRT_INLINE void report(int32_t run_error) const {
    // Several threads may report at once; any of their values will do.
    if (error != nullptr) __atomic_store_n(error, run_error, __ATOMIC_RELAXED);
  }
};

// What Call::error may hold; the runtime has a message for each.
inline constexpr int32_t kRunOk = 0;
inline constexpr int32_t kRunIndexOutOfRange = 1;  // an index (gather) lies outside its axis
inline constexpr int32_t kRunErrorCount = 2;

enum class AttributeKind : uint8_t { kInt, kInts, kFloat, kText };

struct AttributeSpec {
  std::string_view name;
  AttributeKind kind;
  bool required = false;
  int64_t default_int = 0;             // kInt; an absent kInts is empty
  double default_float = 0;            // kFloat
  std::string_view default_text = {};  // kText
};

struct OperandSpec {
  std::string_view name;
  bool optional = false;
  bool variadic = false;   // the last spec only: one or more operands
  bool parameter = false;  // weights, bias, scales: always plain, never converted to another form
};

// The attributes of a step, already checked against the family's schema (so every declared name
// answers) and with dimension expressions evaluated.
class Attributes {
 public:
  virtual int64_t integer(std::string_view name) const = 0;
  virtual std::span<const int64_t> integers(std::string_view name) const = 0;
  virtual double real(std::string_view name) const = 0;
  virtual std::string_view text(std::string_view name) const = 0;

 protected:
  ~Attributes() = default;
};

struct Family {
  std::string_view name;
  std::span<const AttributeSpec> attributes;
  std::span<const OperandSpec> inputs;
  std::span<const OperandSpec> outputs;
  // Checks dtypes, ranks, dims and attributes against the formula and fills problem.params. Forms
  // are not yet known. The file is hostile: whatever a kernel relies on is checked here.
  Status (*prepare)(const Attributes& attributes, Problem& problem);
  // Of a prepared problem: how operand 1 lies; false where it is no plain matrix (groups, batches).
  // Optional: null where no row wants WeightFacts.
  bool (*weight_view)(const Problem& problem, WeightView* view) = nullptr;
};

// Numerics class of a row; see docs/numerics.md.
enum class Exactness : uint8_t {
  kExact,      // E: same bytes on every CPU, thread count and run
  kCanonical,  // D: float, in a prescribed order; same bytes everywhere
  kFast,       // F: float within a stated tolerance; same bytes for any thread count on one ISA
};

// Which forms a row works on. It applies to the non-constant operands whose spec is not
// `parameter`.
enum class FormRule : uint8_t {
  kPlain,         // all plain
  kChannelsLast,  // all channels-last where rank >= 3
  kFollow,  // any layout: outputs take the layout that the inputs of the output's rank already have
};

// Whether a row reads (takes) or writes (gives) 8-bit activations with the offset of 128.
enum class Offset : uint8_t {
  kNever,  // s8 in, s8 out
  kTakes,  // input 0 must have the offset, outputs may have it or not (the row looks at
           // outputs[0].form)
  kGives,  // inputs without; outputs may have it or not
};

struct Row {
  std::string_view name = {};    // family_a_b_acc_mrxnrxkr_isa, e.g. gemm_s8_s8_s32_6x16x2_avx2
  std::string_view family = {};  // name of the family it computes
  Exactness exactness = Exactness::kExact;
  FeatureMask features = 0;  // all of these bits must be there
  FormRule forms = FormRule::kPlain;
  Offset offset = Offset::kNever;
  // outputs[0] is inputs[0] under other dims: nothing runs, bind shares the buffer.
  bool alias = false;
  // Exploits zeros or rank: must be predicted 1.15 x faster than the best row that does not.
  bool compressed = false;
  uint16_t mr = 0, nr = 0, kr = 0;  // tile, 0 where there is none

  // Null when the row can run the problem (dtypes, dims, params; features are checked elsewhere),
  // else the reason why not, a string literal for `inspect --why`.
  const char* (*supports)(const Problem& problem) = nullptr;
  // Predicted time on one core in nanoseconds. Required.
  double (*cost_ns)(const Problem& problem) = nullptr;
  // After the forms are settled: form-dependent parameters. Optional.
  void (*setup)(Problem& problem) = nullptr;
  // Bytes that pack() writes from constant operands. Optional: null when nothing is packed.
  // Packings with the same `packing` name, equal constants (with their dims) and equal attributes
  // of the step are shared between bindings.
  std::string_view packing = {};
  size_t (*packed_bytes)(const Problem& problem) = nullptr;
  void (*pack)(const Problem& problem, void* packed) = nullptr;
  // Share of its weights that take the row's fast path, 0..1, for `inspect`. Optional: null where
  // there is only one path.
  double (*fast_share)(const Problem& problem) = nullptr;
  // Independent units of work, any contiguous range of which may run on any thread. Null: 1.
  int64_t (*tasks)(const Problem& problem) = nullptr;
  size_t (*scratch_bytes)(const Problem& problem) = nullptr;  // per thread. Null: 0
  // Computes tasks [begin, end). Null only with `alias`.
  void (*run)(const Problem& problem, const Call& call, int64_t begin, int64_t end) = nullptr;
};

// What a kernel file (one ISA) exports: `extern constinit const Table gemm_avx2`.
struct Table {
  const Row* rows;
  size_t count;
};

// What a family file exports: `extern constinit const FamilyTable gemm_families`. One file may
// define several.
struct FamilyTable {
  const Family* families;
  size_t count;
};

// All families of this build, sorted by name, and all rows, sorted by family and name (tables.cpp).
std::span<const Family* const> all_families();
std::span<const Row* const> all_rows();
// A part of all_rows(); empty when there is none.
std::span<const Row* const> rows_of(std::string_view family);
const Family* find_family(std::string_view name);

}  // namespace pyrt
