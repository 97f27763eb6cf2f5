# What the scripts of this directory share: environments, the wheel, messages. To be sourced by bash.
#
#   build/env-<version>    builds: torch, cmake, ninja, scikit-build-core
#   build/<wheel tag>      CMake's build directory, kept so that the next build is incremental
#   dist/                  the wheel
#   .venv                  runs: torch, the wheel, what examples and tests need
#
# Everything is made at the first use and remade when what it is made from changes.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PYTHON_VERSION=3.11
# Not "torch==2.13.0": on Linux that is the CUDA build, several gigabytes.
TORCH="torch==2.13.0+cpu"
BUILD_REQUIREMENTS=("scikit-build-core>=0.10" "cmake>=3.26" "ninja>=1.10" numpy pyyaml)

say() { printf '\n=== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Takes --python=3.11 and what `usage` of the calling script names; sets PYTHON.
parse_arguments() {
  for argument in "$@"; do
    case $argument in
      --python=*) PYTHON_VERSION=${argument#--python=} ;;
      -h | --help) usage; exit 0 ;;
      *) usage >&2; fail "unknown argument $argument" ;;
    esac
  done
}

find_python() {
  PYTHON=$(command -v "python$PYTHON_VERSION" || true)
  if [ -z "$PYTHON" ] && python3 -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$PYTHON_VERSION')" 2>/dev/null; then
    PYTHON=$(command -v python3)
  fi
  [ -n "$PYTHON" ] || fail "python$PYTHON_VERSION is not installed; install it or pass --python=<version>"
  command -v "${CXX:-g++}" >/dev/null || fail "${CXX:-g++} is not installed; a C++20 compiler is needed"
}

# make_env <directory> <requirement>...: a virtual environment with the pinned torch and the requirements.
make_env() {
  local env=$1 wanted
  shift
  wanted="$("$PYTHON" --version) $TORCH $*"
  if [ -f "$env/made-of" ] && [ "$(cat "$env/made-of")" = "$wanted" ]; then return; fi
  say "environment ${env#"$ROOT"/}: $TORCH $*"
  rm -rf "$env"
  "$PYTHON" -m venv "$env"
  quiet_pip "$env" install "$TORCH" "$@" ||
    fail "pip finds no $TORCH: set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds (pytorch.org, Get Started) and run this again"
  printf '%s' "$wanted" >"$env/made-of"
}

quiet_pip() {
  local env=$1
  shift
  "$env/bin/python" -m pip --disable-pip-version-check -qq "$@"
}

# Sets BUILD_ENV and leaves the wheel in dist/, its path in WHEEL.
build_wheel() {
  find_python
  BUILD_ENV=$ROOT/build/env-$PYTHON_VERSION
  make_env "$BUILD_ENV" "${BUILD_REQUIREMENTS[@]}"
  say "building the wheel"
  local made=$ROOT/build/wheel-$PYTHON_VERSION log=$ROOT/build/wheel-$PYTHON_VERSION.log
  rm -rf "$made"
  mkdir -p "$made" "$ROOT/dist"
  local begin=$SECONDS
  # The environment's cmake and ninja; compiler messages are shown only when the build fails.
  PATH=$BUILD_ENV/bin:$PATH CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)} \
    "$BUILD_ENV/bin/python" -m pip --disable-pip-version-check wheel --no-build-isolation --no-deps -v -w "$made" "$ROOT" \
    >"$log" 2>&1 || { grep -E "error:|Error" "$log" | head -n 20 >&2; fail "the build failed; all of its output is in ${log#"$ROOT"/}"; }
  WHEEL=$ROOT/dist/$(basename "$made"/*.whl)
  mv -f "$made"/*.whl "$WHEEL"
  BUILD_DIR=$ROOT/build/$(basename "$WHEEL" .whl | cut -d- -f3-)
  echo "${WHEEL#"$ROOT"/} in $((SECONDS - begin)) s"
}

# Sets RUN_ENV, with the wheel installed.
install_wheel() {
  RUN_ENV=$ROOT/.venv
  make_env "$RUN_ENV" numpy pyyaml tqdm scikit-learn pytest expecttest
  say "installing the wheel into .venv"
  quiet_pip "$RUN_ENV" install --force-reinstall --no-deps "$WHEEL"
}
