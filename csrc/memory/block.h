// What the device cache is made of: blocks chained by address inside a segment, and per stream the blocks that are free.
#pragma once

#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/Stream.h>
#include <c10/util/SmallVector.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "memory/free_tree.h"

namespace torch_npu::memory {

class DeviceCache;
class ExpandableSegment;
struct Block;
struct PrivatePool;
struct Space;

// Memory obtained from the device in one piece, or one reserved address range (then `expandable` is set).
struct Segment {
  char* base;
  size_t bytes;
  Block* first;
  Space* space;
  bool oversize;  // counted so when made
  std::unique_ptr<ExpandableSegment> expandable;
  std::shared_ptr<c10::GatheredContext> context;
};

// A piece of a segment. Blocks of a segment cover it without gaps; two free neighbours never exist (they are merged).
// A DataPtr's context is its Block, so freeing needs no look-up.
struct Block : TreeNode {
  DeviceCache* cache;
  Space* space;
  Segment* segment;
  Block* before;  // neighbours by address; `after` also chains unused Block objects
  Block* after;
  size_t requested;
  uint64_t freed_at;  // the cache's clock when the block became free
  uint32_t pending_events;
  bool allocated;
  bool oversize;
  bool mapped;  // false: address range of an expandable segment without memory behind it
  c10::SmallVector<c10::Stream, 2> used_by;  // other streams, from recordStream
  std::shared_ptr<c10::GatheredContext> context;

  bool is_free() const { return !allocated && mapped && pending_events == 0; }
  bool is_split() const { return before != nullptr || after != nullptr; }
};

// The small or the large half of a stream's pool.
struct Space {
  PrivatePool* owner;
  c10::StreamId stream;
  bool small;
  bool whole;  // segments are not split
  FreeTree<Block> free;
  std::map<char*, Block*> unmapped;  // parts of expandable segments that have no memory, by address
};

struct StreamPool {
  Space small;
  Space large;
};

// Where a pool's segments come from instead of the device. Called under the cache's lock: neither may allocate tensors.
struct SegmentSource {
  std::function<void*(size_t bytes, c10::StreamId stream)> allocate;  // null: out of memory
  std::function<void(void* data, size_t bytes, c10::StreamId stream)> release;
};

struct PoolOptions {
  std::shared_ptr<const SegmentSource> source;  // null: the device
  bool use_on_oom = false;  // its free blocks serve requests from outside of it before these fail
  bool no_split = false;    // a segment is one block
};

// The streams' pools that belong to one MempoolId; {0, 0} is the default pool.
struct PrivatePool {
  c10::MempoolId_t id;
  int use_count;
  std::map<c10::StreamId, std::unique_ptr<StreamPool>> streams;
  PoolOptions options;
};

}  // namespace torch_npu::memory
