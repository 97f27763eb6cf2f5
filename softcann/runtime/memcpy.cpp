// Copies and fills. Addresses are checked when a call is made; asynchronous ones work on the writable view later.
#include <algorithm>
#include <cstring>
#include <new>

#include "softcann/api_ascendcl.h"
#include "softcann/runtime/context.h"
#include "softcann/runtime/host_memory.h"
#include "softcann/runtime/memory_arena.h"
#include "softcann/runtime/stream.h"

namespace softcann {
using namespace runtime;

namespace {

enum class Side { any, host, device };

struct Kind {
  Side dst = Side::any, src = Side::any;
  bool snapshot = false;  // the source may change as soon as the call returns
};

aclError read_kind(const char* function, aclrtMemcpyKind kind, Kind* sides) {
  switch (kind) {
    case ACL_MEMCPY_HOST_TO_HOST: *sides = {Side::host, Side::host}; return ACL_SUCCESS;
    case ACL_MEMCPY_HOST_TO_DEVICE: *sides = {Side::device, Side::host}; return ACL_SUCCESS;
    case ACL_MEMCPY_DEVICE_TO_HOST: *sides = {Side::host, Side::device}; return ACL_SUCCESS;
    case ACL_MEMCPY_DEVICE_TO_DEVICE:
    case ACL_MEMCPY_INNER_DEVICE_TO_DEVICE:
    case ACL_MEMCPY_INTER_DEVICE_TO_DEVICE: *sides = {Side::device, Side::device}; return ACL_SUCCESS;
    case ACL_MEMCPY_DEFAULT: *sides = {Side::any, Side::any}; return ACL_SUCCESS;
    case ACL_MEMCPY_HOST_TO_BUF_TO_DEVICE: *sides = {Side::device, Side::host, true}; return ACL_SUCCESS;
  }
  return fail(ACL_ERROR_INVALID_PARAM, "%s: kind is %d, allowed are 0 to 7 (aclrtMemcpyKind)", function, static_cast<int>(kind));
}

// One end of a copy.
struct End {
  char* data = nullptr;   // where this process can reach it
  int device = -1;        // -1: host memory
  bool pinned = false;    // host memory that devices may use while the host goes on
};

aclError locate(const char* function, const char* name, const void* address, size_t bytes, Side side, End* end) {
  if (address == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s is null", function, name);
  const MemoryArena& arena = MemoryArena::get();
  const bool on_device = arena.is_device_address(address);
  if (side == Side::device && !on_device && !is_registered_host_memory(address, bytes)) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %s is %p, which is host memory, but the kind says device", function, name, address);
  }
  if (side == Side::host && on_device) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: %s is %p, which is device memory, but the kind says host", function, name, address);
  }
  if (!on_device && !arena.owns(address)) {
    *end = {static_cast<char*>(const_cast<void*>(address)), -1, is_registered_host_memory(address, bytes)};
    return ACL_SUCCESS;
  }
  char* data = arena.alias(address, bytes, function, &end->device);
  if (data == nullptr) return ACL_ERROR_RT_PARAM_INVALID;
  end->data = data;
  end->pinned = !on_device;
  return ACL_SUCCESS;
}

struct Copy {
  char* dst;
  const char* src;
  size_t dst_pitch, src_pitch, width, height;

