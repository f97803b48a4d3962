#include "runtime/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <system_error>
#include <thread>

#include "runtime/os.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace pyrt {
namespace {

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

constexpr auto kSpin = std::chrono::microseconds(20);
// Work for each waking: the caller then loses 5 % at most.
constexpr double kWakeNs = 80e3;
constexpr uint32_t kOpen = 1u << 31;

struct Job {
  ThreadPool::Function function = nullptr;
  const void* context = nullptr;
  int64_t tasks = 0;
  int threads = 0;
};

// A run of tasks.
struct alignas(64) Part {
  std::atomic<int64_t> next{0};  // first task nobody took
  int64_t end = 0;
};
constexpr int kMaxParts = 64;
int parts_of(int threads) { return std::min(threads, kMaxParts); }

// All that the workers share. Never freed: after fork() the child leaves the parent's behind, since
// its threads are gone and its locks are in an unknown state.
struct State {
  std::mutex start;             // guards `workers` while threads are started
  std::atomic<int> workers{0};  // threads that exist
  std::atomic_flag busy;        // held by the caller whose job is open
  double asleep_ns = 0;         // work since the last waking; guarded by `busy`
  Job job;                      // written while `busy` is held and the gate is closed
  Part parts[kMaxParts];
  alignas(64) std::atomic<uint32_t> gate{
      0};                                 // kOpen while workers may join, plus the number that did
  alignas(64) std::atomic<int> epoch{0};  // counts jobs; sleeping workers wait on it
  std::atomic<int> sleepers{0};
};

std::atomic<State*> g_state{nullptr};

State& state() {
  State* current = g_state.load(std::memory_order_acquire);
  if (current != nullptr) return *current;
  auto* fresh = new State;
  if (g_state.compare_exchange_strong(current, fresh, std::memory_order_acq_rel)) {
    return *fresh;
  }
  delete fresh;
  return *current;
}

void forget_workers() { g_state.store(nullptr, std::memory_order_release); }

// Every thread begins with its own part of the tasks, the same whenever the step runs: what it
// wrote last time, or in the step before, is in its caches. Then it helps the others. It takes half
// of what is left of a part, so that threads that start late or run on a slower core leave small
// pieces.
void take_tasks(State& s, const Job& job, int slot) {
  const int parts = parts_of(job.threads);
  for (int i = 0; i < parts; ++i) {
    Part& part = s.parts[(slot + i) % parts];
    int64_t begin = part.next.load(std::memory_order_relaxed);
    while (begin < part.end) {
      const int64_t count = std::max<int64_t>((part.end - begin) / 2, 1);
      if (!part.next.compare_exchange_weak(begin, begin + count, std::memory_order_relaxed)) {
        continue;
      }
      job.function(job.context, slot, begin, begin + count);
      begin = part.next.load(std::memory_order_relaxed);
    }
  }
}

// Joins the open job if there is one and `slot` is wanted.
void join(State& s, int slot) {
  uint32_t seen = s.gate.load(std::memory_order_acquire);
  while ((seen & kOpen) != 0) {
    if (!s.gate.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
    // The job cannot change before everybody who joined has left.
    if (slot < s.job.threads) take_tasks(s, s.job, slot);
    s.gate.fetch_sub(1, std::memory_order_release);
    return;
  }
}

int wait_for_job(State& s, int seen) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  while (std::chrono::steady_clock::now() < deadline) {
    for (int i = 0; i < 32; ++i) {
      const int now = s.epoch.load(std::memory_order_acquire);
      if (now != seen) return now;
      relax();
    }
  }
  // A job that opens just now may go without this thread: the caller works on it in any case.
  s.sleepers.fetch_add(1, std::memory_order_relaxed);
  s.epoch.wait(seen, std::memory_order_acquire);
  s.sleepers.fetch_sub(1, std::memory_order_relaxed);
  return s.epoch.load(std::memory_order_acquire);
}

void work(State& s, int slot) {
  const FloatEnvironment environment;
  int seen = 0;
  for (;;) {
    seen = wait_for_job(s, seen);
    join(s, slot);
  }
}

}  // namespace

ThreadPool& ThreadPool::instance() {
  static ThreadPool pool;
  static const bool registered = [] {
    at_fork_child(forget_workers);
    return true;
  }();
  static_cast<void>(registered);
  return pool;
}

