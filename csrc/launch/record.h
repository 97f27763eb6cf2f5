// The record of one operator call, as Launch writes it and the consumer reads it.
#pragma once

#include <ATen/core/ATen_fwd.h>
#include <c10/core/Device.h>
#include <c10/util/ArrayRef.h>
#include <c10/util/DimVector.h>

#include <cstdint>
#include <vector>

#include "acl/acl.h"
#include "aclnn/acl_meta.h"
#include "launch/aclnn.h"

namespace torch_npu::launch {

struct ShapeReply {
  c10::ArrayRef<int> outputs;           // which tensors, counted from 0
  std::vector<c10::DimVector> shapes;   // filled by the consumer
};

// Followed by `addresses` pointers and `words` key words. The key holds per parameter, by kind:
//   T  TensorWord, then if present sizes, strides, storage offset, storage elements
//   L  count, then that many T              S  dtype (or kNullScalar), two value words    Z  count, then that many S
//   I, B, F  count (or kNullArray), then a word per element            s  words, then zero-terminated text
//   l, i, c, b  the integer                 d, f  the bits of a double
struct Record {
  const AclnnFunction* function;
  const char* op;
  aclrtStream stream;
  ShapeReply* reply;
  uint64_t stack;  // see stacks.h
  int64_t device;
  uint32_t addresses;
  uint32_t words;
};

struct TensorWord {
  bool present = false;
  uint8_t dtype = 0;
  uint16_t dims = 0;
  uint64_t pack() const { return uint64_t{present} | uint64_t{dtype} << 8 | uint64_t{dims} << 16; }
  static TensorWord unpack(uint64_t w) {
    return {(w & 1) != 0, static_cast<uint8_t>(w >> 8), static_cast<uint16_t>(w >> 16)};
  }
};

constexpr uint64_t kNullScalar = ~uint64_t{0};
constexpr uint64_t kNullArray = ~uint64_t{0};

// Makes the aclnn call of the Record at `body`. Runs on the consumer thread (or the caller's, without queue).
void run_record(void* body);

// After a change of what CANN prepares operators for.
void forget_executors(c10::DeviceIndex device);

const char* acl_dtype_name(int dtype);

}  // namespace torch_npu::launch