  void run() const {
    if (height == 1 || (dst_pitch == width && src_pitch == width)) {
      memmove(dst, src, width * height);
      return;
    }
    for (size_t row = 0; row < height; ++row) memmove(dst + row * dst_pitch, src + row * src_pitch, width);
  }
};

struct Plan {
  Copy copy{};
  Kind kind{};
  End dst, src;
};

aclError plan(const char* function, void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
              aclrtMemcpyKind kind, Plan* out) {
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (const int code = read_kind(function, kind, &out->kind)) return code;
  const size_t dst_bytes = (height - 1) * dst_pitch + width, src_bytes = (height - 1) * src_pitch + width;
  if (const int code = locate(function, "dst", dst, dst_bytes, out->kind.dst, &out->dst)) return code;
  if (const int code = locate(function, "src", src, src_bytes, out->kind.src, &out->src)) return code;
  const int to = out->dst.device, from = out->src.device;
  if (to >= 0 && from >= 0 && to != from && !peer_access_enabled(to, from) && !peer_access_enabled(from, to)) {
    return fail(ACL_ERROR_RT_PARAM_INVALID, "%s: a copy from device %d to device %d needs aclrtDeviceEnablePeerAccess first", function, from, to);
  }
  out->copy = {out->dst.data, out->src.data, dst_pitch, src_pitch, width, height};
  return ACL_SUCCESS;
}

aclError check_count(const char* function, size_t room, size_t count, const char* room_name) {
  if (count <= room) return ACL_SUCCESS;
  return fail(ACL_ERROR_INVALID_PARAM, "%s: count is %zu, more than %s, which is %zu", function, count, room_name, room);
}

// As on the device, nothing needs to be copied from pageable memory once the call returned, and everything arrived in it.
aclError submit(const char* function, const Plan& plan, aclrtStream handle) {
  int code = ACL_SUCCESS;
  Stream* stream = find_stream_of_context(handle, function, &code);
  if (stream == nullptr) return code;
  const Copy copy = plan.copy;
  const bool pageable_source = plan.src.device < 0 && !plan.src.pinned, pageable_target = plan.dst.device < 0 && !plan.dst.pinned;
  constexpr size_t kSnapshot = 256 << 10;
  if ((pageable_source || plan.kind.snapshot) && !pageable_target && copy.height == 1 && copy.width <= kSnapshot) {
    auto* buffer = static_cast<char*>(::operator new(sizeof(Copy) + copy.width));
    auto* later = new (buffer) Copy(copy);
    memcpy(buffer + sizeof(Copy), copy.src, copy.width);
    later->src = buffer + sizeof(Copy);
    return stream->enqueue({[](void* p) { return static_cast<Copy*>(p)->run(), 0; }, [](void* p) { ::operator delete(p); }, buffer, function});
  }
  Mark mark;
  code = enqueue_call(*stream, function, [copy] { return copy.run(), 0; }, &mark);
  if (code == ACL_SUCCESS && (pageable_source || pageable_target || plan.kind.snapshot) && !stream->is_own()) Stream::wait(mark, kNever);
  return code;
}

aclError copy_now(const char* function, void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                  aclrtMemcpyKind kind) {
  Plan p;
  if (const int code = plan(function, dst, dst_pitch, src, src_pitch, width, height, kind, &p)) return code;
  p.copy.run();
  return ACL_SUCCESS;
}

aclError copy_later(const char* function, void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height,
                    aclrtMemcpyKind kind, aclrtStream stream) {
  Plan p;
  if (const int code = plan(function, dst, dst_pitch, src, src_pitch, width, height, kind, &p)) return code;
  return submit(function, p, stream);
}

// Nothing to copy: only the question whether the caller may ask.
aclError copy_nothing(const char* function) {
  Context* context = nullptr;
  return require_context(function, &context);
}

aclError check_pitches(const char* function, size_t dst_pitch, size_t src_pitch, size_t width) {
  if (width <= dst_pitch && width <= src_pitch) return ACL_SUCCESS;
  return fail(ACL_ERROR_INVALID_PARAM, "%s: width is %zu, more than the pitch of %s, which is %zu", function, width,
              width > dst_pitch ? "dst" : "src", width > dst_pitch ? dst_pitch : src_pitch);
}

// dst gets `value` repeated, `count` bytes in all.
struct Fill {
  char* dst = nullptr;
  uint32_t value = 0;
  size_t unit = 1, count = 0;

