// Linux and other POSIX systems: files, memory, CPU counts.
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sched.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "runtime/os.h"

namespace pyrt {
namespace {

constexpr size_t kAlignment = 64;

class MappedFile final : public Bytes {
 public:
  MappedFile(void* address, size_t size) : address_(address), size_(size) {
    span_ = {static_cast<const std::byte*>(address), size};
    const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    readable_tail_ = (page - size % page) % page;  // the rest of the last page reads as zeros
  }
  ~MappedFile() override { munmap(address_, size_); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

 private:
  void* address_;
  size_t size_;
};

class OwnedBytes final : public Bytes {
 public:
  OwnedBytes(std::shared_ptr<std::byte> data, size_t size) : data_(std::move(data)) {
    span_ = {data_.get(), size};
    readable_tail_ = kAlignment;
  }

 private:
  std::shared_ptr<std::byte> data_;
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Status file_error(const std::string& path, const char* action, int error) {
  return Status(Code::kArgument,
                "cannot " + std::string(action) + " '" + path + "': " + std::strerror(error));
}

Status read_all(int fd, const std::string& path, std::byte* out, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t count = read(fd, out + done, size - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return file_error(path, "read", errno);
    if (count == 0) return Status(Code::kFormat, "'" + path + "' became shorter while it was read");
    done += static_cast<size_t>(count);
  }
  return {};
}

#if defined(__linux__)
// CPUs granted by a control group's quota, or 0 without one. `text` is "max 100000" or "150000
// 100000".
int quota_of(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::min<long long>((quota + period - 1) / period, 1 << 16));
}

int cgroup_quota() {
  if (std::FILE* file = std::fopen("/sys/fs/cgroup/cpu.max", "re")) {  // version 2
    long long quota = 0;
    long long period = 0;
    const int fields = std::fscanf(file, "%lld %lld", &quota, &period);  // "max" leaves 0 fields
    std::fclose(file);
    return fields == 2 ? quota_of(quota, period) : 0;
  }
  long long values[2] = {0, 0};  // version 1
  const char* paths[2] = {"/sys/fs/cgroup/cpu/cpu.cfs_quota_us",
                          "/sys/fs/cgroup/cpu/cpu.cfs_period_us"};
  for (int i = 0; i < 2; ++i) {
    std::FILE* file = std::fopen(paths[i], "re");
    if (file == nullptr) return 0;
    const int fields = std::fscanf(file, "%lld", &values[i]);
    std::fclose(file);
    if (fields != 1) return 0;
  }
  return quota_of(values[0], values[1]);
}
#endif

}  // namespace

Result<std::shared_ptr<const Bytes>> open_file(const std::string& path, bool map) {
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return file_error(path, "open", errno);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return file_error(path, "inspect", errno);
  if (!S_ISREG(info.st_mode))
    return Status(Code::kArgument, "'" + path + "' is not a regular file");
  const auto size = static_cast<size_t>(info.st_size);
  if (map && size > 0) {
    void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (address == MAP_FAILED) return file_error(path, "map", errno);
    return std::shared_ptr<const Bytes>(std::make_shared<MappedFile>(address, size));
  }
  std::shared_ptr<std::byte> data = allocate_aligned(size);
  if (data == nullptr) {
    return Status(Code::kResource,
                  "no memory for the " + std::to_string(size) + " bytes of '" + path + "'");
  }
  PYRT_RETURN_IF_ERROR(read_all(file.get(), path, data.get(), size));
  return std::shared_ptr<const Bytes>(std::make_shared<OwnedBytes>(std::move(data), size));
}

Result<std::shared_ptr<const Bytes>> copy_bytes(std::span<const std::byte> bytes) {
  std::shared_ptr<std::byte> data = allocate_aligned(bytes.size());
  if (data == nullptr) {
    return Status(Code::kResource,
                  "no memory for a model of " + std::to_string(bytes.size()) + " bytes");
  }
  if (!bytes.empty()) std::memcpy(data.get(), bytes.data(), bytes.size());
  return std::shared_ptr<const Bytes>(std::make_shared<OwnedBytes>(std::move(data), bytes.size()));
}

std::shared_ptr<std::byte> allocate_aligned(size_t size) {
  if (size > SIZE_MAX - 2 * kAlignment) return nullptr;
  const size_t total = (size + 2 * kAlignment - 1) / kAlignment * kAlignment;
  void* memory = nullptr;
  // Large blocks on huge pages: a vector times 16 MB of weights takes 10 % less (Zen 3).
  constexpr size_t kHugePage = size_t{2} << 20;
  const bool large = total >= 2 * kHugePage;
  if (posix_memalign(&memory, large ? kHugePage : kAlignment, total) != 0) return nullptr;
#if defined(MADV_HUGEPAGE)
  if (large) madvise(memory, total, MADV_HUGEPAGE);
#endif
  return {static_cast<std::byte*>(memory), [](std::byte* p) { std::free(p); }};
}

int available_cpus() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) cpus = CPU_COUNT(&set);
  if (const int quota = cgroup_quota(); quota > 0) cpus = std::min(cpus, quota);
#endif
  return std::max(cpus, 1);
}

std::string environment(const char* name) {
  const char* value =
      std::getenv(name);  // NOLINT(concurrency-mt-unsafe): read before threads of ours exist
  return value == nullptr ? std::string() : std::string(value);
}

void at_fork_child(void (*child)()) { pthread_atfork(nullptr, nullptr, child); }

}  // namespace pyrt
