// The device cache on a fake device: reuse, splitting and merging, other streams, giving back, out of memory, statistics.
#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "allocator_backend.h"
#include "check.h"
#include "memory/device_cache.h"

using torch_npu::memory::Block;
using torch_npu::memory::DeviceCache;
using torch_npu::memory::PoolOptions;
using torch_npu::memory::SegmentSource;
using torch_npu::memory::Settings;

namespace {

constexpr size_t kKiB = 1u << 10;
constexpr size_t kMiB = 1u << 20;

struct Fixture {
  explicit Fixture(Settings settings = {}, size_t total = size_t{1} << 30) {
    device.total = total;
    cache = std::make_unique<DeviceCache>(c10::DeviceIndex{0}, std::make_unique<FakeBackend>(device), settings);
  }
  FakeDevice device;
  std::unique_ptr<DeviceCache> cache;
};

c10::Stream stream(c10::StreamId id) { return c10::Stream(c10::Stream::UNSAFE, {c10::kPrivateUse1, 0}, id); }

int64_t now(const c10::CachingAllocator::StatArray& stat) { return stat[0].current; }

Settings expandable() {
  Settings s;
  s.expandable_segments = true;
  return s;
}

// What the statistics say must be what the blocks say.
void check_consistent(Fixture& f) {
  const auto stats = f.cache->stats();
  int64_t total = 0, allocated = 0, active = 0, requested = 0, inactive_split = 0, inactive_bytes = 0, count = 0;
  for (const auto& segment : f.cache->snapshot({0, 0})) {
    size_t sum = 0;
    bool free_before = false;
    for (const auto& block : segment.blocks) {
      sum += block.size;
      CHECK(block.size % 512 == 0);
      const bool free = !block.active;
      CHECK(!(free && free_before));  // free neighbours are merged
      free_before = free;
      count += block.allocated;
      if (block.allocated) allocated += static_cast<int64_t>(block.size);
      if (block.active) active += static_cast<int64_t>(block.size);
      if (block.active) requested += static_cast<int64_t>(block.requested_size);
      if (free && segment.blocks.size() > 1 && !segment.is_expandable) {
        ++inactive_split;
        inactive_bytes += static_cast<int64_t>(block.size);
      }
    }
    CHECK(sum == segment.total_size);
    total += static_cast<int64_t>(sum);
  }
  CHECK(now(stats.reserved_bytes) == total);
  CHECK(total == static_cast<int64_t>(f.device.held - f.device.kept));
  CHECK(now(stats.allocated_bytes) == allocated);
  CHECK(now(stats.active_bytes) == active);
  CHECK(now(stats.requested_bytes) == requested);
  CHECK(now(stats.allocation) == count);
  CHECK(now(stats.inactive_split) == inactive_split);
  CHECK(now(stats.inactive_split_bytes) == inactive_bytes);
  const auto check_sum = [](const c10::CachingAllocator::StatArray& s) {
    CHECK(s[0].current == s[1].current + s[2].current);
    CHECK(s[0].current == s[0].allocated - s[0].freed);
    CHECK(s[0].peak >= s[0].current);
  };
  for (const auto* s : {&stats.allocation, &stats.segment, &stats.active, &stats.inactive_split, &stats.allocated_bytes,
                        &stats.reserved_bytes, &stats.active_bytes, &stats.inactive_split_bytes, &stats.requested_bytes}) {
    check_sum(*s);
  }
}

void rounding_and_segments() {
  Fixture f;
  Block* tiny = f.cache->malloc(1, 0);
  CHECK(tiny->bytes == 512 && f.device.held == 2 * kMiB);
  Block* middle = f.cache->malloc(3 * kMiB + 1, 0);
  CHECK(middle->bytes == 3 * kMiB + 512 && f.device.held == 22 * kMiB);
  Block* large = f.cache->malloc(31 * kMiB, 0);
  CHECK(large->bytes == 32 * kMiB && f.device.held == 54 * kMiB);  // 1 MiB left over is not worth a split
  CHECK(f.cache->find(middle->data + 100) == middle);
  CHECK(f.cache->find(large->data + large->bytes) == nullptr);
  check_consistent(f);
  for (Block* block : {tiny, middle, large}) f.cache->free(block);
  check_consistent(f);
  CHECK(f.device.held == 54 * kMiB);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0 && f.device.segments.empty());
  check_consistent(f);
}

