#include "launch/arguments.h"

#include <c10/util/Exception.h>
#include <c10/util/bit_cast.h>

#include <complex>
#include <cstring>
#include <sstream>

#include "cann/cann.h"

namespace torch_npu::launch {
namespace {

// The format a tensor without private layout is described with: by rank, as CANN's clients do.
aclFormat base_format(size_t dims) {
  switch (dims) {
    case 3: return ACL_FORMAT_NCL;
    case 4: return ACL_FORMAT_NCHW;
    case 5: return ACL_FORMAT_NCDHW;
    default: return ACL_FORMAT_ND;
  }
}

}  // namespace

// Walks the key words; shared shape of building and describing.
class Arguments::Reader {
 public:
  Reader(Arguments& owner, const uint64_t* words, void* const* addresses)
      : owner_(owner), words_(words), addresses_(addresses) {}

  uint64_t word() { return *words_++; }

  aclTensor* tensor(bool in_list) {
    const auto head = TensorWord::unpack(word());
    const uint32_t index = index_++;
    if (!head.present) return nullptr;
    const auto* sizes = reinterpret_cast<const int64_t*>(words_);
    const int64_t* strides = sizes + head.dims;
    const int64_t offset = strides[head.dims];
    const int64_t elements = strides[head.dims + 1];
    words_ += 2 * head.dims + 2;
    aclTensor* t = cann::aclCreateTensor(sizes, head.dims, static_cast<aclDataType>(head.dtype), strides, offset,
                                         base_format(head.dims), &elements, 1, *addresses_++);
    TORCH_CHECK(t != nullptr, "aclCreateTensor refused a tensor of ", acl_dtype_name(head.dtype), " and ", head.dims,
                " dimensions");
    owner_.tensors_.push_back({t, index});
    // A list destroys its elements itself.
    if (!in_list) owner_.own(t, [](void* p) { cann::aclDestroyTensor(static_cast<aclTensor*>(p)); }, "aclCreateTensor");
    return t;
  }

  aclTensorList* tensor_list() {
    const uint64_t n = word();
    c10::SmallVector<aclTensor*, 16> items(n);
    for (auto& item : items) item = tensor(true);
    return owner_.own(cann::aclCreateTensorList(items.data(), n),
                      [](void* p) { cann::aclDestroyTensorList(static_cast<aclTensorList*>(p)); }, "aclCreateTensorList");
  }

  aclScalar* scalar(bool in_list) {
    const uint64_t dtype = word();
    const uint64_t* value = words_;
    words_ += 2;
    if (dtype == kNullScalar) return nullptr;
    bool truth = *value != 0;
    void* data = dtype == ACL_BOOL ? static_cast<void*>(&truth) : const_cast<uint64_t*>(value);
    aclScalar* s = cann::aclCreateScalar(data, static_cast<aclDataType>(dtype));
    TORCH_CHECK(s != nullptr, "aclCreateScalar refused a scalar of ", acl_dtype_name(static_cast<int>(dtype)));
    if (!in_list) owner_.own(s, [](void* p) { cann::aclDestroyScalar(static_cast<aclScalar*>(p)); }, "aclCreateScalar");
    return s;
  }

  aclScalarList* scalar_list() {
    const uint64_t n = word();
    c10::SmallVector<aclScalar*, 16> items(n);
    for (auto& item : items) item = scalar(true);
    return owner_.own(cann::aclCreateScalarList(items.data(), n),
                      [](void* p) { cann::aclDestroyScalarList(static_cast<aclScalarList*>(p)); }, "aclCreateScalarList");
  }

  aclIntArray* int_array() {
    const uint64_t n = word();
    if (n == kNullArray) return nullptr;
    const auto* values = reinterpret_cast<const int64_t*>(words_);
    words_ += n;
    return owner_.own(cann::aclCreateIntArray(values, n),
                      [](void* p) { cann::aclDestroyIntArray(static_cast<aclIntArray*>(p)); }, "aclCreateIntArray");
  }

  aclBoolArray* bool_array() {
    const uint64_t n = word();
    if (n == kNullArray) return nullptr;
    c10::SmallVector<char, 16> values(n);
    for (auto& v : values) v = word() != 0;
    return owner_.own(cann::aclCreateBoolArray(reinterpret_cast<const bool*>(values.data()), n),
                      [](void* p) { cann::aclDestroyBoolArray(static_cast<aclBoolArray*>(p)); }, "aclCreateBoolArray");
  }

  aclFloatArray* float_array() {
    const uint64_t n = word();
    if (n == kNullArray) return nullptr;
    c10::SmallVector<float, 16> values(n);
    for (auto& v : values) v = static_cast<float>(c10::bit_cast<double>(word()));
    return owner_.own(cann::aclCreateFloatArray(values.data(), n),
                      [](void* p) { cann::aclDestroyFloatArray(static_cast<aclFloatArray*>(p)); }, "aclCreateFloatArray");
  }

