// What a device cache tells people: the out-of-memory message and snapshots.
#include <c10/core/Allocator.h>
#include <c10/core/AllocatorConfig.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "memory/device_cache.h"
#include "memory/expandable_segment.h"

namespace torch_npu::memory {

using c10::CachingAllocator::format_size;
using c10::CachingDeviceAllocator::BlockInfo;
using c10::CachingDeviceAllocator::SegmentInfo;

void DeviceCache::out_of_memory(Lock& lock, Space& space, size_t requested) {
  ++stats_.num_ooms;
  std::optional<std::pair<size_t, size_t>> info;
  try {
    info = backend_->memory_info();
  } catch (const c10::Error&) {
    // The message goes without the device's own figures.
  }
  const size_t allocated = static_cast<size_t>(tallies_.allocated_bytes.current());
  const size_t active = static_cast<size_t>(tallies_.active_bytes.current());
  const size_t reserved = static_cast<size_t>(tallies_.reserved_bytes.current());
  const size_t unused = reserved - active;
  const Block* largest = space.free.largest();
  const size_t largest_bytes = largest == nullptr ? 0 : largest->bytes;
  const double fraction = memory_fraction_;

  std::ostringstream out;
  out << "NPU out of memory. Tried to allocate " << format_size(requested) << " on npu:" << static_cast<int>(device_)
      << ".";
  if (info) {
    out << " The device has " << format_size(info->second) << " in total, of which " << format_size(info->first)
        << " is free.";
  }
  if (fraction < 1 && info) {
    out << " This process may use " << format_size(static_cast<size_t>(fraction * static_cast<double>(info->second)))
        << " of it (memory fraction " << fraction << ").";
  }
  out << " Tensors of this process hold " << format_size(allocated) << "; " << format_size(unused)
      << " more is reserved by PyTorch but unallocated, the largest free block in it that this stream's request could use"
      << " has " << format_size(largest_bytes) << ".";
  out << " What to try: ";
  if (info && requested > info->second) {
    out << "the request alone exceeds the device, so use a smaller batch or shapes, or shard the model.";
  } else if (unused >= requested && !settings_.expandable_segments) {
    out << "the memory is fragmented, so set PYTORCH_NPU_ALLOC_CONF=expandable_segments:True before the program starts.";
  } else if (unused >= requested && settings_.expandable_granule_bytes > c10::CachingAllocator::kRoundLarge) {
    out << "the memory is fragmented, so add segment_size_mb:2 to PYTORCH_NPU_ALLOC_CONF, which lets smaller holes be used.";
  } else if (fraction < 1 && info && info->first >= requested) {
    out << "raise the limit with torch.npu.set_per_process_memory_fraction, or use a smaller batch.";
  } else if (info && info->second - std::min(info->second, info->first + reserved) > reserved) {
    out << "most of the device's memory is held outside of PyTorch's allocator or by other processes, so end those; or"
        << " use a smaller batch.";
  } else {
    out << "a smaller batch, activation checkpointing, or dropping references to tensors that are no longer needed"
        << " (torch.npu.memory_summary() shows what is held).";
  }
  const size_t free_bytes = info ? info->first : 0;
  const size_t total_bytes = info ? info->second : 0;
  history_.add(History::Entry::Action::OOM, device_, reinterpret_cast<void*>(free_bytes), requested, space.stream,
               space.owner->id, cause_);
  const std::vector<OutOfMemoryObserver> observers = observers_;
  lock.unlock();
  c10::reportOutOfMemoryToProfiler(static_cast<int64_t>(requested), allocated, reserved, {c10::kPrivateUse1, device_});
  for (const OutOfMemoryObserver& observer : observers) observer(device_, requested, total_bytes, free_bytes);
  TORCH_CHECK_WITH(OutOfMemoryError, false, out.str());
  std::abort();  // not reached
}

void DeviceCache::attach_out_of_memory_observer(OutOfMemoryObserver observer) {
  Lock lock(mutex_);
  observers_.push_back(std::move(observer));
}

std::vector<SegmentInfo> DeviceCache::snapshot(c10::MempoolId_t pool) {
  Lock lock(mutex_);
  std::vector<SegmentInfo> segments;
  for (const auto& [base, segment] : segments_) {
    const Space& space = *segment->space;
    if (pool != c10::MempoolId_t{0, 0} && space.owner->id != pool) continue;
    bool contiguous = false;  // an address range appears as one segment per stretch that has memory
    for (const Block* block = segment->first; block != nullptr; block = block->after) {
      if (!block->mapped) {
        contiguous = false;
        continue;
      }
      if (!contiguous) {
        SegmentInfo& info = segments.emplace_back();
        info.device = device_;
        info.address = reinterpret_cast<size_t>(block->data);
        info.stream = reinterpret_cast<void*>(space.stream);
        info.is_large = !space.small;
        info.is_expandable = segment->expandable != nullptr;
        info.owner_private_pool_id = space.owner->id;
        info.context_when_allocated = segment->context;
        contiguous = true;
      }
      SegmentInfo& info = segments.back();
      const bool active = block->allocated || block->pending_events != 0;
      info.total_size += block->bytes;
      if (block->allocated) info.allocated_size += block->bytes;
      if (active) {
        info.active_size += block->bytes;
        info.requested_size += block->requested;
      }
      BlockInfo& entry = info.blocks.emplace_back();
      entry.size = block->bytes;
      entry.requested_size = active ? block->requested : 0;
      entry.gc_counter = active ? 0 : static_cast<int32_t>(std::min<uint64_t>(clock_ - block->freed_at, INT32_MAX));
      entry.allocated = block->allocated;
      entry.active = active;
      entry.context_when_allocated = block->context;
    }
  }
  history_.add(History::Entry::Action::SNAPSHOT, device_, nullptr, static_cast<size_t>(tallies_.reserved_bytes.current()), 0, pool, nullptr);
  return segments;
}

}  // namespace torch_npu::memory