void reuse_is_best_fit_and_immediate() {
  Fixture f;
  std::vector<Block*> blocks;
  for (size_t kib : {64, 16, 32, 16, 8, 16}) blocks.push_back(f.cache->malloc(kib * kKiB, 0));
  char* of_32 = blocks[2]->data;
  char* of_8 = blocks[4]->data;
  f.cache->free(blocks[0]);
  f.cache->free(blocks[2]);
  f.cache->free(blocks[4]);
  CHECK(f.cache->malloc(8 * kKiB, 0)->data == of_8);
  CHECK(f.cache->malloc(20 * kKiB, 0)->data == of_32);
  check_consistent(f);
}

void streams_do_not_share() {
  Fixture f;
  Block* a = f.cache->malloc(kKiB, 1);
  char* data = a->data;
  f.cache->free(a);
  CHECK(f.cache->malloc(kKiB, 2)->data != data);
  CHECK(f.cache->malloc(kKiB, 1)->data == data);
}

void use_by_another_stream_delays_reuse() {
  Fixture f;
  Block* a = f.cache->malloc(kKiB, 1);
  char* data = a->data;
  f.cache->record_stream(a, stream(1));  // its own stream: nothing to wait for
  f.cache->record_stream(a, stream(2));
  f.cache->record_stream(a, stream(2));
  f.cache->record_stream(a, stream(3));
  f.cache->free(a);
  CHECK(f.device.live_events == 2);
  check_consistent(f);
  Block* b = f.cache->malloc(kKiB, 1);
  CHECK(b->data != data);
  f.device.running.clear();
  Block* c = f.cache->malloc(kKiB, 1);
  CHECK(c->data == data && f.device.live_events == 0);
  check_consistent(f);

  // An event that cannot be recorded keeps the block until the device was waited for.
  f.cache->record_stream(c, stream(2));
  f.device.fail_events = true;
  f.cache->free(c);
  CHECK(f.cache->malloc(kKiB, 1)->data != data);
  f.device.fail_events = false;
  f.cache->empty_cache({0, 0});
  CHECK(f.cache->malloc(kKiB, 1)->data == data);
  check_consistent(f);
}

void capture_delays_events() {
  Fixture f;
  Block* a = f.cache->malloc(kKiB, 1);
  f.cache->record_stream(a, stream(2));
  f.device.capturing = true;
  f.cache->free(a);
  CHECK(f.device.live_events == 0);
  bool refused = false;
  try {
    f.cache->empty_cache({0, 0});
  } catch (const c10::Error& e) {
    refused = std::strstr(e.what(), "while a graph is being captured") != nullptr;
  }
  CHECK(refused);
  f.device.capturing = false;
  f.cache->free(f.cache->malloc(kKiB, 1));
  CHECK(f.device.live_events == 1);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0 && f.device.live_events == 0);
}

std::string out_of_memory_message(Fixture& f, size_t bytes, c10::StreamId id = 0) {
  try {
    f.cache->malloc(bytes, id);
  } catch (const c10::OutOfMemoryError& e) {
    return e.what_without_backtrace();
  }
  return "";
}

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

