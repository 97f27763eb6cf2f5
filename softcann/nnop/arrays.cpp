// Scalars, arrays of numbers, lists of tensors and scalars.
#include <algorithm>
#include <cstring>

#include "softcann/api_nnopbase.h"
#include "softcann/core/error.h"
#include "softcann/nnop/objects.h"

namespace softcann {
namespace {

using nnop::Kind;

template <class Object, class Value>
Object* create(const char* function, Kind kind, const Value* values, uint64_t size) {
  if (values == nullptr && size != 0) {
    fail(ACLNN_ERR_PARAM_NULLPTR, "%s: value is null but size is %llu", function, static_cast<unsigned long long>(size));
    return nullptr;
  }
  auto object = std::make_unique<Object>();
  object->kind = kind;
  object->size = size;
  using Element = std::remove_reference_t<decltype(object->values[0])>;
  object->values = std::make_unique<Element[]>(size);
  for (uint64_t i = 0; i < size; ++i) object->values[i] = const_cast<Element&>(values[i]);
  return object.release();
}

template <class Object>
int check(const char* function, const char* name, Kind kind, const Object* object) {
  if (object == nullptr) return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: %s is null", function, name);
  if (object->kind != kind) {
    return fail(ACLNN_ERR_PARAM_INVALID, "%s: %s %p is not a live object of its type: destroyed, or made by another function",
                function, name, static_cast<const void*>(object));
  }
  return 0;
}

template <class Object>
int destroy(const char* function, Kind kind, const Object* object) {
  if (object == nullptr) return 0;
  if (int code = check(function, "argument", kind, object)) return code;
  const_cast<Object*>(object)->kind = Kind::kDead;
  delete object;
  return 0;
}

template <class Object>
int size_of(const char* function, const char* name, Kind kind, const Object* object, uint64_t* size) {
  if (int code = check(function, name, kind, object)) return code;
  if (size == nullptr) return fail(ACLNN_ERR_PARAM_NULLPTR, "%s: size is null", function);
  *size = object->size;
  return 0;
}

}  // namespace

aclScalar* api::aclCreateScalar(void* value, aclDataType dataType) {
  const int bits = nnop::bits_of(dataType);
  if (value == nullptr) {
    fail(ACLNN_ERR_PARAM_NULLPTR, "aclCreateScalar: value is null");
    return nullptr;
  }
  if (bits < 8) {
    fail(ACLNN_ERR_PARAM_INVALID, "aclCreateScalar: dataType is %d (%s); a scalar needs a type of whole bytes",
         static_cast<int>(dataType), nnop::name_of(dataType));
    return nullptr;
  }
  auto* scalar = new aclScalar;
  scalar->type = dataType;
  std::memcpy(scalar->value, value, static_cast<size_t>(bits / 8));
  return scalar;
}

aclnnStatus api::aclDestroyScalar(const aclScalar* scalar) { return destroy("aclDestroyScalar", Kind::kScalar, scalar); }

aclIntArray* api::aclCreateIntArray(const int64_t* value, uint64_t size) {
  return create<aclIntArray>("aclCreateIntArray", Kind::kIntArray, value, size);
}

aclFloatArray* api::aclCreateFloatArray(const float* value, uint64_t size) {
  return create<aclFloatArray>("aclCreateFloatArray", Kind::kFloatArray, value, size);
}

aclBoolArray* api::aclCreateBoolArray(const bool* value, uint64_t size) {
  return create<aclBoolArray>("aclCreateBoolArray", Kind::kBoolArray, value, size);
}

aclTensorList* api::aclCreateTensorList(const aclTensor* const* value, uint64_t size) {
  return create<aclTensorList>("aclCreateTensorList", Kind::kTensorList, value, size);
}

aclScalarList* api::aclCreateScalarList(const aclScalar* const* value, uint64_t size) {
  return create<aclScalarList>("aclCreateScalarList", Kind::kScalarList, value, size);
}

aclnnStatus api::aclDestroyIntArray(const aclIntArray* array) {
  return destroy("aclDestroyIntArray", Kind::kIntArray, array);
}

aclnnStatus api::aclDestroyFloatArray(const aclFloatArray* array) {
  return destroy("aclDestroyFloatArray", Kind::kFloatArray, array);
}

aclnnStatus api::aclDestroyBoolArray(const aclBoolArray* array) {
  return destroy("aclDestroyBoolArray", Kind::kBoolArray, array);
}

// A list owns its elements.
aclnnStatus api::aclDestroyTensorList(const aclTensorList* array) {
  if (array == nullptr) return 0;
  if (int code = check("aclDestroyTensorList", "array", Kind::kTensorList, array)) return code;
  for (uint64_t i = 0; i < array->size; ++i) {
    if (int code = api::aclDestroyTensor(array->values[i])) return code;
  }
  return destroy("aclDestroyTensorList", Kind::kTensorList, array);
}

aclnnStatus api::aclDestroyScalarList(const aclScalarList* array) {
  if (array == nullptr) return 0;
  if (int code = check("aclDestroyScalarList", "array", Kind::kScalarList, array)) return code;
  for (uint64_t i = 0; i < array->size; ++i) {
    if (int code = api::aclDestroyScalar(array->values[i])) return code;
  }
  return destroy("aclDestroyScalarList", Kind::kScalarList, array);
}

aclnnStatus api::aclGetIntArraySize(const aclIntArray* array, uint64_t* size) {
  return size_of("aclGetIntArraySize", "array", Kind::kIntArray, array, size);
}

aclnnStatus api::aclGetFloatArraySize(const aclFloatArray* array, uint64_t* size) {
  return size_of("aclGetFloatArraySize", "array", Kind::kFloatArray, array, size);
}

aclnnStatus api::aclGetBoolArraySize(const aclBoolArray* array, uint64_t* size) {
  return size_of("aclGetBoolArraySize", "array", Kind::kBoolArray, array, size);
}

aclnnStatus api::aclGetTensorListSize(const aclTensorList* tensorList, uint64_t* size) {
  return size_of("aclGetTensorListSize", "tensorList", Kind::kTensorList, tensorList, size);
}

aclnnStatus api::aclGetScalarListSize(const aclScalarList* scalarList, uint64_t* size) {
  return size_of("aclGetScalarListSize", "scalarList", Kind::kScalarList, scalarList, size);
}

}  // namespace softcann
