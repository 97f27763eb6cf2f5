#!/usr/bin/env bash
# Compiles and links the adapter, without softcann, for an old torch: what csrc/compat bridges, and the operators that this torch has.
# Needs a torch other than the default; where pip finds none, it says so and ends well.
usage() { echo "usage: bash ci/smoke_build.sh $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"

find_python
(make_build_env) || { say "left out: the build with $TORCH"; exit 0; }
say "building the adapter for $TORCH"
begin=$SECONDS log=$ROOT/build/smoke-$COMBINATION.log
{
  PATH=$BUILD_ENV/bin:$PATH
  cmake -S "$ROOT" -B "$ROOT/build/smoke-$COMBINATION" -G Ninja -DTORCH_NPU_BUILD_SOFTCANN=OFF "-DPython_EXECUTABLE=$BUILD_ENV/bin/python" &&
    cmake --build "$ROOT/build/smoke-$COMBINATION" --parallel "${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}"
} >"$log" 2>&1 || { grep -E "error:|Error" "$log" | head -n 20 >&2; fail "it does not build; all output is in ${log#"$ROOT"/}"; }
echo "$TORCH, Python $PYTHON_VERSION: built in $((SECONDS - begin)) s"
