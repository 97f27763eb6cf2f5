// The functions and calls that gen_cases.py wrote. Little endian, packed; lengths and counts are uint32:
//
//   file       "ACLNNABI", functions
//   function   name, parameters {name, kind, direction, optional, types}, exceptions {check, reason}, cases {tolerance, arguments}
//   argument   T L S Z I B F s: a byte for "given", then tensor, tensors, scalar, scalars, numbers, text; l i c b: int64; d f: double
//   tensor     role, dtype, sizes, bytes; then, by role, dtype, sizes, bytes of what is expected, or low, high, mean, tolerance
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace abi {

enum class Direction : uint8_t { kIn, kOut, kInOut };
// kSpace: memory for a result whose size depends on data; kDrawn: random numbers.
enum class Role : uint8_t { kIn, kOut, kChanged, kSpace, kDrawn };

struct Data {
  int32_t type = 0;
  std::vector<int64_t> sizes;
  std::vector<char> bytes;  // row-major

  int64_t count() const {
    int64_t n = 1;
    for (int64_t size : sizes) n *= size;
    return n;
  }
};

struct Tensor {
  Role role = Role::kIn;
  Data held;
  Data expected;
  double low = 0, high = 0, mean = 0, tolerance = 0;
};

struct ScalarValue {
  int32_t type = 0;
  char value[16] = {};
};

// One argument; the parameter's kind says which members count.
struct Argument {
  bool given = true;
  std::vector<Tensor> tensors;        // T: one; L
  std::vector<ScalarValue> scalars;   // S: one; Z
  std::vector<int64_t> integers;      // I
  std::vector<char> bools;            // B
  std::vector<float> floats;          // F
  std::string text;                   // s
  int64_t integer = 0;                // l i c b
  double real = 0;                    // d f
};

struct Parameter {
  std::string name;
  char kind = 0;
  Direction direction = Direction::kIn;
  bool optional = false;
  uint64_t types = 0;  // documented data types as bits, 0 = none documented

  bool is_handle() const { return std::strchr("TLSZIBFs", kind) != nullptr; }
  bool has_tensors() const { return kind == 'T' || kind == 'L'; }
};

struct Case {
  double tolerance = -1;
  std::vector<Argument> arguments;
};

struct Function {
  std::string name;
  std::vector<Parameter> parameters;
  std::map<std::string, std::string> exceptions;
  std::vector<Case> cases;
};

class Reader {
 public:
  explicit Reader(const std::string& path) : in_(path, std::ios::binary) {
    if (!in_) throw std::runtime_error("cannot read " + path);
  }

  std::vector<Function> functions() {
    char magic[8];
    read(magic, sizeof(magic));
    if (std::memcmp(magic, "ACLNNABI", sizeof(magic)) != 0) throw std::runtime_error("not a case file");
    return list<Function>([this] { return function(); });
  }

 private:
  void read(void* to, size_t size) {
    if (!in_.read(static_cast<char*>(to), static_cast<std::streamsize>(size))) throw std::runtime_error("the case file is too short");
  }

  template <class T>
  T get() {
    T value;
    read(&value, sizeof(value));
    return value;
  }

  template <class T, class F>
  std::vector<T> list(F element) {
    std::vector<T> out(get<uint32_t>());
    for (T& value : out) value = element();
    return out;
  }

  template <class T>
  std::vector<T> numbers() {
    std::vector<T> out(get<uint32_t>());
    read(out.data(), out.size() * sizeof(T));
    return out;
  }

  std::string text() {
    const auto characters = numbers<char>();
    return {characters.begin(), characters.end()};
  }

  Function function() {
    Function f;
    f.name = text();
    f.parameters = list<Parameter>([this] {
      Parameter p;
      p.name = text();
      p.kind = get<char>();
      p.direction = get<Direction>();
      p.optional = get<uint8_t>() != 0;
      p.types = get<uint64_t>();
      return p;
    });
    for (uint32_t n = get<uint32_t>(); n != 0; --n) {
      const std::string check = text();
      f.exceptions[check] = text();
    }
    f.cases = list<Case>([&] {
      Case c;
      c.tolerance = get<double>();
      for (const Parameter& p : f.parameters) c.arguments.push_back(argument(p));
      return c;
    });
    return f;
  }

  Argument argument(const Parameter& parameter) {
    Argument a;
    if (parameter.is_handle()) a.given = get<uint8_t>() != 0;
    if (!a.given) return a;
    switch (parameter.kind) {
      case 'T': a.tensors = {tensor()}; break;
      case 'L': a.tensors = list<Tensor>([this] { return tensor(); }); break;
      case 'S': a.scalars = {scalar()}; break;
      case 'Z': a.scalars = list<ScalarValue>([this] { return scalar(); }); break;
      case 'I': a.integers = numbers<int64_t>(); break;
      case 'B': a.bools = numbers<char>(); break;
      case 'F': a.floats = numbers<float>(); break;
      case 's': a.text = text(); break;
      case 'd':
      case 'f': a.real = get<double>(); break;
      default: a.integer = get<int64_t>(); break;
    }
    return a;
  }

  ScalarValue scalar() {
    ScalarValue s;
    s.type = get<int32_t>();
    read(s.value, sizeof(s.value));
    return s;
  }

  Data data() {
    Data d;
    d.type = get<int32_t>();
    d.sizes = numbers<int64_t>();
    d.bytes = numbers<char>();
    return d;
  }

  Tensor tensor() {
    Tensor t;
    t.role = get<Role>();
    t.held = data();
    if (t.role == Role::kDrawn) {
      t.low = get<double>();
      t.high = get<double>();
      t.mean = get<double>();
      t.tolerance = get<double>();
    } else if (t.role != Role::kIn) {
      t.expected = data();
    }
    return t;
  }

  std::ifstream in_;
};

}  // namespace abi
