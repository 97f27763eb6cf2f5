// Free ranges of a linear space: best fit, neighbours coalesce, every operation takes O(log n).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace softcann::runtime {

class RangeAllocator {
 public:
  void reset(uint64_t begin, uint64_t size);

  // Start of a range of `size` bytes at a multiple of `alignment` (a power of two), or nothing.
  std::optional<uint64_t> take(uint64_t size, uint64_t alignment);
  // The same, at `begin`.
  bool take_at(uint64_t begin, uint64_t size);
  // Returns the free range, [first, second), that the given one is part of now.
  std::pair<uint64_t, uint64_t> give(uint64_t begin, uint64_t size);

  uint64_t largest() const { return by_size_.empty() ? 0 : by_size_.rbegin()->first; }

 private:
  using ByBegin = std::map<uint64_t, uint64_t>;
  void carve(ByBegin::iterator range, uint64_t begin, uint64_t size);
  void insert(uint64_t begin, uint64_t end);
  void erase(ByBegin::iterator range);

  ByBegin by_begin_;                                    // begin -> end
  std::set<std::pair<uint64_t, uint64_t>> by_size_;     // (size, begin)
};

}  // namespace softcann::runtime