  void run() const {
    if (unit == 1) {
      memset(dst, static_cast<int>(value), count);
    } else {
      std::fill_n(reinterpret_cast<uint32_t*>(dst), count / unit, value);
    }
  }
};

aclError plan_fill(const char* function, void* address, size_t room, uint32_t value, size_t unit, size_t count, Fill* fill) {
  Context* context = nullptr;
  if (const int code = require_context(function, &context)) return code;
  if (address == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: the address is null", function);
  if (const int code = check_count(function, room, count, unit == 1 ? "maxCount" : "memSize")) return code;
  if (reinterpret_cast<uintptr_t>(address) % unit != 0) {
    return fail(ACL_ERROR_RT_ADDR_UNALIGNED, "%s: %p is not a multiple of %zu", function, address, unit);
  }
  End end;
  if (const int code = locate(function, "the address", address, count, Side::any, &end)) return code;
  *fill = {end.data, value, unit, count};
  return ACL_SUCCESS;
}

aclError fill_now(const char* function, void* address, size_t room, uint32_t value, size_t unit, size_t count) {
  Fill fill;
  if (const int code = plan_fill(function, address, room, value, unit, count, &fill)) return code;
  fill.run();
  return ACL_SUCCESS;
}

aclError fill_later(const char* function, void* address, size_t room, uint32_t value, size_t unit, size_t count, aclrtStream handle) {
  Fill fill;
  if (const int code = plan_fill(function, address, room, value, unit, count, &fill)) return code;
  int code = ACL_SUCCESS;
  Stream* stream = find_stream_of_context(handle, function, &code);
  return stream == nullptr ? code : enqueue_call(*stream, function, [fill] { return fill.run(), 0; });
}

struct Batch {
  void** dsts;
  size_t* rooms;
  void** srcs;
  size_t* sizes;
  size_t count;
  const aclrtMemcpyBatchAttr* attrs;
  const size_t* attr_indexes;
  size_t attr_count;
};

// Attributes say where dst and src are, for the copies from attr_indexes[i] on.
aclError each_copy(const char* function, const Batch& batch, size_t* failed, aclError (*submit_one)(const char*, const Plan&, aclrtStream),
                   aclrtStream stream) {
  if (failed != nullptr) *failed = SIZE_MAX;  // not the fault of one copy
  if (batch.dsts == nullptr || batch.rooms == nullptr || batch.srcs == nullptr || batch.sizes == nullptr || batch.count == 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: dsts, destMaxs, srcs and sizes must not be null and numBatches (%zu) not 0", function, batch.count);
  }
  if (batch.attr_count == 0 || batch.attr_count > batch.count || batch.attrs == nullptr || batch.attr_indexes == nullptr ||
      batch.attr_indexes[0] != 0) {
    return fail(ACL_ERROR_INVALID_PARAM, "%s: attrs and attrsIndexes must hold 1 to numBatches entries, the first of them for copy 0", function);
  }
  const auto is_device = [](const aclrtMemLocation& location) { return location.type == ACL_MEM_LOCATION_TYPE_DEVICE; };
  size_t attr = 0;
  for (size_t i = 0; i < batch.count; ++i) {
    while (attr + 1 < batch.attr_count && batch.attr_indexes[attr + 1] <= i) ++attr;
    const bool to_device = is_device(batch.attrs[attr].dstLoc), from_device = is_device(batch.attrs[attr].srcLoc);
    const aclrtMemcpyKind kind = to_device ? (from_device ? ACL_MEMCPY_DEVICE_TO_DEVICE : ACL_MEMCPY_HOST_TO_DEVICE)
                                           : (from_device ? ACL_MEMCPY_DEVICE_TO_HOST : ACL_MEMCPY_HOST_TO_HOST);
    const size_t size = batch.sizes[i];
    Plan p;
    int code = check_count(function, batch.rooms[i], size, "destMaxs");
    if (code == ACL_SUCCESS && size == 0) continue;
    if (code == ACL_SUCCESS) code = plan(function, batch.dsts[i], size, batch.srcs[i], size, size, 1, kind, &p);
    if (code == ACL_SUCCESS) code = submit_one(function, p, stream);
    if (code != ACL_SUCCESS) {
      if (failed != nullptr) *failed = i;
      return code;
    }
  }
  return ACL_SUCCESS;
}

aclError run_now(const char*, const Plan& plan, aclrtStream) {
  plan.copy.run();
  return ACL_SUCCESS;
}

}  // namespace

aclError api::aclrtMemcpy(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind) {
  if (const int code = check_count("aclrtMemcpy", destMax, count, "destMax")) return code;
  return count == 0 ? copy_nothing("aclrtMemcpy") : copy_now("aclrtMemcpy", dst, count, src, count, count, 1, kind);
}

aclError api::aclrtMemcpyAsync(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind, aclrtStream stream) {
  if (const int code = check_count("aclrtMemcpyAsync", destMax, count, "destMax")) return code;
  return count == 0 ? copy_nothing("aclrtMemcpyAsync") : copy_later("aclrtMemcpyAsync", dst, count, src, count, count, 1, kind, stream);
}

aclError api::aclrtMemcpyAsyncWithCondition(void* dst, size_t destMax, const void* src, size_t count, aclrtMemcpyKind kind, aclrtStream stream) {
  constexpr const char* kName = "aclrtMemcpyAsyncWithCondition";
  if (const int code = check_count(kName, destMax, count, "destMax")) return code;
  return count == 0 ? copy_nothing(kName) : copy_later(kName, dst, count, src, count, count, 1, kind, stream);
}

aclError api::aclrtMemcpyAsyncWithOffset(void** dst, size_t destMax, size_t dstDataOffset, const void** src, size_t count, size_t srcDataOffset,
                                         aclrtMemcpyKind kind, aclrtStream stream) {
  constexpr const char* kName = "aclrtMemcpyAsyncWithOffset";
  if (dst == nullptr || src == nullptr) return fail(ACL_ERROR_INVALID_PARAM, "%s: %s is null", kName, dst == nullptr ? "dst" : "src");
  if (const int code = check_count(kName, destMax, count, "destMax")) return code;
  if (count == 0) return copy_nothing(kName);
  return copy_later(kName, static_cast<char*>(*dst) + dstDataOffset, count, static_cast<const char*>(*src) + srcDataOffset, count, count, 1, kind,
                    stream);
}

aclError api::aclrtMemcpy2d(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind) {
  if (const int code = check_pitches("aclrtMemcpy2d", dpitch, spitch, width)) return code;
  if (width == 0 || height == 0) return copy_nothing("aclrtMemcpy2d");
  return copy_now("aclrtMemcpy2d", dst, dpitch, src, spitch, width, height, kind);
}

aclError api::aclrtMemcpy2dAsync(void* dst, size_t dpitch, const void* src, size_t spitch, size_t width, size_t height, aclrtMemcpyKind kind,
                                 aclrtStream stream) {
  if (const int code = check_pitches("aclrtMemcpy2dAsync", dpitch, spitch, width)) return code;
  if (width == 0 || height == 0) return copy_nothing("aclrtMemcpy2dAsync");
  return copy_later("aclrtMemcpy2dAsync", dst, dpitch, src, spitch, width, height, kind, stream);
}

aclError api::aclrtMemcpyBatch(void** dsts, size_t* destMaxs, void** srcs, size_t* sizes, size_t numBatches, aclrtMemcpyBatchAttr* attrs,
                               size_t* attrsIndexes, size_t numAttrs, size_t* failIndex) {
  return each_copy("aclrtMemcpyBatch", {dsts, destMaxs, srcs, sizes, numBatches, attrs, attrsIndexes, numAttrs}, failIndex, &run_now, nullptr);
}

aclError api::aclrtMemcpyBatchV2(void** dsts, size_t* destMaxs, void** srcs, size_t* sizes, size_t numBatches, aclrtMemcpyBatchAttr* attrs,
                                 size_t* attrsIndexes, size_t numAttrs) {
  return each_copy("aclrtMemcpyBatchV2", {dsts, destMaxs, srcs, sizes, numBatches, attrs, attrsIndexes, numAttrs}, nullptr, &run_now, nullptr);
}

aclError api::aclrtMemcpyBatchAsync(void** dsts, size_t* destMaxs, void** srcs, size_t* sizes, size_t numBatches, aclrtMemcpyBatchAttr* attrs,
                                    size_t* attrsIndexes, size_t numAttrs, size_t* failIndex, aclrtStream stream) {
  return each_copy("aclrtMemcpyBatchAsync", {dsts, destMaxs, srcs, sizes, numBatches, attrs, attrsIndexes, numAttrs}, failIndex, &submit, stream);
}

aclError api::aclrtMemcpyBatchAsyncV2(void** dsts, size_t* destMaxs, void** srcs, size_t* sizes, size_t numBatches, aclrtMemcpyBatchAttr* attrs,
                                      size_t* attrsIndexes, size_t numAttrs, aclrtStream stream) {
  return each_copy("aclrtMemcpyBatchAsyncV2", {dsts, destMaxs, srcs, sizes, numBatches, attrs, attrsIndexes, numAttrs}, nullptr, &submit, stream);
}

aclError api::aclrtMemset(void* devPtr, size_t maxCount, int32_t value, size_t count) {
  return fill_now("aclrtMemset", devPtr, maxCount, static_cast<uint32_t>(value), 1, count);
}

aclError api::aclrtMemsetAsync(void* devPtr, size_t maxCount, int32_t value, size_t count, aclrtStream stream) {
  return fill_later("aclrtMemsetAsync", devPtr, maxCount, static_cast<uint32_t>(value), 1, count, stream);
}

aclError api::aclrtMemsetD32(void* ptr, size_t memSize, uint32_t value, size_t N) {
  return fill_now("aclrtMemsetD32", ptr, memSize, value, sizeof(value), N * sizeof(value));
}

aclError api::aclrtMemsetD32Async(void* ptr, size_t memSize, uint32_t value, size_t N, aclrtStream stream) {
  return fill_later("aclrtMemsetD32Async", ptr, memSize, value, sizeof(value), N * sizeof(value), stream);
}

}  // namespace softcann
