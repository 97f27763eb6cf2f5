// What libopapi.so knows of an operator: written by codegen/gen_opapi.py from abi/aclnn.csv and softcann/ops/*.yaml.
#pragma once

#include <atomic>
#include <cstdint>

#include "softcann/nnop/executor.h"

namespace softcann::ops {

struct Parameter {
  const char* name;
  char kind;  // a letter of Parameter.KINDS in codegen/abi_model.py
  nnop::Direction direction;
  bool optional;
  uint64_t types;  // documented data types as bits, 0 = any
};

struct OpDesc {
  const char* name;           // of phase 2
  const char* phase1;         // of phase 1
  const Parameter* parameters;
  uint32_t count;
  mutable std::atomic<const void*> kernel{nullptr};  // found at the first call
};

// An argument as it arrived: the member that the parameter's kind names.
union Slot {
  const aclTensor* tensor;          // T
  const aclTensorList* tensors;     // L
  const aclScalar* scalar;          // S
  const aclScalarList* scalars;     // Z
  const aclIntArray* ints;          // I
  const aclBoolArray* bools;        // B
  const aclFloatArray* floats;      // F
  const char* text;                 // s
  int64_t integer;                  // l i c b
  double real;                      // d f
  const void* pointer;              // any of the handles

  Slot(const aclTensor* v) : tensor(v) {}
  Slot(const aclTensorList* v) : tensors(v) {}
  Slot(const aclScalar* v) : scalar(v) {}
  Slot(const aclScalarList* v) : scalars(v) {}
  Slot(const aclIntArray* v) : ints(v) {}
  Slot(const aclBoolArray* v) : bools(v) {}
  Slot(const aclFloatArray* v) : floats(v) {}
  Slot(const char* v) : text(v) {}
  Slot(int64_t v) : integer(v) {}
  Slot(uint64_t v) : integer(static_cast<int64_t>(v)) {}
  Slot(int32_t v) : integer(v) {}
  Slot(uint32_t v) : integer(v) {}
  Slot(int8_t v) : integer(v) {}
  Slot(bool v) : integer(v) {}
  Slot(double v) : real(v) {}
};

}  // namespace softcann::ops
