// Parts of the runtime that Python cannot reach: arena, thread pool, checksum, and that a run in
// steady state allocates nothing. Every way to allocate is counted: operator new here, the C
// functions by the linker's --wrap.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/arena.h"
#include "runtime/crc32c.h"
#include "runtime/session.h"
#include "runtime/thread_pool.h"

namespace {
std::atomic<int64_t> g_allocations{0};
}  // namespace

extern "C" {
void* __real_malloc(size_t size);
void* __real_calloc(size_t count, size_t size);
void* __real_realloc(void* pointer, size_t size);
int __real_posix_memalign(void** out, size_t alignment, size_t size);
void* __wrap_malloc(size_t size) {
  ++g_allocations;
  return __real_malloc(size);
}
void* __wrap_calloc(size_t count, size_t size) {
  ++g_allocations;
  return __real_calloc(count, size);
}
void* __wrap_realloc(void* pointer, size_t size) {
  ++g_allocations;
  return __real_realloc(pointer, size);
}
int __wrap_posix_memalign(void** out, size_t alignment, size_t size) {
  ++g_allocations;
  return __real_posix_memalign(out, alignment, size);
}
}

void* operator new(size_t size) {
  void* memory = malloc(size == 0 ? 1 : size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }

namespace {

using namespace pyrt;

int g_failures = 0;

void expect(bool condition, const std::string& what) {
  if (condition) return;
  ++g_failures;
  std::printf("FAILED: %s\n", what.c_str());
}

void test_crc32c() {
  const char text[] = "123456789";
  const std::span bytes = std::as_bytes(std::span(text, 9));
  expect(crc32c(0, bytes) == 0xe3069283u, "crc32c of the check string");
  expect(crc32c(crc32c(0, bytes.first(4)), bytes.subspan(4)) == 0xe3069283u, "crc32c in two parts");
  expect(crc32c(0, {}) == 0, "crc32c of nothing");
}

void test_arena() {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    std::vector<ArenaBuffer> buffers(1 + random() % 40);
    size_t sum = 0;
    for (ArenaBuffer& b : buffers) {
      b.bytes = random() % 1000;
      b.first = static_cast<int>(random() % 50);
      b.last = b.first + static_cast<int>(random() % 10);
      sum += (b.bytes + 63) / 64 * 64;
    }
    const size_t total = plan_arena(buffers);
    expect(total <= sum, "the arena is no larger than all buffers together");
    for (const ArenaBuffer& a : buffers) {
      expect(a.offset % 64 == 0 && a.offset + a.bytes <= total, "buffers are aligned and inside");
      for (const ArenaBuffer& b : buffers) {
        const bool together = &a != &b && a.first <= b.last && b.first <= a.last;
        const bool overlap = a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;
        expect(!(together && overlap), "buffers that live together do not overlap");
      }
    }
  }
  std::vector<ArenaBuffer> chain(10);  // each read by the next step only: two are ever alive
  for (int i = 0; i < 10; ++i) chain[static_cast<size_t>(i)] = {640, i, i + 1};
  expect(plan_arena(chain) == 1280, "a chain needs two buffers");
}

struct Tally {
  std::vector<std::atomic<int>> hits;
  std::atomic<int> in_slot[64] = {};
  std::atomic<bool> clash{false};
  explicit Tally(size_t tasks) : hits(tasks) {}
};

void count_tasks(const void* context, int slot, int64_t begin, int64_t end) {
  auto* tally = static_cast<Tally*>(const_cast<void*>(context));
  if (tally->in_slot[slot].fetch_add(1) != 0) tally->clash = true;
  for (int64_t i = begin; i < end; ++i) ++tally->hits[static_cast<size_t>(i)];
  tally->in_slot[slot].fetch_sub(1);
}

bool run_regions(int rounds) {
  bool good = true;
  for (int round = 0; round < rounds; ++round) {
    Tally tally(static_cast<size_t>(1 + round % 97));
    ThreadPool::instance().run(4, static_cast<int64_t>(tally.hits.size()), 50e3, count_tasks,
                               &tally);
    for (const std::atomic<int>& hits : tally.hits) good = good && hits == 1;
    good = good && !tally.clash;
  }
  return good;
}

void test_pool() {
  ThreadPool::instance().reserve(4);
  expect(ThreadPool::instance().workers() == 3, "the caller is one of the threads");
  expect(run_regions(2000), "every task runs once and slots are exclusive");
  std::this_thread::sleep_for(std::chrono::milliseconds(2));  // workers sleep now
  expect(run_regions(10), "sleeping workers wake up");
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> callers;
    for (int i = 0; i < 4; ++i) callers.emplace_back([&good] { good += run_regions(500) ? 1 : 0; });
  }
  expect(good == 4, "concurrent callers do not disturb each other");
}

void note_slot(const void* context, int slot, int64_t begin, int64_t end) {
  auto* used = static_cast<std::atomic<int>*>(const_cast<void*>(context));
  if (slot > 0) *used = 1;
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::microseconds(500 * (end - begin));
  while (std::chrono::steady_clock::now() < until) {
  }
}

// Runs 40 tasks, 20 ms of work, as a step of cost_ns whose predecessor lies 20 ms back; whether a
// worker took part.
bool shared_after_pause(double cost_ns) {
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // workers sleep now
  std::atomic<int> used{0};
  ThreadPool::instance().run(2, 40, cost_ns, note_slot, &used);
  return used == 1;
}

void test_waking() {
  ThreadPool::instance().reserve(4);
  expect(shared_after_pause(1e6), "a long step wakes the workers");
  expect(!shared_after_pause(30e3) && !shared_after_pause(30e3), "short ones run on the caller");
  expect(shared_after_pause(30e3), "until they add up to what waking is worth");
}