void out_of_memory() {
  Fixture f({}, 64 * kMiB);
  int observed = 0;
  f.cache->attach_out_of_memory_observer([&](c10::DeviceIndex, size_t bytes, size_t total, size_t free) {
    ++observed;
    CHECK(bytes == 40 * kMiB && total == 64 * kMiB && free == 14 * kMiB);
  });
  // Cached memory is given back before the cache gives up.
  f.cache->free(f.cache->malloc(30 * kMiB, 0));
  Block* a = f.cache->malloc(50 * kMiB, 0);
  CHECK(f.device.held == 50 * kMiB && f.cache->stats().num_alloc_retries == 1 && f.cache->stats().num_ooms == 0);
  const std::string text = out_of_memory_message(f, 40 * kMiB);
  CHECK(has(text, "NPU out of memory. Tried to allocate 40.00 MiB on npu:0."));
  CHECK(has(text, "64.00 MiB in total, of which 14.00 MiB is free"));
  CHECK(has(text, "hold 50.00 MiB; 0 bytes more is reserved by PyTorch but unallocated"));
  CHECK(has(text, "What to try"));
  CHECK(observed == 1 && f.cache->stats().num_ooms == 1);
  f.cache->free(a);
  CHECK(f.cache->malloc(40 * kMiB, 0) != nullptr);
  check_consistent(f);

  Fixture g({}, 64 * kMiB);
  CHECK(has(out_of_memory_message(g, 100 * kMiB), "the request alone exceeds the device"));
  CHECK(has(out_of_memory_message(g, SIZE_MAX), "Tried to allocate"));
  g.cache->set_memory_fraction(0.5);
  const std::string limited = out_of_memory_message(g, 40 * kMiB);
  CHECK(has(limited, "may use 32.00 MiB") && has(limited, "set_per_process_memory_fraction"));
  g.cache->set_memory_fraction(1);
  // Three of nine pieces of 6 MiB are free: enough in sum, none of them large enough.
  std::vector<Block*> pieces;
  for (int i = 0; i < 9; ++i) pieces.push_back(g.cache->malloc(6 * kMiB, 0));
  for (int i : {0, 3, 6}) g.cache->free(pieces[i]);
  const std::string fragmented = out_of_memory_message(g, 14 * kMiB);
  CHECK(has(fragmented, "expandable_segments:True") && has(fragmented, "has 6.00 MiB."));
  check_consistent(g);

  // A block waiting for another stream comes back when the device is waited for.
  Fixture h({}, 20 * kMiB);
  Block* waiting = h.cache->malloc(15 * kMiB, 0);
  h.cache->record_stream(waiting, stream(1));
  h.cache->free(waiting);
  CHECK(h.cache->malloc(15 * kMiB, 0) != nullptr);
  CHECK(h.device.synchronized == 1);
  check_consistent(h);

  // 12 MiB free: no 20 MiB segment for 5 MiB fits, one of 6 MiB does.
  Fixture t({}, 12 * kMiB);
  CHECK(t.cache->malloc(5 * kMiB, 0) != nullptr);

  Settings eager;
  eager.throw_on_malloc_failure = true;
  Fixture e(eager, 64 * kMiB);
  e.cache->free(e.cache->malloc(50 * kMiB, 0));
  CHECK(has(out_of_memory_message(e, 60 * kMiB), "out of memory") && e.device.held == 50 * kMiB);
}

void split_limit_and_garbage_collection() {
  Settings s;
  s.max_split_bytes = 32 * kMiB;
  s.max_non_split_rounding_bytes = 20 * kMiB;
  Fixture f(s, 200 * kMiB);
  Block* big = f.cache->malloc(100 * kMiB, 0);
  CHECK(f.cache->stats().oversize_allocations.current == 1);
  f.cache->free(big);
  Block* small = f.cache->malloc(2 * kMiB, 0);  // not from the 100 MiB
  CHECK(f.device.held == 120 * kMiB);
  Block* medium = f.cache->malloc(60 * kMiB, 0);  // 40 MiB of waste is too much; fits beside
  CHECK(f.device.held == 180 * kMiB);
  Block* other = f.cache->malloc(110 * kMiB - 0, 1);  // another stream: the unused 100 MiB must go
  CHECK(f.device.held == 190 * kMiB);
  for (Block* block : {small, medium, other}) f.cache->free(block);
  check_consistent(f);

  Settings gc;
  gc.garbage_collection_threshold = 0.5;
  Fixture g(gc, 200 * kMiB);
  Block* first = g.cache->malloc(40 * kMiB, 0);
  Block* second = g.cache->malloc(40 * kMiB, 1);
  char* kept = second->data;
  g.cache->free(first);
  g.cache->free(second);
  g.cache->malloc(50 * kMiB, 2);  // 130 MiB would be above half: the longest unused goes
  CHECK(g.device.held == 90 * kMiB && g.cache->malloc(40 * kMiB, 1)->data == kept);
}

