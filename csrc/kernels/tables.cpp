// Every family and row of this build, sorted. The build writes one line a family folder into
// families.inc and one a kernel file into tables.inc; there are no registering constructors, which
// linkers drop from archives.
#include <algorithm>
#include <tuple>
#include <vector>

#include "kernels/kernel.h"

namespace pyrt {

#define PYRT_FAMILY(folder) extern constinit const FamilyTable folder##_families;
#include "families.inc"
#undef PYRT_FAMILY
#define PYRT_TABLE(name) extern constinit const Table name;
#include "tables.inc"
#undef PYRT_TABLE

namespace {

[[maybe_unused]] bool before(const Family* a, const Family* b) { return a->name < b->name; }
[[maybe_unused]] bool before(const Row* a, const Row* b) {
  return std::tie(a->family, a->name) < std::tie(b->family, b->name);
}

template <class T>
void insert(std::vector<const T*>& sorted, const T* begin, size_t count) {
  for (const T* item = begin; item != begin + count; ++item) {
    const auto place = [](const T* a, const T* b) { return before(a, b); };
    sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), item, place), item);
  }
}

std::vector<const Family*> collect_families() {
  std::vector<const Family*> families;
#define PYRT_FAMILY(folder) insert(families, folder##_families.families, folder##_families.count);
#include "families.inc"
#undef PYRT_FAMILY
  return families;
}

std::vector<const Row*> collect_rows() {
  std::vector<const Row*> rows;
#define PYRT_TABLE(name) insert(rows, name.rows, name.count);
#include "tables.inc"
#undef PYRT_TABLE
  return rows;
}

}  // namespace

std::span<const Family* const> all_families() {
  static const std::vector<const Family*> families = collect_families();
  return families;
}

std::span<const Row* const> all_rows() {
  static const std::vector<const Row*> rows = collect_rows();
  return rows;
}

std::span<const Row* const> rows_of(std::string_view family) {
  const std::span<const Row* const> rows = all_rows();
  size_t begin = 0;
  while (begin < rows.size() && rows[begin]->family < family) ++begin;
  size_t end = begin;
  while (end < rows.size() && rows[end]->family == family) ++end;
  return rows.subspan(begin, end - begin);
}

const Family* find_family(std::string_view name) {
  for (const Family* family : all_families()) {
    if (family->name == name) return family;
  }
  return nullptr;
}

}  // namespace pyrt