void test_fork() {
  const pid_t child = fork();
  if (child == 0) {
    bool good = ThreadPool::instance().workers() == 0 && run_regions(5);
    ThreadPool::instance().reserve(3);
    good = good && ThreadPool::instance().workers() == 2 && run_regions(100);
    _exit(good ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the pool works after fork");
}

// A chain of `layers` matrix products [64, 256] x [256, 256], with constants.
std::shared_ptr<Session> chain(int layers, int threads) {
  Program program;
  std::vector<Constant> constants;
  const auto add_value = [&program](int64_t rows, int64_t columns) {
    ValueSpec value;
    value.dims = {program.expressions.constant(rows), program.expressions.constant(columns)};
    program.values.push_back(std::move(value));
    return static_cast<int>(program.values.size()) - 1;
  };
  int x = add_value(64, 256);
  program.inputs.push_back({"x", x});
  for (int layer = 0; layer < layers; ++layer) {
    const int w = add_value(256, 256);
    program.values.back().constant = layer;
    program.constants.emplace_back();
    Constant constant;
    constant.bytes = 256 * 256 * sizeof(float);
    const std::shared_ptr<std::byte> memory = allocate_aligned(constant.bytes);
    auto* weights = reinterpret_cast<float*>(memory.get());
    for (int i = 0; i < 256 * 256; ++i) weights[i] = static_cast<float>((i + layer) % 7 - 3) / 64;
    constant.data = memory;
    constants.push_back(std::move(constant));
    const int y = add_value(64, 256);
    StepSpec step;
    step.family_name = "gemm";
    step.inputs = {x, w};
    step.outputs = {y};
    program.steps.push_back(std::move(step));
    x = y;
  }
  program.outputs.push_back({"y", x});
  Result<std::shared_ptr<const Model>> model =
      Model::from_program(std::move(program), std::move(constants));
  expect(model.ok(), model.status().message());
  SessionOptions options;
  options.threads = threads;
  Result<std::shared_ptr<Session>> session = Session::from_model(model.value(), options, false);
  expect(session.ok(), session.status().message());
  return session.value();
}

Dims chain_dims() {
  Dims dims;
  dims.rank = 2;
  dims.at[0] = 64;
  dims.at[1] = 256;
  return dims;
}

void test_run_allocates_nothing(int threads) {
  const std::shared_ptr<Session> session = chain(4, threads);
  const Dims dims = chain_dims();
  std::vector<float> x(64 * 256, 0.5F);
  std::vector<float> y(64 * 256);
  const void* inputs[] = {x.data()};
  void* outputs[] = {y.data()};
  const auto once = [&] {
    Result<std::shared_ptr<BoundModel>> bound = session->bind(std::span(&dims, 1));
    return bound.ok() && bound.value()->run(inputs, outputs, RunOptions{}).ok();
  };
  expect(once() && once(), "the first runs");
  const std::vector<float> first = y;
  const int64_t before = g_allocations;
  bool good = true;
  for (int i = 0; i < 50; ++i) good = good && once();
  const int64_t after = g_allocations;
  expect(good, "all runs succeed");
  expect(after == before,
         "a run in steady state allocates nothing, got " + std::to_string(after - before));
  expect(first == y, "every run gives the same bytes");
  expect(before > 0, "allocations are counted at all");
}

void test_threads_give_the_same_bytes() {
  std::vector<float> x(64 * 256);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) / 8 - 0.75F;
  std::vector<float> results[3];
  const Dims dims = chain_dims();
  for (int i = 0; i < 3; ++i) {
    results[i].resize(64 * 256);
    const std::shared_ptr<Session> session = chain(3, i + 1);
    const void* inputs[] = {x.data()};
    void* outputs[] = {results[i].data()};
    expect(session->bind(std::span(&dims, 1)).value()->run(inputs, outputs, RunOptions{}).ok(),
           "run");
  }
  expect(results[0] == results[1] && results[0] == results[2],
         "1, 2 and 3 threads give the same bytes");
}

// Whether 1 + 2^-25 rounds up in the unit that kernels use (fegetround may look at another one).
bool rounds_up() {
  volatile float one = 1.0F;
  volatile float tiny = 0x1p-25F;
  return one + tiny > 1.0F;
}

void test_float_environment() {
  std::fesetround(FE_UPWARD);
  expect(rounds_up(), "the test can change rounding");
  {
    const FloatEnvironment environment;
    expect(!rounds_up(), "a run rounds to nearest");
  }
  expect(rounds_up(), "the caller's rounding is restored");
  std::fesetround(FE_TONEAREST);
}

void test_cancel_names_the_step() {
  const std::shared_ptr<Session> session = chain(2, 1);
  const Dims dims = chain_dims();
  std::vector<float> x(64 * 256);
  std::vector<float> y(64 * 256);
  const void* inputs[] = {x.data()};
  void* outputs[] = {y.data()};
  const std::atomic<bool> cancel{true};
  const Status status = session->bind(std::span(&dims, 1))
                            .value()
                            ->run(inputs, outputs, RunOptions{.cancel = &cancel});
  expect(status.code() == Code::kCancelled && status.message().find("step 0") != std::string::npos,
         "a cancelled run says where it stopped");
}

}  // namespace

int main() {
  test_crc32c();
  test_arena();
  test_pool();
  test_waking();
  test_fork();
  test_run_allocates_nothing(1);
  test_run_allocates_nothing(2);
  test_threads_give_the_same_bytes();
  test_float_environment();
  test_cancel_names_the_step();
  std::printf("%s\n", g_failures == 0 ? "all runtime tests passed" : "runtime tests failed");
  return g_failures == 0 ? 0 : 1;
}