void expandable_grows_and_shrinks() {
  Fixture f(expandable(), 400 * kMiB);
  Block* a = f.cache->malloc(15 * kMiB, 0);
  CHECK(f.device.held == 20 * kMiB && f.device.reserved.size() == 1);
  Block* b = f.cache->malloc(30 * kMiB, 0);
  CHECK(b->data == a->data + a->bytes && f.device.held == 60 * kMiB);  // continues where the first ended
  Block* c = f.cache->malloc(100 * kMiB, 0);
  check_consistent(f);
  f.cache->free(b);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 140 * kMiB);  // without the one whole granule inside b
  check_consistent(f);
  Block* d = f.cache->malloc(28 * kMiB, 0);
  CHECK(d->data == a->data + a->bytes);  // into the hole again
  CHECK(f.device.reserved.size() == 1);
  check_consistent(f);
  for (Block* block : {a, c, d}) f.cache->free(block);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0 && f.device.reserved.empty() && now(f.cache->stats().segment) == 0);
  check_consistent(f);

  // Memory freed in small pieces all over is usable in one piece.
  std::vector<Block*> pieces;
  for (int i = 0; i < 20; ++i) pieces.push_back(f.cache->malloc(20 * kMiB - 32, 0));
  for (int i = 0; i < 20; i += 2) f.cache->free(pieces[i]);
  Block* whole = f.cache->malloc(190 * kMiB, 0);
  CHECK(f.device.held == 400 * kMiB);
  check_consistent(f);
  f.cache->free(whole);
  for (int i = 1; i < 20; i += 2) f.cache->free(pieces[i]);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0);
}

// Memory that only lost its addresses is used before the device is asked for more, and goes back to it with the rest.
void addresses_alone_are_given_back() {
  Fixture f(expandable(), 400 * kMiB);
  Block* stays = f.cache->malloc(20 * kMiB - 32, 0);
  f.cache->free(f.cache->malloc(100 * kMiB - 32, 0));
  f.cache->empty_virtual_cache();
  CHECK(f.device.held == 120 * kMiB && f.device.kept == 100 * kMiB && now(f.cache->stats().reserved_bytes) == 20 << 20);
  check_consistent(f);
  Block* again = f.cache->malloc(60 * kMiB - 32, 0);
  CHECK(f.device.held == 120 * kMiB && f.device.kept == 40 * kMiB);
  for (Block* block : {stays, again}) f.cache->free(block);
  f.cache->empty_virtual_cache();
  CHECK(f.device.reserved.empty() && f.device.held == 120 * kMiB);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0 && f.device.kept == 0);

  Fixture plain({}, 400 * kMiB);
  bool refused = false;
  try {
    plain.cache->empty_virtual_cache();
  } catch (const c10::Error& e) {
    refused = has(e.what_without_backtrace(), "expandable_segments:True");
  }
  CHECK(refused);
}

void holes_are_used_before_more_is_taken() {
  Settings fine = expandable();
  fine.expandable_granule_bytes = 2 * kMiB;
  Fixture f(fine);
  std::vector<Block*> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(f.cache->malloc(10 * kMiB, 0));
  for (int i = 0; i < 8; i += 2) f.cache->free(blocks[i]);
  const size_t held = f.device.held;
  CHECK(f.device.synchronized == 0);
  Block* wide = f.cache->malloc(24 * kMiB, 0);  // fits none of the holes, whose whole granules have 34 MiB
  CHECK(f.device.synchronized == 1 && f.device.peak_held == held);
  f.cache->free(wide);
  Block* wider = f.cache->malloc(60 * kMiB, 0);  // more than all holes have
  CHECK(f.device.synchronized == 1);
  check_consistent(f);
  f.cache->free(wider);
  for (int i = 1; i < 8; i += 2) f.cache->free(blocks[i]);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0);
}

