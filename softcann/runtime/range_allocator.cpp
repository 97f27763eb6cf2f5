#include "softcann/runtime/range_allocator.h"

#include <iterator>

namespace softcann::runtime {

void RangeAllocator::reset(uint64_t begin, uint64_t size) {
  by_begin_.clear();
  by_size_.clear();
  insert(begin, begin + size);
}

void RangeAllocator::insert(uint64_t begin, uint64_t end) {
  if (begin == end) return;
  by_begin_.emplace(begin, end);
  by_size_.emplace(end - begin, begin);
}

void RangeAllocator::erase(ByBegin::iterator range) {
  by_size_.erase({range->second - range->first, range->first});
  by_begin_.erase(range);
}

void RangeAllocator::carve(ByBegin::iterator range, uint64_t begin, uint64_t size) {
  const auto [first, last] = *range;
  erase(range);
  insert(first, begin);
  insert(begin + size, last);
}

std::optional<uint64_t> RangeAllocator::take(uint64_t size, uint64_t alignment) {
  const auto fit = [&](auto it) -> std::optional<uint64_t> {
    const uint64_t begin = (it->second + alignment - 1) & ~(alignment - 1);
    if (begin + size > it->second + it->first) return std::nullopt;
    carve(by_begin_.find(it->second), begin, size);
    return begin;
  };
  // The best fits may fail by their alignment; a range of size + alignment does not.
  auto it = by_size_.lower_bound({size, 0});
  for (int tries = 0; tries < 8 && it != by_size_.end(); ++tries, ++it) {
    if (const auto begin = fit(it)) return begin;
  }
  it = by_size_.lower_bound({size + alignment - 1, 0});
  return it == by_size_.end() ? std::nullopt : fit(it);
}

bool RangeAllocator::take_at(uint64_t begin, uint64_t size) {
  auto range = by_begin_.upper_bound(begin);
  if (range == by_begin_.begin()) return false;
  --range;
  if (begin + size > range->second) return false;
  carve(range, begin, size);
  return true;
}

std::pair<uint64_t, uint64_t> RangeAllocator::give(uint64_t begin, uint64_t size) {
  uint64_t end = begin + size;
  auto next = by_begin_.lower_bound(begin);
  if (next != by_begin_.end() && next->first == end) {
    end = next->second;
    const auto after = std::next(next);
    erase(next);
    next = after;
  }
  if (next != by_begin_.begin()) {
    const auto previous = std::prev(next);
    if (previous->second == begin) {
      begin = previous->first;
      erase(previous);
    }
  }
  insert(begin, end);
  return {begin, end};
}

}  // namespace softcann::runtime
