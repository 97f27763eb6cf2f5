#!/usr/bin/env bash
# Builds and tests the combinations in ci/matrix.csv and keeps the outcomes in ci/matrix_outcomes.csv.
#
#   bash ci/matrix.sh                       all of them: hours, and several gigabytes for each torch with CUDA
#   bash ci/matrix.sh 3.12,2.14.1,x86_64    the named ones; also 3.12, or ,2.1.0, for all that contain it
#   bash ci/matrix.sh --table               prints the outcomes as docs/versions.md shows them
#
# The steps of a combination:
#   wheel    ci/build.sh; the wheel's tag
#   verify   doctor and examples/quick_verification.py
#   digits   examples/train_digits.py --compare cpu
#   core     tests of device, memory, streams, common networks, AMP, saving and loading, packaging
#   opinfo   PyTorch's operator database, forward
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CORE="tests/python/test_import.py tests/python/test_doctor.py tests/python/test_wheel.py tests/python/test_memory.py
  tests/python/test_stream_event.py tests/python/test_errors.py tests/python/test_fallback.py tests/python/test_nn.py
  tests/python/test_generator.py tests/python/test_casts.py tests/python/test_pointwise.py
  tests/python/test_public_api.py tests/python/test_networks.py tests/python/test_sharing.py tests/upstream/test_serialization.py tests/upstream/test_autograd.py"
OUTCOMES=ci/matrix_outcomes.csv
[ -f "$OUTCOMES" ] || echo "python,torch,arch,step,outcome" >"$OUTCOMES"

# A command in the combination's environment.
run() {
  local options=("--python=$python" "--torch=$torch") env=build/env-$python-torch$torch
  if [ "$arch" != "$(uname -m)" ]; then
    bash ci/emulated.sh "${options[@]}" "--arch=$arch" env OMP_NUM_THREADS=1 python "$@"
  else
    if [ ! -d "$env" ]; then env=.venv; fi
    OMP_NUM_THREADS=1 "$env/bin/python" "$@"
  fi
}

step() {
  case $1 in
    wheel) bash ci/build.sh "--python=$python" "--torch=$torch" "--arch=$arch" && if [ "$arch" = "$(uname -m)" ]; then install; fi ;;
    verify) run -m torch_npu.doctor && run examples/quick_verification.py ;;
    digits) run examples/train_digits.py --compare cpu ;;
    core) run -m pytest -q -p no:cacheprovider $CORE ;;
    opinfo) TORCH_NPU_FALLBACK=silent run -m tests.opinfo run --kinds forward ;;
  esac
}

install() (
  . ci/common.sh
  parse_arguments "--python=$python" "--torch=$torch"
  find_python
  WHEEL=$(ls -t dist/torch_npu-"$torch"*-cp"${python/./}"-*"$arch".whl | head -n 1)
  install_wheel
)

# What a step says about itself, in a few words.
outcome() {
  local log=$1 code=$2 words
  case $step in
    wheel) words=$(grep -oE "(manylinux_2_28|linux)_$arch" "$log" | tail -n 1) ;;
    core) words=$(grep -E "^[0-9]+ (passed|failed)|^=.*(passed|failed)" "$log" | tail -n 1 | sed -e 's/=*//g' -e 's/ in [0-9.]*s.*//' -e 's/,/;/g' -e 's/^ *//') ;;
    opinfo) words=$(grep -E "^[0-9]+ passed" "$log" | sed -e 's/, [0-9]* complaints.*//' -e 's/,/;/g') ;;
    digits) words=$(grep -oE "[0-9.]+ ?% " "$log" | tail -n 1 | tr -d " ") ;;
  esac
  if [ "$code" != 0 ] && { [ "$step" != opinfo ] || [ -z "${words:-}" ]; }; then echo "failed${words:+: $words}"; else echo "${words:-passes}"; fi
}

selected() {  # <combination> [part]...
  [ $# -gt 1 ] || return 0
  local part
  for part in "${@:2}"; do
    if [[ $1 == *"$part"* ]]; then return 0; fi
  done
  return 1
}

table() {
  python3 - <<'PYTHON'
import csv

outcomes = {(r["python"], r["torch"], r["arch"], r["step"]): r["outcome"] for r in csv.DictReader(open("ci/matrix_outcomes.csv"))}
steps = ["wheel", "verify", "digits", "core", "opinfo"]
print("| PyTorch | Python | machine | " + " | ".join(steps) + " |")
print("|---" * (3 + len(steps)) + "|")
for row in csv.DictReader(open("ci/matrix.csv")):
    key = (row["python"], row["torch"], row["arch"])
    cells = [outcomes.get((*key, s), "not run").replace(";", ",") if s in row["steps"].split() else "" for s in steps]
    print(f"| {row['torch']} | {row['python']} | {row['arch']} | " + " | ".join(cells) + " |")
PYTHON
}

if [ "${1:-}" = --table ]; then table; exit; fi
mkdir -p build/matrix
while IFS=, read -r python torch arch steps; do
  [ "$python" != python ] || continue
  selected "$python,$torch,$arch" "$@" || continue
  for step in $steps; do
    log=build/matrix/$python-$torch-$arch-$step.log code=0
    (step "$step") </dev/null >"$log" 2>&1 || code=$?
    result=$(outcome "$log" "$code")
    { grep -v "^$python,$torch,$arch,$step," "$OUTCOMES" || true; echo "$python,$torch,$arch,$step,$result"; } >build/matrix/outcomes
    { head -n 1 build/matrix/outcomes; tail -n +2 build/matrix/outcomes | LC_ALL=C sort; } >"$OUTCOMES"
    echo "$python $torch $arch $step: $result"
    if [ "$step" = wheel ] && [ "$code" != 0 ]; then break; fi
  done
done <ci/matrix.csv
table
