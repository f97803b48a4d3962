// One pool of threads for the process. The caller always takes part, so the pool has one thread
// less than a step uses.
//
// One parallel region runs at a time. A caller that finds the pool busy computes alone: results do
// not depend on it, and concurrent runs then use a core each instead of fighting over all. Workers
// spin for about 20 us after their last job (steps of one run follow each other faster than a
// sleeping thread wakes) and then sleep on a futex. To wake them costs the caller 4 us, so it
// happens at most once for every 80 us of work that met sleeping workers: a short step after a
// pause runs on the caller, a long step or the next of many short ones on all.
#pragma once

#include <cstdint>

namespace pyrt {

class ThreadPool {
 public:
  // Computes tasks [begin, end); `slot` is below the number of threads and unique among those
  // running now.
  using Function = void (*)(const void* context, int slot, int64_t begin, int64_t end);

  static ThreadPool& instance();

  // Starts workers until regions of `threads` can run; fewer when the system refuses. Called at
  // bind time.
  void reserve(int threads);

  // Runs `function` over [0, tasks) on up to `threads` threads; on one thread it would take about
  // cost_ns. Returns when all is done. No allocation.
  void run(int threads, int64_t tasks, double cost_ns, Function function, const void* context);

  int workers() const;

 private:
  ThreadPool() = default;
};

// Round to nearest, no flush to zero: what every kernel expects. Restores the caller's state when
// it goes.
class FloatEnvironment {
 public:
  FloatEnvironment();
  ~FloatEnvironment();
  FloatEnvironment(const FloatEnvironment&) = delete;
  FloatEnvironment& operator=(const FloatEnvironment&) = delete;

 private:
  uint64_t saved_;
};

}  // namespace pyrt
