#!/usr/bin/env bash
# Builds what is missing and runs all tests: C++ by ctest, Python by pytest against the installed wheel.
usage() { echo "usage: bash ci/test.sh $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"

build_wheel
install_wheel
cd "$ROOT"

say "C++ tests"
PATH=$BUILD_ENV/bin:$PATH
cmake --build "$BUILD_DIR" --target cpp_tests >"$ROOT/build/cpp_tests.log" 2>&1 ||
  { grep "error:" "$ROOT/build/cpp_tests.log" | head -n 20 >&2; fail "the C++ tests do not build; all output is in build/cpp_tests.log"; }
ctest --test-dir "$BUILD_DIR" --output-on-failure --no-tests=error

say "Python tests"
TORCH_NPU_BUILD_DIR=$BUILD_DIR TORCH_NPU_WHEEL=$WHEEL "$RUN_ENV/bin/pytest" -q

say "PyTorch's operator database, micro subset"
OMP_NUM_THREADS=1 TORCH_NPU_FALLBACK=silent "$RUN_ENV/bin/python" -m tests.opinfo run --micro
