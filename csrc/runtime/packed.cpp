#include "runtime/packed.h"

#include <cstring>
#include <mutex>
#include <unordered_map>

namespace pyrt {
namespace {

struct Cache {
  std::mutex mutex;
  std::unordered_multimap<std::string, std::weak_ptr<const Packed>> entries;
};

// Never freed: sessions may outlive static destructors.
Cache& cache() {
  static Cache* const instance = new Cache;
  return *instance;
}

bool same_sources(const Packed& packed, const std::vector<Constant>& sources) {
  if (packed.sources.size() != sources.size()) return false;
  for (size_t i = 0; i < sources.size(); ++i) {
    const Constant& a = packed.sources[i];
    const Constant& b = sources[i];
    if (a.bytes != b.bytes) return false;
    if (a.data != b.data && a.bytes != 0 && std::memcmp(a.data.get(), b.data.get(), a.bytes) != 0)
      return false;
  }
  return true;
}

std::shared_ptr<const Packed> find(Cache& c, const std::string& key,
                                   const std::vector<Constant>& sources) {
  const auto [first, last] = c.entries.equal_range(key);
  for (auto entry = first; entry != last;) {
    const std::shared_ptr<const Packed> packed = entry->second.lock();
    if (packed == nullptr) {
      entry = c.entries.erase(entry);
      continue;
    }
    if (same_sources(*packed, sources)) return packed;
    ++entry;
  }
  return nullptr;
}

}  // namespace

Result<std::shared_ptr<const Packed>> pack_weights(const Row& row, const Problem& problem,
                                                   const Model& model,
                                                   const std::vector<int>& constants,
                                                   const std::string& attributes,
                                                   size_t max_bytes) {
  if (row.pack == nullptr || row.packed_bytes == nullptr) return std::shared_ptr<const Packed>();
  const size_t bytes = row.packed_bytes(problem);
  if (bytes == 0) return std::shared_ptr<const Packed>();
  if (bytes > max_bytes) {
    return Status(Code::kResource,
                  "packed weights of " + std::to_string(bytes) + " bytes exceed max_bytes");
  }
  std::vector<Constant> sources;
  std::string key = std::string(row.packing.empty() ? row.name : row.packing) + "|" +
                    std::to_string(bytes) + "|" + attributes + "|";
  for (size_t i = 0; i < constants.size(); ++i) {
    if (constants[i] < 0) continue;
    const Operand& operand = problem.inputs[i];
    key += std::to_string(i) + ":" + std::string(dtype_name(operand.dtype));
    for (int axis = 0; axis < operand.dims.rank; ++axis)
      key += "," + std::to_string(operand.dims[axis]);
    key += "#" + std::to_string(model.constant_hash(constants[i])) + "|";
    sources.push_back(model.constants()[static_cast<size_t>(constants[i])]);
  }
  Cache& c = cache();
  // Held while packing: whoever wants the same weights at the same time waits for them instead of
  // packing twice.
  const std::lock_guard<std::mutex> lock(c.mutex);
  if (std::shared_ptr<const Packed> found = find(c, key, sources)) return found;
  auto packed = std::make_shared<Packed>();
  packed->data = allocate_aligned(bytes);
  packed->bytes = bytes;
  packed->sources = std::move(sources);
  if (packed->data == nullptr) {
    return Status(Code::kResource,
                  "no memory for " + std::to_string(bytes) + " bytes of packed weights");
  }
  std::memset(packed->data.get(), 0, bytes);
  row.pack(problem, packed->data.get());
  std::erase_if(c.entries, [](const auto& entry) { return entry.second.expired(); });
  c.entries.emplace(std::move(key), packed);
  return std::shared_ptr<const Packed>(std::move(packed));
}

size_t packed_bytes_alive() {
  Cache& c = cache();
  const std::lock_guard<std::mutex> lock(c.mutex);
  size_t bytes = 0;
  for (const auto& [key, entry] : c.entries) {
    if (const std::shared_ptr<const Packed> packed = entry.lock()) bytes += packed->bytes;
  }
  return bytes;
}

}  // namespace pyrt
