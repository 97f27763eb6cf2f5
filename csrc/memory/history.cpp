#include "memory/history.h"

#include <algorithm>

namespace torch_npu::memory {

void History::configure(bool enabled, c10::CachingDeviceAllocator::CreateContextFn make_context, size_t max_entries,
                        RecordContext when, bool clear) {
  std::lock_guard<std::mutex> lock(mutex_);
  make_context_ = enabled ? make_context : nullptr;
  when_ = enabled ? when : RecordContext::NEVER;
  max_entries = std::max<size_t>(max_entries, 1);
  if (clear || max_entries != max_entries_) {
    ring_.clear();
    oldest_ = 0;
  }
  max_entries_ = max_entries;
  if (enabled && !clock_) clock_.emplace();
  on_ = enabled;
}

History::Context History::context(RecordContext kind) const {
  if (!on() || when_.load() < kind) return nullptr;
  const auto make = make_context_.load();
  return make == nullptr ? nullptr : make();
}

void History::add(Entry::Action action, c10::DeviceIndex device, const void* address, size_t bytes,
                  c10::StreamId stream, c10::MempoolId_t pool, Context context) {
  if (!on()) return;
  Entry entry(action, device, reinterpret_cast<size_t>(address), bytes, reinterpret_cast<void*>(stream), pool,
              c10::getApproximateTime(), std::move(context));
  std::lock_guard<std::mutex> lock(mutex_);
  if (ring_.size() < max_entries_) {
    ring_.push_back(std::move(entry));
  } else {
    ring_[oldest_] = std::move(entry);
    oldest_ = (oldest_ + 1) % max_entries_;
  }
}

std::vector<History::Entry> History::entries() {
  std::lock_guard<std::mutex> lock(mutex_);
  std::vector<Entry> ordered(ring_.begin() + static_cast<ptrdiff_t>(oldest_), ring_.end());
  ordered.insert(ordered.end(), ring_.begin(), ring_.begin() + static_cast<ptrdiff_t>(oldest_));
  if (!ordered.empty()) {
    const auto to_nanoseconds = clock_->makeConverter();
    for (Entry& entry : ordered) entry.time_.t_ = to_nanoseconds(entry.time_.approx_t_) / 1000;
  }
  return ordered;
}

}  // namespace torch_npu::memory
