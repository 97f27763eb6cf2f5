#!/usr/bin/env bash
# Looks for races and memory errors that ordinary tests seldom meet.
#
#   thread, address   builds adapter and softcann with ThreadSanitizer or AddressSanitizer into build/sanitize-<kind> and runs the
#                     stress program and the C++ tests of runtime, queue and allocator; every report is a failure
#   schedules         stress program and stream tests with every seed of SOFTCANN_SCHEDULE; every wrong result is a failure
#
# torch itself is not instrumented; so far nothing needs to be suppressed for that. Leaks are not looked for: torch keeps much for ever.
usage() { echo "usage: bash ci/sanitize.sh thread|address|schedules [--seconds=600] [--seeds=200] $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

KIND=${1:-} SECONDS_TO_RUN=600 SEEDS=200
case $KIND in
  thread | address | schedules) shift ;;
  -h | --help) usage; exit 0 ;;
  *) usage >&2; fail "say what to look for" ;;
esac
rest=()
for argument in "$@"; do
  case $argument in
    --seconds=*) SECONDS_TO_RUN=${argument#--seconds=} ;;
    --seeds=*) SEEDS=${argument#--seeds=} ;;
    *) rest+=("$argument") ;;
  esac
done
parse_arguments ${rest[@]+"${rest[@]}"}
cd "$ROOT"

# The ones that share state between threads.
CPP_TESTS=(runtime_stream runtime_event runtime_memory runtime_ipc launch_ring allocator_cache nnop_executor)

# build <directory> <target>...
build() {
  local directory=$1
  shift
  PATH=$BUILD_ENV/bin:$PATH cmake --build "$directory" --target "$@" >"$directory.log" 2>&1 ||
    { grep "error:" "$directory.log" | head -n 20 >&2; fail "the build failed; all of its output is in ${directory#"$ROOT"/}.log"; }
}

# on_softcann <build directory> <command>...: two devices, one thread per operator
on_softcann() {
  local directory=$1
  shift
  LD_LIBRARY_PATH=$directory/torch_npu/softcann/cann/lib64 SOFTCANN_DEVICE_COUNT=2 OMP_NUM_THREADS=1 nice "$@"
}

sanitize() {
  local directory=$ROOT/build/sanitize-$KIND logs=$ROOT/build/sanitize-$KIND-reports
  find_python
  make_build_env
  say "building with -fsanitize=$KIND"
  PATH=$BUILD_ENV/bin:$PATH cmake -S . -B "$directory" -G Ninja -DTORCH_NPU_SANITIZE="$KIND" \
    -DPython_EXECUTABLE="$BUILD_ENV/bin/python" >"$directory.log" 2>&1 || fail "CMake failed; see ${directory#"$ROOT"/}.log"
  build "$directory" all cpp_tests
  rm -rf "$logs"
  mkdir -p "$logs"
  # Reports go to files, because some tests read their children's standard error.
  export TSAN_OPTIONS="log_path=$logs/report:exitcode=0:history_size=4"
  export ASAN_OPTIONS="log_path=$logs/report:exitcode=99:detect_stack_use_after_return=1:detect_leaks=0"
  # ThreadSanitizer wants the addresses of a process where it expects them.
  local run=(setarch "$(uname -m)" -R) failed=0
  for test in "${CPP_TESTS[@]}"; do
    on_softcann "$directory" "${run[@]}" "$directory/tests/cpp/test_${test}_cpp" >"$logs/$test.out" 2>&1 || { failed=1; echo "failed: $test, see ${logs#"$ROOT"/}/$test.out"; }
  done
  say "stress for $SECONDS_TO_RUN s"
  on_softcann "$directory" "${run[@]}" "$directory/tests/stress/stress" "$SECONDS_TO_RUN" || failed=1
  local reports
  reports=$(find "$logs" -name 'report.*' | wc -l)
  echo "${#CPP_TESTS[@]} C++ tests, $reports processes with reports"
  if [ "$reports" -gt 0 ]; then
    grep -h "SUMMARY" "$logs"/report.* | sort | uniq -c | sort -rn | head -n 40
    fail "the reports are in ${logs#"$ROOT"/}"
  fi
  [ "$failed" = 0 ] || fail "wrong results"
}

schedules() {
  build_wheel
  install_wheel
  build "$BUILD_DIR" cpp_tests
  say "schedules 1 to $SEEDS"
  local failed missed=0
  export BUILD_DIR RUN_ENV ROOT
  export -f on_softcann
  failed=$(seq "$SEEDS" | xargs -P "$(nproc)" -I{} bash -c '
    export SOFTCANN_SCHEDULE={}
    log=$(mktemp)
    { on_softcann "$BUILD_DIR" "$BUILD_DIR/tests/stress/stress" 2 {} &&
      on_softcann "$BUILD_DIR" "$BUILD_DIR/tests/cpp/test_runtime_stream_cpp" &&
      on_softcann "$BUILD_DIR" "$BUILD_DIR/tests/cpp/test_runtime_event_cpp"; } >"$log" 2>&1 ||
      { echo "seed {}"; tail -n 30 "$log" >&2; }
    rm -f "$log"')
  [ -z "$failed" ] || { missed=1; echo "C++: wrong results with $(echo "$failed" | tr '\n' ' ')"; }
  SOFTCANN_DEVICE_COUNT=2 OMP_NUM_THREADS=1 nice "$RUN_ENV/bin/python" -m tests.stress.schedules --seeds="1-$SEEDS" tests/python/test_stream_event.py || missed=1
  [ "$missed" = 0 ] || fail "wrong results"
  echo "$SEEDS schedules, no wrong result"
}

case $KIND in
  schedules) schedules ;;
  *) sanitize ;;
esac