void private_pools() {
  Fixture f;
  const c10::MempoolId_t id{7, 0};
  f.cache->begin_allocate_to_pool(id, [](c10::Stream s) { return s.id() == 3; });
  Block* outside = f.cache->malloc(kKiB, 1);
  Block* inside = f.cache->malloc(kKiB, 3);
  f.cache->end_allocate_to_pool(id);
  CHECK(f.cache->snapshot(id).size() == 1 && f.cache->snapshot({0, 0}).size() == 2);
  CHECK(f.cache->stats().reserved_bytes_by_private_pools.at(id)[0].current == static_cast<int64_t>(2 * kMiB));
  CHECK(f.cache->pool_use_count(id) == 1);
  char* data = inside->data;
  f.cache->free(inside);
  CHECK(f.cache->malloc(kKiB, 3)->data != data);  // ordinary allocations stay out of the pool
  f.cache->empty_cache({0, 0});
  CHECK(f.cache->snapshot(id).size() == 1);  // held
  f.cache->release_pool(id);
  f.cache->empty_cache({0, 0});
  CHECK(f.cache->snapshot(id).empty() && f.cache->pool_use_count(id) == 0);
  f.cache->free(outside);
  bool refused = false;
  try {
    f.cache->release_pool(id);
  } catch (const c10::Error& e) {
    refused = std::strstr(e.what(), "no memory pool (7, 0)") != nullptr;
  }
  CHECK(refused);
  check_consistent(f);
}

void pool_options() {
  Fixture f({}, 64 * kMiB);
  const auto begin = [&](c10::MempoolId_t id, const PoolOptions& options) {
    f.cache->retain_pool(id, options);
    f.cache->begin_allocate_to_pool(id, [](c10::Stream) { return true; });
  };
  const auto end = [&](c10::MempoolId_t id) {
    f.cache->end_allocate_to_pool(id);
    f.cache->release_pool(id);
  };
  size_t taken = 0, returned = 0;
  PoolOptions outside;
  outside.source = std::make_shared<const SegmentSource>(SegmentSource{
      [&](size_t bytes, c10::StreamId stream) {
        CHECK(stream == 3);
        taken += bytes;
        return reinterpret_cast<void*>(uintptr_t{1} << 50);
      },
      [&](void* data, size_t bytes, c10::StreamId) {
        CHECK(data == reinterpret_cast<void*>(uintptr_t{1} << 50));
        returned += bytes;
      }});
  begin({0, 1}, outside);
  Block* block = f.cache->malloc(kKiB, 3);
  end({0, 1});
  CHECK(taken == 2 * kMiB && f.device.held == 0);
  f.cache->free(block);
  f.cache->release_pool({0, 1});
  f.cache->empty_cache({0, 0});
  CHECK(returned == taken);

  PoolOptions spare;
  spare.use_on_oom = true;
  begin({0, 2}, spare);
  block = f.cache->malloc(40 * kMiB, 3);
  end({0, 2});
  f.cache->free(block);
  CHECK(f.cache->malloc(20 * kMiB, 3)->data != block->data);  // 64 suffice for both
  Block* helped = f.cache->malloc(30 * kMiB, 3);
  CHECK(helped->space->owner->id == c10::MempoolId_t({0, 2}));
  bool failed = false;
  try {
    f.cache->malloc(30 * kMiB, 4);  // another stream
  } catch (const c10::OutOfMemoryError&) {
    failed = true;
  }
  CHECK(failed);
  check_consistent(f);
}

void history() {
  using Entry = torch_npu::memory::History::Entry;
  Fixture f;
  f.cache->history().configure(true, nullptr, 4, torch_npu::memory::History::RecordContext::ALL, false);
  Block* a = f.cache->malloc(kKiB, 5);
  const auto address = reinterpret_cast<size_t>(a->data);
  f.cache->free(a);
  f.cache->empty_cache({0, 0});
  const auto entries = f.cache->history().entries();
  CHECK(entries.size() == 4);  // the oldest, SEGMENT_ALLOC, made room
  const Entry::Action expected[] = {Entry::ALLOC, Entry::FREE_REQUESTED, Entry::FREE_COMPLETED, Entry::SEGMENT_FREE};
  for (size_t i = 0; i < entries.size(); ++i) {
    CHECK(entries[i].action_ == expected[i] && entries[i].addr_ == address);
    CHECK(reinterpret_cast<intptr_t>(entries[i].stream_) == 5);
  }
}

void no_caching() {
  Settings s;
  s.caching = false;
  Fixture f(s);
  Block* a = f.cache->malloc(3 * kMiB, 0);
  CHECK(f.device.held == 3 * kMiB);
  f.cache->free(a);
  CHECK(f.device.held == 0);
}