int ThreadPool::workers() const { return state().workers.load(); }

void ThreadPool::reserve(int threads) {
  State& s = state();
  const std::lock_guard<std::mutex> lock(s.start);
  while (s.workers.load() < threads - 1) {
    const int slot = s.workers.load() + 1;
    try {
      std::thread([&s, slot] { work(s, slot); }).detach();
    } catch (const std::system_error&) {
      return;  // no more threads to be had: regions run on fewer
    }
    s.workers.store(slot);
  }
}

void ThreadPool::run(int threads, int64_t tasks, double cost_ns, Function function,
                     const void* context) {
  State& s = state();
  threads = static_cast<int>(
      std::min<int64_t>(std::min(threads, s.workers.load(std::memory_order_relaxed) + 1), tasks));
  if (threads <= 1 || s.busy.test_and_set(std::memory_order_acquire)) {
    if (tasks > 0) function(context, 0, 0, tasks);
    return;
  }
  const int sleepers = s.sleepers.load(std::memory_order_relaxed);
  bool wake = false;
  if (sleepers > 0) {
    s.asleep_ns += cost_ns;
    wake = s.asleep_ns >= kWakeNs;
    if (wake) s.asleep_ns = 0;
    if (!wake && sleepers >= s.workers.load(std::memory_order_relaxed)) {
      s.busy.clear(std::memory_order_release);
      function(context, 0, 0, tasks);
      return;
    }
  }
  s.job = {function, context, tasks, threads};
  const int parts = parts_of(threads);
  for (int i = 0; i < parts; ++i) {
    s.parts[i].next.store(tasks * i / parts, std::memory_order_relaxed);
    s.parts[i].end = tasks * (i + 1) / parts;
  }
  s.gate.store(kOpen, std::memory_order_release);
  s.epoch.fetch_add(1, std::memory_order_release);
  if (wake) s.epoch.notify_all();
  take_tasks(s, s.job, 0);
  // Nobody may join from here on; those who did are in their last tasks.
  s.gate.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spins = 0; s.gate.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < 4096) {
      relax();
    } else {
      std::this_thread::yield();  // more threads than cores: let the worker finish
    }
  }
  s.busy.clear(std::memory_order_release);
}

#if defined(__SSE__) || defined(__x86_64__)

FloatEnvironment::FloatEnvironment() : saved_(_mm_getcsr()) {
  constexpr uint32_t kDefault = 0x1f80;  // all exceptions masked, round to nearest, FTZ and DAZ off
  if ((saved_ & 0xffc0u) != kDefault) _mm_setcsr(kDefault);
}
FloatEnvironment::~FloatEnvironment() {
  if ((saved_ & 0xffc0u) != 0x1f80) _mm_setcsr(static_cast<uint32_t>(saved_));
}

#elif defined(__aarch64__)

// FPCR: bits 22, 23 rounding mode, 24 flush to zero, 19 flush fp16.
FloatEnvironment::FloatEnvironment() {
  uint64_t fpcr = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  saved_ = fpcr;
  const uint64_t wanted = fpcr & ~((3ull << 22) | (1ull << 24) | (1ull << 19));
  if (wanted != fpcr) __asm__ volatile("msr fpcr, %0" : : "r"(wanted));
}
FloatEnvironment::~FloatEnvironment() { __asm__ volatile("msr fpcr, %0" : : "r"(saved_)); }

#elif defined(__arm__) && defined(__VFP_FP__)

FloatEnvironment::FloatEnvironment() {
  uint32_t fpscr = 0;
  __asm__ volatile("vmrs %0, fpscr" : "=r"(fpscr));
  saved_ = fpscr;
  const uint32_t wanted = fpscr & ~((3u << 22) | (1u << 24));
  __asm__ volatile("vmsr fpscr, %0" : : "r"(wanted));
}
FloatEnvironment::~FloatEnvironment() {
  const auto fpscr = static_cast<uint32_t>(saved_);
  __asm__ volatile("vmsr fpscr, %0" : : "r"(fpscr));
}

#else

FloatEnvironment::FloatEnvironment() : saved_(0) {}
FloatEnvironment::~FloatEnvironment() = default;

#endif

}  // namespace pyrt
