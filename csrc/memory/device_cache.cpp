#include "memory/device_cache.h"

#include <c10/core/Allocator.h>
#include <c10/core/AllocatorConfig.h>
#include <c10/util/Exception.h>
#include <c10/util/ScopeExit.h>

#include <algorithm>
#include <utility>

#include "memory/expandable_segment.h"

namespace torch_npu::memory {
namespace {

using c10::CachingAllocator::kMinBlockSize;
using c10::CachingAllocator::kMinLargeAlloc;
using c10::CachingAllocator::kRoundLarge;
using c10::CachingAllocator::kSmallBuffer;
using c10::CachingAllocator::kSmallSize;
using Action = History::Entry::Action;
using RecordContext = History::RecordContext;

constexpr c10::MempoolId_t kDefaultPool{0, 0};
constexpr size_t kUnlimited = std::numeric_limits<size_t>::max();
constexpr size_t kBlocksPerSlab = 256;
// Far above any device and far from overflow in the rounding below.
constexpr size_t kLargestRequest = size_t{1} << 60;
// Device cores read whole 32-byte units and may look one unit ahead of a tensor. aclrtMalloc allows for that at the end
// of what it returns; mapped granules have nothing behind them.
constexpr size_t kReadAhead = 32;

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// As upstream's roundup_power2_divisions: the next multiple of (power of two below) / divisions.
size_t round_to_division(size_t bytes, size_t divisions) {
  if (divisions <= 1 || bytes <= kMinBlockSize * divisions) return bytes;
  const size_t floor = size_t{1} << (63 - __builtin_clzll(bytes));
  return round_up(bytes, std::max<size_t>(floor / divisions, 1));
}

}  // namespace

DeviceCache::DeviceCache(c10::DeviceIndex device, std::unique_ptr<DeviceBackend> backend, Settings settings)
    : device_(device), backend_(std::move(backend)) {
  pools_.emplace(kDefaultPool, std::make_unique<PrivatePool>(PrivatePool{kDefaultPool, 1, {}, {}}));
  apply(settings);
}

DeviceCache::~DeviceCache() = default;

void DeviceCache::apply(const Settings& settings) {
  Lock lock(mutex_);
  settings_ = settings;
  if (settings_.expandable_segments) {
    if (const std::string lack = backend_->lack_of_address_ranges(); !lack.empty()) {
      TORCH_WARN_ONCE("expandable_segments:True has no effect: ", lack, ". Memory is taken in ordinary segments.");
      settings_.expandable_segments = false;
    }
  }
  if (settings.memory_fraction) memory_fraction_ = *settings.memory_fraction;
  stats_.max_split_size = static_cast<int64_t>(std::min<size_t>(settings.max_split_bytes, INT64_MAX));
}

// --- Allocation -----------------------------------------------------------------------------------------------------

Block* DeviceCache::malloc(size_t bytes, c10::StreamId stream) {
  History::Context context;
  const bool traced = history_.on();
  if (C10_UNLIKELY(traced)) context = history_.context(RecordContext::STATE);

  Lock lock(mutex_);
  if (C10_UNLIKELY(traced)) cause_ = std::move(context);
  const size_t size = rounded(bytes);
  Space& space = space_for(size, stream);
  if (C10_UNLIKELY(pending_uses_ != 0 && !settings_.lazy_reclaim)) reclaim_finished();
  Block* block = find_free(space, size);
  if (C10_LIKELY(block != nullptr)) {
    space.free.erase(block);
  } else {
    block = malloc_slow(lock, space, size, bytes);
  }
  hand_out(block, size, bytes);
  if (C10_UNLIKELY(traced)) {
    block->context = cause_;
    trace(Action::ALLOC, block);
  }
  const auto block_bytes = static_cast<int64_t>(block->bytes);
  const int64_t allocated = tallies_.allocated_bytes.current();
  const int64_t reserved = tallies_.reserved_bytes.current();
  void* data = block->data;
  lock.unlock();
  c10::reportMemoryUsageToProfiler(data, block_bytes, allocated, reserved, {c10::kPrivateUse1, device_});
  return block;
}

inline size_t DeviceCache::rounded(size_t bytes) const {
  if (C10_UNLIKELY(bytes > kLargestRequest)) return bytes;  // fails in malloc_slow()
  if (C10_UNLIKELY(!settings_.roundup_divisions.empty())) {
    const size_t index = std::min<size_t>(bytes >> 20 == 0 ? 0 : 63 - __builtin_clzll(bytes >> 20),
                                          settings_.roundup_divisions.size() - 1);
    bytes = round_to_division(bytes, settings_.roundup_divisions[index]);
  }
  if (C10_UNLIKELY(settings_.expandable_segments)) bytes += kReadAhead;
  return bytes <= kMinBlockSize ? kMinBlockSize : (bytes + kMinBlockSize - 1) & ~(kMinBlockSize - 1);
}

size_t DeviceCache::segment_bytes(size_t bytes) const {
  if (!settings_.caching) return bytes;
  if (bytes <= kSmallSize) return kSmallBuffer;
  if (bytes < kMinLargeAlloc) return settings_.large_segment_bytes;
  return round_up(bytes, kRoundLarge);
}

PrivatePool& DeviceCache::pool_for(c10::StreamId stream) {
  for (const auto& [id, filter] : filters_) {
    if (filter(c10::Stream(c10::Stream::UNSAFE, {c10::kPrivateUse1, device_}, stream))) return pool_of(id);
  }
  return pool_of(kDefaultPool);
}

PrivatePool& DeviceCache::pool_of(c10::MempoolId_t id) {
  const auto found = pools_.find(id);
  TORCH_CHECK(found != pools_.end(), "npu:", static_cast<int>(device_), " has no memory pool (", id.first, ", ",
              id.second, "): it was never used on this device, or has been released.");
  return *found->second;
}

Space& DeviceCache::space_for(size_t bytes, c10::StreamId stream) {
  StreamPool* pool = recent_pool_;
  if (C10_UNLIKELY(pool == nullptr || recent_stream_ != stream || !filters_.empty())) {
    PrivatePool& owner = pool_for(stream);
    std::unique_ptr<StreamPool>& slot = owner.streams[stream];
    if (slot == nullptr) {
      const bool whole = owner.options.no_split;
      slot.reset(new StreamPool{{&owner, stream, true, whole, {}, {}}, {&owner, stream, false, whole, {}, {}}});
    }
    pool = slot.get();
    if (owner.id == kDefaultPool) {
      recent_pool_ = pool;
      recent_stream_ = stream;
    }
  }
  return bytes <= kSmallSize ? pool->small : pool->large;
}

inline Block* DeviceCache::find_free(Space& space, size_t bytes) const {
  Block* block = space.free.best_fit(bytes);
  const size_t limit = settings_.max_split_bytes;
  if (C10_LIKELY(limit == kUnlimited) || block == nullptr) return block;
  // A block above the limit is never split, so it must not go to a much smaller request.
  if (bytes < limit) return block->bytes >= limit ? nullptr : block;
  return block->bytes - bytes >= settings_.max_non_split_rounding_bytes ? nullptr : block;
}

inline bool DeviceCache::should_split(const Block* block, size_t bytes) const {
  if (C10_UNLIKELY(block->space->whole)) return false;
  const size_t rest = block->bytes - bytes;
  if (block->space->small || block->segment->expandable != nullptr) return rest >= kMinBlockSize;
  return bytes < settings_.max_split_bytes && rest > kSmallSize;
}

inline void DeviceCache::hand_out(Block* block, size_t bytes, size_t requested) {
  const Space& space = *block->space;
  const bool separate = block->segment->expandable == nullptr;
  const bool was_split = block->is_split();
  if (should_split(block, bytes)) {
    Block* rest = split(block, bytes);
    rest->freed_at = block->freed_at;
    block->space->free.insert(rest);
    if (separate) {
      if (was_split) {
        tallies_.inactive_split_bytes.remove(space.small, static_cast<int64_t>(block->bytes));
      } else {
        count_inactive(rest, true);
      }
    }
  } else if (was_split && separate) {
    count_inactive(block, false);
  }
  block->allocated = true;
  block->requested = requested;
  tallies_.allocation.add(space.small, 1);
  tallies_.allocated_bytes.add(space.small, static_cast<int64_t>(block->bytes));
  count_active(block, true);
  block->oversize = block->bytes >= settings_.max_split_bytes;
  if (C10_UNLIKELY(block->oversize)) stats_.oversize_allocations.increase(1);
}

Block* DeviceCache::malloc_slow(Lock& lock, Space& space, size_t bytes, size_t requested) {
  if (bytes > kLargestRequest) out_of_memory(lock, space, requested);
  const auto take_free = [&]() -> Block* {
    Block* block = find_free(space, bytes);
    if (block != nullptr) space.free.erase(block);
    return block;
  };
  if (pending_uses_ != 0 && settings_.lazy_reclaim) {
    reclaim_finished();
    if (Block* block = take_free()) return block;
  }
  const size_t wanted = space.whole ? round_up(bytes, kRoundLarge) : segment_bytes(bytes);
  // Blocks of an expandable segment are always parts of it.
  const bool expandable = settings_.expandable_segments && space.owner->options.source == nullptr && !space.whole;
  const auto grow = [&](size_t segment) {
    return expandable ? expand(space, bytes) : new_segment(lock, space, segment);
  };
  if (settings_.garbage_collection_threshold > 0) collect_garbage(wanted);
  if (expandable) reuse_holes(bytes);
  if (Block* block = grow(wanted)) return block;
  if (settings_.throw_on_malloc_failure) out_of_memory(lock, space, requested);
  if (release_oversize(space, wanted)) {
    if (Block* block = grow(wanted)) return block;
  }
  ++stats_.num_alloc_retries;
  if (!backend_->capturing()) {
    backend_->synchronize();
    wait_for_uses();
    if (Block* block = take_free()) return block;
    release_cached(nullptr);
    if (Block* block = grow(wanted)) return block;
    // A segment with room to spare does not fit; one without may.
    const size_t tight = round_up(bytes, kRoundLarge);
    if (tight < wanted) {
      if (Block* block = grow(tight)) return block;
    }
  }
  if (Block* block = from_spare_pools(space, bytes)) return block;
  out_of_memory(lock, space, requested);
}

Block* DeviceCache::new_segment(Lock& lock, Space& space, size_t bytes) {
  if (!within_limit(bytes)) return nullptr;
  const SegmentSource* source = space.owner->options.source.get();
  const auto allocate = [&] { return source == nullptr ? backend_->allocate(bytes) : source->allocate(bytes, space.stream); };
  void* data = nullptr;
  if (settings_.release_lock_on_malloc) {
    lock.unlock();
    data = allocate();
    lock.lock();
  } else {
    data = allocate();
  }
  if (data == nullptr) return nullptr;
  auto base = static_cast<char*>(data);
  Segment* segment =
      segments_.emplace(base, std::unique_ptr<Segment>(new Segment{base, bytes, nullptr, &space, bytes >= settings_.max_split_bytes, nullptr, nullptr}))
          .first->second.get();
  segment->context = cause_;
  segment->first = new_block(segment, &space, base, bytes);
  ++stats_.num_device_alloc;
  count_segment(*segment, true);
  count_reserved(space, bytes, true);
  trace(Action::SEGMENT_ALLOC, segment->first);
  return segment->first;
}

// A free block of a pool that may be used before memory runs out; it stays that pool's.
Block* DeviceCache::from_spare_pools(const Space& space, size_t bytes) {
  if (space.owner->id != kDefaultPool) return nullptr;
  for (const auto& [id, pool] : pools_) {
    const auto found = pool->options.use_on_oom ? pool->streams.find(space.stream) : pool->streams.end();
    if (found == pool->streams.end()) continue;
    Space& spare = space.small ? found->second->small : found->second->large;
    if (Block* block = find_free(spare, bytes)) {
      spare.free.erase(block);
      return block;
    }
  }
  return nullptr;
}

bool DeviceCache::within_limit(size_t more) {
  if (memory_fraction_ >= 1) return true;
  const double limit = memory_fraction_ * static_cast<double>(device_bytes());
  return static_cast<double>(tallies_.reserved_bytes.current()) + static_cast<double>(more) <= limit;
}

size_t DeviceCache::device_bytes() {
  if (device_bytes_ == 0) device_bytes_ = backend_->memory_info().second;
  return device_bytes_;
}

// --- Expandable segments --------------------------------------------------------------------------------------------

// Puts memory behind part of an address range so that a free block of at least `bytes` results, and takes it out of the
// free ones. The lowest fitting addresses are used first, which keeps the mapped part dense.
Block* DeviceCache::expand(Space& space, size_t bytes) {
  for (const auto& [address, unmapped] : space.unmapped) {
    Block* first = unmapped->before != nullptr && unmapped->before->is_free() ? unmapped->before : unmapped;
    size_t run = 0;
    for (Block* at = first; at != nullptr && (at->is_free() || !at->mapped) && run < bytes; at = at->after) {
      run += at->bytes;
    }
    if (run >= bytes) return map_run(first, bytes);
  }
  Segment* segment = reserve_segment(space);
  return segment->bytes < bytes ? nullptr : map_run(segment->first, bytes);
}

Block* DeviceCache::map_run(Block* first, size_t bytes) {
  Block* block = first->mapped ? first : map_part(first, bytes);
  while (block != nullptr && block->bytes < bytes) block = map_part(block->after, bytes - block->bytes);
  if (block != nullptr) block->space->free.erase(block);
  return block;
}

// Maps the first granules of `unmapped`, enough for `bytes` if it has them; returns the free block they became part of.
Block* DeviceCache::map_part(Block* unmapped, size_t bytes) {
  Space& space = *unmapped->space;
  ExpandableSegment& range = *unmapped->segment->expandable;
  const size_t wanted = std::min(round_up(bytes, range.granule()), unmapped->bytes);
  if (!within_limit(wanted) || !range.map(unmapped->data, wanted)) return nullptr;
  space.unmapped.erase(unmapped->data);
  if (wanted < unmapped->bytes) {
    Block* rest = split(unmapped, wanted);
    space.unmapped.emplace(rest->data, rest);
  }
  unmapped->mapped = true;
  ++stats_.num_device_alloc;
  count_reserved(space, wanted, true);
  trace(Action::SEGMENT_MAP, unmapped);
  return make_free(unmapped);
}

Segment* DeviceCache::reserve_segment(Space& space) {
  const size_t granule = space.small ? kSmallBuffer : round_up(settings_.expandable_granule_bytes, kRoundLarge);
  // More than the device has, because holes in the range cost addresses only.
  auto range = std::make_unique<ExpandableSegment>(*backend_, device_bytes() / 8 * 9, granule);
  char* base = range->base();
  const size_t bytes = range->bytes();
  auto made = std::unique_ptr<Segment>(new Segment{base, bytes, nullptr, &space, false, std::move(range), nullptr});
  Segment* segment = segments_.emplace(base, std::move(made)).first->second.get();
  segment->context = cause_;
  segment->first = new_block(segment, &space, base, bytes);
  segment->first->mapped = false;
  space.unmapped.emplace(base, segment->first);
  count_segment(*segment, true);
  return segment;
}

// Where in its segment the granules begin and end that are all inside `block`; begin >= end if there are none.
std::pair<size_t, size_t> DeviceCache::whole_granules(const Block* block) {
  const size_t granule = block->segment->expandable->granule();
  const auto begin = static_cast<size_t>(block->data - block->segment->base);
  return {round_up(begin, granule), (begin + block->bytes) / granule * granule};
}

// Before more memory than ever is taken: what lies in holes between tensors that no request fits is taken away from there first, if
// that is a good part of it, so that it can stand where it is needed. The threshold keeps this to a few times in a training.
void DeviceCache::reuse_holes(size_t bytes) {
  const auto reserved = static_cast<size_t>(tallies_.reserved_bytes.current());
  if (reserved + bytes <= most_reserved_ || backend_->capturing()) return;
  size_t unused = 0;
  for (const auto& [stream, spaces] : pool_of(kDefaultPool).streams) {
    for (const Space* space : {&spaces->small, &spaces->large}) {
      space->free.for_each([&](const Block* block) {
        if (block->segment->expandable == nullptr) return;
        const auto [begin, end] = whole_granules(block);
        if (begin < end) unused += end - begin;
      });
    }
  }
  if (unused < bytes || unused < reserved / 20) return;
  backend_->synchronize();
  release_cached(nullptr);
}

// Takes the memory of the whole granules inside a free block away and returns nothing of them to the free blocks.
void DeviceCache::unmap_whole_granules(Block* block) {
  Segment* segment = block->segment;
  ExpandableSegment& range = *segment->expandable;
  Space& space = *block->space;
  const auto [begin, end] = whole_granules(block);
  if (begin >= end) return;
  space.free.erase(block);
  Block* middle = block;
  if (segment->base + begin != block->data) {
    middle = split(block, static_cast<size_t>(segment->base + begin - block->data));
    middle->freed_at = block->freed_at;
    space.free.insert(block);
  }
  if (middle->bytes != end - begin) {
    Block* tail = split(middle, end - begin);
    tail->freed_at = middle->freed_at;
    space.free.insert(tail);
  }
  range.unmap(middle->data, middle->bytes, keep_unmapped_);
  ++stats_.num_device_free;
  count_reserved(space, middle->bytes, false);
  trace(Action::SEGMENT_UNMAP, middle);
  middle->mapped = false;
  if (Block* after = middle->after; after != nullptr && !after->mapped) {
    space.unmapped.erase(after->data);
    join_after(middle);
  }
  if (Block* before = middle->before; before != nullptr && !before->mapped) {
    join_after(before);
    middle = before;
  }
  space.unmapped[middle->data] = middle;
  if (middle->bytes == segment->bytes) {
    space.unmapped.erase(middle->data);
    drop_block(middle);
    count_segment(*segment, false);
    segments_.erase(segment->base);
  }
}

// --- Freeing --------------------------------------------------------------------------------------------------------

void DeviceCache::free(Block* block) noexcept {
  Lock lock(mutex_, std::defer_lock);
  if (C10_LIKELY(!history_.on())) {
    lock.lock();
  } else {
    History::Context context = history_.context(RecordContext::ALL);
    lock.lock();
    cause_ = std::move(context);
    trace(Action::FREE_REQUESTED, block);
  }
  const bool small = block->space->small;
  void* data = block->data;
  const auto bytes = static_cast<int64_t>(block->bytes);
  block->allocated = false;
  tallies_.allocation.remove(small, 1);
  tallies_.allocated_bytes.remove(small, bytes);
  if (C10_UNLIKELY(block->oversize)) stats_.oversize_allocations.decrease(1);
  if (C10_LIKELY(block->used_by.empty())) {
    finish_free(block);
  } else {
    defer_free(block);
  }
  const int64_t allocated = tallies_.allocated_bytes.current();
  const int64_t reserved = tallies_.reserved_bytes.current();
  lock.unlock();
  c10::reportMemoryUsageToProfiler(data, -bytes, allocated, reserved, {c10::kPrivateUse1, device_});
}

// The block has no user any more, on the host or on any stream.
inline void DeviceCache::finish_free(Block* block) {
  if (C10_UNLIKELY(history_.on())) trace(Action::FREE_COMPLETED, block);
  if (C10_UNLIKELY(block->context != nullptr)) block->context.reset();
  count_active(block, false);
  block = make_free(block);
  if (C10_UNLIKELY(!settings_.caching)) release_uncached(block);
}

void DeviceCache::trace(Action action, const Block* block) {
  // As torch's own traces have it: tensors by what was asked for, segments by what they take.
  const bool of_tensor = action == Action::ALLOC || action == Action::FREE_REQUESTED || action == Action::FREE_COMPLETED;
  history_.add(action, device_, block->data, of_tensor ? block->requested : block->bytes, block->space->stream, block->space->owner->id, cause_);
}

// Merges `block` with its free neighbours, and puts the result among the free blocks.
inline Block* DeviceCache::make_free(Block* block) {
  Space& space = *block->space;
  const bool separate = block->segment->expandable == nullptr;
  int64_t net_blocks = 0;
  int64_t net_bytes = 0;
  const auto absorbed = [&](const Block* neighbour) {
    --net_blocks;
    net_bytes -= static_cast<int64_t>(neighbour->bytes);
  };
  if (Block* after = block->after; after != nullptr && after->is_free()) {
    absorbed(after);
    space.free.erase(after);
    join_after(block);
  }
  if (Block* before = block->before; before != nullptr && before->is_free()) {
    absorbed(before);
    space.free.erase(before);
    join_after(before);
    block = before;
  }
  block->freed_at = ++clock_;
  space.free.insert(block);
  if (!separate) return block;
  if (block->is_split()) {
    ++net_blocks;
    net_bytes += static_cast<int64_t>(block->bytes);
  }
  tallies_.inactive_split.change(space.small, std::abs(net_blocks), net_blocks > 0);
  tallies_.inactive_split_bytes.change(space.small, std::abs(net_bytes), net_bytes > 0);
  return block;
}

void DeviceCache::record_stream(Block* block, c10::Stream stream) {
  Lock lock(mutex_);
  if (stream.id() == block->space->stream && stream.device_index() == device_) return;
  auto& users = block->used_by;
  if (std::find(users.begin(), users.end(), stream) == users.end()) users.push_back(stream);
}

void DeviceCache::erase_stream(Block* block, c10::Stream stream) {
  Lock lock(mutex_);
  auto& users = block->used_by;
  users.erase(std::remove(users.begin(), users.end(), stream), users.end());
}

// The host is done with `block`, other streams perhaps not.
void DeviceCache::defer_free(Block* block) noexcept {
  bool recorded = !backend_->capturing();  // an event recorded then would tell nothing about the device
  while (recorded && !block->used_by.empty()) {
    const c10::Stream stream = block->used_by.back();
    try {
      uses_[stream].emplace_back(backend_->record_event(stream), block);
      block->used_by.pop_back();
      ++block->pending_events;
      ++pending_uses_;
    } catch (...) {
      // Deleters must not raise. The failure itself is reported by the next call that touches the device.
      recorded = false;
    }
  }
  if (!recorded) {
    ++block->pending_events;
    ++pending_uses_;
    unfinished_.push_back(block);
  }
}

void DeviceCache::reclaim_finished() {
  if (!unfinished_.empty() && !backend_->capturing()) {
    for (Block* block : std::exchange(unfinished_, {})) {
      defer_free(block);
      finish_use(block);
    }
  }
  for (auto& [stream, uses] : uses_) {
    while (!uses.empty() && backend_->event_done(uses.front().first)) {
      const auto [event, block] = uses.front();
      uses.pop_front();
      backend_->recycle_event(event);
      finish_use(block);
    }
  }
}

// Frees every block that waits for other streams. The device has been synchronised.
void DeviceCache::wait_for_uses() {
  ++stats_.num_sync_all_streams;
  for (auto& [stream, uses] : uses_) {
    while (!uses.empty()) {
      const auto [event, block] = uses.front();
      backend_->wait_event(event);
      uses.pop_front();
      backend_->recycle_event(event);
      finish_use(block);
    }
  }
  for (Block* block : std::exchange(unfinished_, {})) {
    block->used_by.clear();
    finish_use(block);
  }
}

void DeviceCache::finish_use(Block* block) {
  --pending_uses_;
  if (--block->pending_events == 0) finish_free(block);
}

// --- Giving memory back ---------------------------------------------------------------------------------------------

void DeviceCache::empty_cache(c10::MempoolId_t pool) {
  History::Context context = history_.context(RecordContext::ALL);
  Lock lock(mutex_);
  cause_ = std::move(context);
  const PrivatePool* only = nullptr;
  if (pool != kDefaultPool) {
    const auto found = pools_.find(pool);
    if (found == pools_.end()) return;
    only = found->second.get();
  }
  if (segments_.empty()) {
    drop_unused_pools();
    backend_->release_kept();
    return;
  }
  TORCH_CHECK(!backend_->capturing(), "empty_cache: memory of npu:", static_cast<int>(device_),
              " cannot be given back while a graph is being captured; call it afterwards.");
  backend_->synchronize();
  wait_for_uses();
  release_cached(only);
  if (only == nullptr) backend_->release_kept();
}

void DeviceCache::empty_virtual_cache() {
  History::Context context = history_.context(RecordContext::ALL);
  Lock lock(mutex_);
  cause_ = std::move(context);
  TORCH_CHECK(settings_.expandable_segments, "empty_virt_addr_cache: memory of npu:", static_cast<int>(device_),
              " has no addresses of its own to give back. Set PYTORCH_NPU_ALLOC_CONF=expandable_segments:True, or call empty_cache().");
  TORCH_CHECK(!backend_->capturing(), "empty_virt_addr_cache: memory of npu:", static_cast<int>(device_),
              " cannot be given back while a graph is being captured; call it afterwards.");
  backend_->synchronize();
  wait_for_uses();
  const auto end = c10::make_scope_exit([this] { keep_unmapped_ = false; });
  keep_unmapped_ = true;
  release_cached(nullptr);
}

// Releases what is free and whole. The device has been synchronised.
void DeviceCache::release_cached(const PrivatePool* only) {
  for (const auto& [id, pool] : pools_) {
    // A graph that will run again holds its pool; its addresses must stay valid.
    const bool held = id != kDefaultPool && pool->use_count > 0;
    if (held || (only != nullptr && only != pool.get())) continue;
    for (const auto& [stream, spaces] : pool->streams) {
      for (Space* space : {&spaces->small, &spaces->large}) {
        space->free.for_each([&](Block* block) { release_free(block); });
      }
    }
  }
  drop_unused_pools();
}

void DeviceCache::release_free(Block* block) {
  if (block->segment->expandable != nullptr) {
    unmap_whole_granules(block);
  } else if (!block->is_split()) {
    release_segment(block);
  }
}

void DeviceCache::release_segment(Block* block) {
  Space& space = *block->space;
  Segment* segment = block->segment;
  space.free.erase(block);
  if (const SegmentSource* source = space.owner->options.source.get()) {
    source->release(segment->base, segment->bytes, space.stream);
  } else {
    backend_->release(segment->base);
  }
  ++stats_.num_device_free;
  count_segment(*segment, false);
  count_reserved(space, segment->bytes, false);
  trace(Action::SEGMENT_FREE, block);
  drop_block(block);
  segments_.erase(segment->base);
}

// PYTORCH_NO_NPU_MEMORY_CACHING: nothing stays cached. Runs in deleters, so a failing device keeps the memory.
void DeviceCache::release_uncached(Block* block) noexcept {
  if (backend_->capturing()) return;
  try {
    backend_->synchronize();
    release_free(block);
  } catch (...) {
  }
}

// Gives back the longest unused segments until the share of memory in use is below the threshold again.
void DeviceCache::collect_garbage(size_t more) {
  if (backend_->capturing()) return;
  const auto limit = static_cast<size_t>(settings_.garbage_collection_threshold * memory_fraction_ *
                                         static_cast<double>(device_bytes()));
  const size_t reserved = static_cast<size_t>(tallies_.reserved_bytes.current()) + more;
  if (reserved <= limit) return;
  std::vector<Block*> candidates;
  for (const auto& [stream, spaces] : pool_of(kDefaultPool).streams) {
    spaces->large.free.for_each([&](Block* block) {
      if (!block->is_split() && block->segment->expandable == nullptr) candidates.push_back(block);
    });
  }
  if (candidates.empty()) return;
  std::sort(candidates.begin(), candidates.end(),
            [](const Block* a, const Block* b) { return a->freed_at < b->freed_at; });
  backend_->synchronize();
  size_t excess = reserved - limit;
  for (Block* block : candidates) {
    if (excess == 0) break;
    excess -= std::min(excess, block->segment->bytes);
    release_segment(block);
  }
}

// With max_split_size_mb: gives back unused blocks above the limit, which nothing else could use, until `bytes` are free.
bool DeviceCache::release_oversize(Space& space, size_t bytes) {
  const size_t limit = settings_.max_split_bytes;
  if (limit == kUnlimited || backend_->capturing()) return false;
  std::vector<Block*> chosen;
  if (Block* block = space.free.best_fit(std::max(bytes, limit))) {
    chosen.push_back(block);
  } else {
    size_t total = 0;
    space.free.for_each([&](Block* candidate) {
      if (candidate->bytes >= limit) chosen.push_back(candidate);
    });
    std::reverse(chosen.begin(), chosen.end());
    const auto enough = std::find_if(chosen.begin(), chosen.end(), [&](const Block* candidate) {
      total += candidate->bytes;
      return total >= bytes;
    });
    if (enough == chosen.end()) return false;
    chosen.erase(enough + 1, chosen.end());
  }
  backend_->synchronize();
  for (Block* block : chosen) release_free(block);
  return true;
}

void DeviceCache::drop_unused_pools() {
  for (auto at = pools_.begin(); at != pools_.end();) {
    const PrivatePool* pool = at->second.get();
    const bool used = at->first == kDefaultPool || pool->use_count > 0 ||
                      std::any_of(segments_.begin(), segments_.end(),
                                  [&](const auto& entry) { return entry.second->space->owner == pool; });
    at = used ? std::next(at) : pools_.erase(at);
  }
}

// --- Blocks ---------------------------------------------------------------------------------------------------------

inline Block* DeviceCache::new_block(Segment* segment, Space* space, char* data, size_t bytes) {
  if (C10_UNLIKELY(spare_blocks_ == nullptr)) {
    slabs_.emplace_back(new Block[kBlocksPerSlab]());
    for (size_t i = 0; i < kBlocksPerSlab; ++i) {
      slabs_.back()[i].after = spare_blocks_;
      spare_blocks_ = &slabs_.back()[i];
    }
  }
  Block* block = spare_blocks_;
  spare_blocks_ = block->after;
  block->data = data;
  block->bytes = bytes;
  block->cache = this;
  block->space = space;
  block->segment = segment;
  block->before = nullptr;
  block->after = nullptr;
  block->requested = 0;
  block->pending_events = 0;
  block->allocated = false;
  block->mapped = true;
  return block;
}

inline void DeviceCache::drop_block(Block* block) {
  block->after = spare_blocks_;
  spare_blocks_ = block;
}

// Cuts `block` to `bytes`; the new block behind it is in no set yet and has the same `mapped`.
inline Block* DeviceCache::split(Block* block, size_t bytes) {
  Block* rest = new_block(block->segment, block->space, block->data + bytes, block->bytes - bytes);
  rest->mapped = block->mapped;
  rest->before = block;
  rest->after = block->after;
  if (rest->after != nullptr) rest->after->before = rest;
  block->after = rest;
  block->bytes = bytes;
  return rest;
}

inline void DeviceCache::join_after(Block* block) {
  Block* gone = block->after;
  block->bytes += gone->bytes;
  block->after = gone->after;
  if (block->after != nullptr) block->after->before = block;
  drop_block(gone);
}

Block* DeviceCache::find(const void* address) {
  Lock lock(mutex_);
  auto at = const_cast<char*>(static_cast<const char*>(address));
  auto segment = segments_.upper_bound(at);
  if (segment == segments_.begin()) return nullptr;
  --segment;
  if (at >= segment->second->base + segment->second->bytes) return nullptr;
  Block* block = segment->second->first;
  while (at >= block->data + block->bytes) block = block->after;
  return block->allocated ? block : nullptr;
}

// --- Private pools --------------------------------------------------------------------------------------------------

void DeviceCache::begin_allocate_to_pool(c10::MempoolId_t id, StreamFilter filter) {
  retain_pool(id);
  Lock lock(mutex_);
  const bool in_use = std::any_of(filters_.begin(), filters_.end(), [&](const auto& entry) { return entry.first == id; });
  if (in_use) --pool_of(id).use_count;
  TORCH_CHECK(!in_use, "Memory pool (", id.first, ", ", id.second, ") is already in use on npu:", static_cast<int>(device_), ".");
  filters_.emplace_back(id, std::move(filter));
}

void DeviceCache::end_allocate_to_pool(c10::MempoolId_t id) {
  Lock lock(mutex_);
  const auto found = std::find_if(filters_.begin(), filters_.end(), [&](const auto& e) { return e.first == id; });
  TORCH_CHECK(found != filters_.end(), "Memory pool (", id.first, ", ", id.second, ") is not in use on npu:",
              static_cast<int>(device_), ".");
  filters_.erase(found);
}

void DeviceCache::retain_pool(c10::MempoolId_t id, const PoolOptions& options) {
  Lock lock(mutex_);
  std::unique_ptr<PrivatePool>& pool = pools_[id];
  if (pool == nullptr) {
    pool = std::make_unique<PrivatePool>(PrivatePool{id, 0, {}, options});
  }
  ++pool->use_count;
}

void DeviceCache::release_pool(c10::MempoolId_t id) {
  Lock lock(mutex_);
  PrivatePool& pool = pool_of(id);
  TORCH_CHECK(id != kDefaultPool && pool.use_count > 0, "Memory pool (", id.first, ", ", id.second,
              ") is released more often than it was taken.");
  --pool.use_count;
}

int DeviceCache::pool_use_count(c10::MempoolId_t id) {
  Lock lock(mutex_);
  const auto found = pools_.find(id);
  return found == pools_.end() ? 0 : found->second->use_count;
}

// --- Statistics -----------------------------------------------------------------------------------------------------

inline void DeviceCache::count_active(const Block* block, bool more) {
  const bool small = block->space->small;
  tallies_.active.change(small, 1, more);
  tallies_.active_bytes.change(small, static_cast<int64_t>(block->bytes), more);
  tallies_.requested_bytes.change(small, static_cast<int64_t>(block->requested), more);
}

inline void DeviceCache::count_inactive(const Block* block, bool more) {
  tallies_.inactive_split.change(block->space->small, 1, more);
  tallies_.inactive_split_bytes.change(block->space->small, static_cast<int64_t>(block->bytes), more);
}

void DeviceCache::count_reserved(const Space& space, size_t bytes, bool more) {
  tallies_.reserved_bytes.change(space.small, static_cast<int64_t>(bytes), more);
  most_reserved_ = std::max(most_reserved_, static_cast<size_t>(tallies_.reserved_bytes.current()));
  if (space.owner->id != kDefaultPool) {
    tallies_.reserved_bytes_by_private_pools[space.owner->id].change(space.small, static_cast<int64_t>(bytes), more);
  }
}

void DeviceCache::count_segment(const Segment& segment, bool more) {
  tallies_.segment.change(segment.space->small, 1, more);
  if (!segment.oversize) return;
  if (more) {
    stats_.oversize_segments.increase(1);
  } else {
    stats_.oversize_segments.decrease(1);
  }
}

c10::CachingDeviceAllocator::DeviceStats DeviceCache::stats() {
  Lock lock(mutex_);
  tallies_.read_into(stats_);
  return stats_;
}

void DeviceCache::reset_accumulated_stats() {
  Lock lock(mutex_);
  tallies_.for_each([](Tally& tally) { tally.reset_accumulated(); });
  stats_.oversize_allocations.reset_accumulated();
  stats_.oversize_segments.reset_accumulated();
  stats_.num_alloc_retries = 0;
  stats_.num_ooms = 0;
  stats_.num_sync_all_streams = 0;
  stats_.num_device_alloc = 0;
  stats_.num_device_free = 0;
}

void DeviceCache::reset_peak_stats() {
  Lock lock(mutex_);
  tallies_.for_each([](Tally& tally) { tally.reset_peak(); });
  stats_.oversize_allocations.reset_peak();
  stats_.oversize_segments.reset_peak();
}

std::pair<size_t, size_t> DeviceCache::memory_info() { return backend_->memory_info(); }

void DeviceCache::set_memory_fraction(double fraction) {
  TORCH_CHECK_VALUE(fraction >= 0 && fraction <= 1, "The memory fraction must be between 0 and 1, but is ", fraction,
                    ".");
  Lock lock(mutex_);
  memory_fraction_ = fraction;
}

double DeviceCache::memory_fraction() {
  Lock lock(mutex_);
  return memory_fraction_;
}

}  // namespace torch_npu::memory