void roundup() {
  Settings s;
  s.roundup_divisions = {8, 8, 4};
  Fixture f(s);
  CHECK(f.cache->malloc(1025 * kKiB, 0)->bytes == 1152 * kKiB);  // 1 MiB + 1/8
  CHECK(f.cache->malloc(33 * kMiB, 0)->bytes == 40 * kMiB);      // the last entry is for everything above
  CHECK(f.cache->malloc(1024 * kKiB, 0)->bytes == 1024 * kKiB);
}

// Random traffic on several streams, with other streams' uses ending at random times.
void random_traffic(Settings settings, uint32_t seed) {
  Fixture f(settings, 600 * kMiB);
  std::mt19937 random(seed);
  std::vector<Block*> live;
  const auto pick = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  for (int step = 0; step < 20000; ++step) {
    if (live.size() < 10 || (live.size() < 400 && pick(2) == 0)) {
      const size_t scale = size_t{1} << pick(26);
      try {
        Block* block = f.cache->malloc(1 + pick(scale), static_cast<c10::StreamId>(pick(3)));
        for (Block* other : live) {
          if (other->data < block->data + block->bytes && block->data < other->data + other->bytes) CHECK(false);
        }
        live.push_back(block);
      } catch (const c10::OutOfMemoryError&) {
        for (int i = 0; i < 5 && !live.empty(); ++i) {
          f.cache->free(live.back());
          live.pop_back();
        }
      }
    } else {
      const size_t i = pick(live.size());
      if (pick(4) == 0) f.cache->record_stream(live[i], stream(static_cast<c10::StreamId>(pick(4))));
      f.cache->free(live[i]);
      live[i] = live.back();
      live.pop_back();
    }
    if (pick(3) == 0 && !f.device.running.empty()) f.device.running.erase(f.device.running.begin());
    if (pick(5000) == 0) f.cache->empty_cache({0, 0});
    if (step % 500 == 0) check_consistent(f);
  }
  for (Block* block : live) f.cache->free(block);
  f.cache->empty_cache({0, 0});
  check_consistent(f);
  CHECK(f.device.held == 0 && f.device.live_events == 0 && f.device.reserved.empty());
}

void threads() {
  Fixture f({}, size_t{8} << 30);
  std::vector<std::thread> workers;
  for (int t = 0; t < 4; ++t) {
    workers.emplace_back([&, t] {
      std::mt19937 random(static_cast<uint32_t>(t));
      std::vector<Block*> live;
      for (int i = 0; i < 20000; ++i) {
        if (live.size() < 50) {
          live.push_back(f.cache->malloc(1 + random() % (3 * kMiB), t));
          if (i % 3 == 0) f.cache->record_stream(live.back(), stream(t));
        } else {
          std::swap(live[random() % live.size()], live.back());
          f.cache->free(live.back());
          live.pop_back();
        }
      }
      for (Block* block : live) f.cache->free(block);
    });
  }
  for (std::thread& worker : workers) worker.join();
  check_consistent(f);
  f.cache->empty_cache({0, 0});
  CHECK(f.device.held == 0);
}

}  // namespace

int main() {
  rounding_and_segments();
  reuse_is_best_fit_and_immediate();
  streams_do_not_share();
  use_by_another_stream_delays_reuse();
  capture_delays_events();
  out_of_memory();
  split_limit_and_garbage_collection();
  expandable_grows_and_shrinks();
  addresses_alone_are_given_back();
  holes_are_used_before_more_is_taken();
  private_pools();
  pool_options();
  history();
  no_caching();
  roundup();
  Settings limited;
  limited.max_split_bytes = 20 * kMiB;
  limited.max_non_split_rounding_bytes = 21 * kMiB;
  limited.garbage_collection_threshold = 0.7;
  Settings lazy = expandable();
  lazy.lazy_reclaim = true;
  for (uint32_t seed = 1; seed <= 3; ++seed) {
    random_traffic({}, seed);
    random_traffic(limited, seed);
    random_traffic(expandable(), seed);
    random_traffic(lazy, seed);
  }
  threads();
  return check_summary();
}
