#!/usr/bin/env bash
# Builds what changed straight into .venv, without making a wheel: the short loop of development. What is not an option goes to pytest.
usage() { echo "usage: bash ci/develop.sh $OPTIONS [pytest arguments]"; }
TAKES_REST=1
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"

if [ ! -f "$BUILD_DIR/build.ninja" ] || ! "$RUN_ENV/bin/python" -c "import pytest" 2>/dev/null; then
  build_wheel
  install_wheel
else
  cd "$ROOT"
  PATH=$BUILD_ENV/bin:$PATH
  # Under ccache GCC would read an old precompiled header while it makes the new one.
  find "$BUILD_DIR" -name '*.gch' | while read -r pch; do
    for header in $(ninja -C "$BUILD_DIR" -t deps "${pch#"$BUILD_DIR"/}" | grep -F "$ROOT/" | grep -vF "$ROOT/build/env"); do
      if [ "$header" -nt "$pch" ]; then rm -f "$pch" && break; fi
    done
  done
  cmake --build "$BUILD_DIR" >"$ROOT/build/develop.log" 2>&1 ||
    { grep -E "error|Error" "$ROOT/build/develop.log" | head -n 30 >&2; fail "the build failed; all of its output is in build/develop.log"; }
  site=$("$RUN_ENV/bin/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
  cmake --install "$BUILD_DIR" --prefix "$site" >>"$ROOT/build/develop.log"
  cp -r torch_npu "$site/"
fi
cd "$ROOT"
if [ ${#REST[@]} -gt 0 ]; then TORCH_NPU_BUILD_DIR=$BUILD_DIR "$RUN_ENV/bin/pytest" -q "${REST[@]}"; fi
