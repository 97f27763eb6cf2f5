// The same bits as another type.
#pragma once

#include <cstring>
#include <type_traits>

namespace c10 {

template <class To, class From>
To bit_cast(const From& from) noexcept {
  static_assert(sizeof(To) == sizeof(From) && std::is_trivially_copyable<From>::value && std::is_trivially_copyable<To>::value);
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace c10
