// All that the C++ tests need: CHECK(condition) reports and counts what does not hold; main returns check_summary().
#pragma once

#include <cstdio>

inline int check_failures = 0;

#define CHECK(...)                                                                   \
  do {                                                                               \
    if (!(__VA_ARGS__)) {                                                            \
      ++check_failures;                                                              \
      std::fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #__VA_ARGS__); \
    }                                                                                \
  } while (0)

inline int check_summary() {
  if (check_failures != 0) std::fprintf(stderr, "%d checks failed\n", check_failures);
  return check_failures == 0 ? 0 : 1;
}