  const char* string() {
    const uint64_t words = word();
    const auto* text = reinterpret_cast<const char*>(words_);
    words_ += words;
    return text;
  }

 private:
  Arguments& owner_;
  const uint64_t* words_;
  void* const* addresses_;
  uint32_t index_ = 0;
};

template <class T>
T* Arguments::own(T* object, void (*destroy)(void*), const char* call) {
  TORCH_CHECK(object != nullptr, call, " returned no object");
  owned_.push_back({object, destroy});
  return object;
}

Arguments::Arguments(const AclnnFunction& function, const uint64_t* words, void* const* addresses) {
  Reader reader(*this, words, addresses);
  for (const char* kind = function.kinds; *kind != '\0'; ++kind) {
    ArgValue value{};
    switch (*kind) {
      case 'T': value.pointer = reader.tensor(false); break;
      case 'L': value.pointer = reader.tensor_list(); break;
      case 'S': value.pointer = reader.scalar(false); break;
      case 'Z': value.pointer = reader.scalar_list(); break;
      case 'I': value.pointer = reader.int_array(); break;
      case 'B': value.pointer = reader.bool_array(); break;
      case 'F': value.pointer = reader.float_array(); break;
      case 's': value.pointer = const_cast<char*>(reader.string()); break;
      case 'd': case 'f': value.real = c10::bit_cast<double>(reader.word()); break;
      default: value.integer = static_cast<int64_t>(reader.word()); break;
    }
    values_.push_back(value);
  }
}

Arguments::~Arguments() {
  for (auto it = owned_.rbegin(); it != owned_.rend(); ++it) it->destroy(it->object);
}

namespace {

class Describer {
 public:
  explicit Describer(const uint64_t* words) : words_(words) {}

  void argument(char kind) {
    switch (kind) {
      case 'T': tensor(); break;
      case 'L': list([this] { tensor(); }); break;
      case 'S': scalar(); break;
      case 'Z': list([this] { scalar(); }); break;
      case 'I': list([this] { out_ << static_cast<int64_t>(*words_++); }); break;
      case 'B': list([this] { out_ << (*words_++ ? "true" : "false"); }); break;
      case 'F': list([this] { out_ << c10::bit_cast<double>(*words_++); }); break;
      case 's': {
        const uint64_t n = *words_++;
        out_ << '"' << reinterpret_cast<const char*>(words_) << '"';
        words_ += n;
        break;
      }
      case 'd': case 'f': out_ << c10::bit_cast<double>(*words_++); break;
      case 'b': out_ << (*words_++ ? "true" : "false"); break;
      default: out_ << static_cast<int64_t>(*words_++); break;
    }
  }

  std::ostringstream& out() { return out_; }

 private:
  void tensor() {
    const auto head = TensorWord::unpack(*words_++);
    if (!head.present) {
      out_ << "none";
      return;
    }
    out_ << acl_dtype_name(head.dtype) << '[';
    for (int i = 0; i < head.dims; ++i) out_ << (i ? ", " : "") << static_cast<int64_t>(words_[i]);
    out_ << ']';
    words_ += 2 * head.dims + 2;
  }

  void scalar() {
    const uint64_t dtype = *words_++;
    if (dtype == kNullScalar) out_ << "none";
    else if (dtype == ACL_BOOL) out_ << (words_[0] ? "true" : "false");
    else if (dtype == ACL_DOUBLE) out_ << c10::bit_cast<double>(words_[0]);
    else if (dtype == ACL_COMPLEX128) out_ << std::complex(c10::bit_cast<double>(words_[0]), c10::bit_cast<double>(words_[1]));
    else out_ << static_cast<int64_t>(words_[0]);
    words_ += 2;
  }

  template <class Item>
  void list(Item item) {
    const uint64_t n = *words_++;
    if (n == kNullArray) {
      out_ << "none";
      return;
    }
    out_ << '[';
    for (uint64_t i = 0; i < n; ++i) {
      if (i) out_ << ", ";
      item();
    }
    out_ << ']';
  }

  const uint64_t* words_;
  std::ostringstream out_;
};

}  // namespace

std::string describe_arguments(const AclnnFunction& function, const uint64_t* words) {
  Describer d(words);
  for (int i = 0; function.kinds[i] != '\0'; ++i) {
    d.out() << (i ? ", " : "") << function.parameters[i] << '=';
    d.argument(function.kinds[i]);
  }
  return d.out().str();
}

}  // namespace torch_npu::launch
