#!/usr/bin/env bash
# Runs the commands of docs/installation.md, as they stand there, on a fresh Debian 12: needs root and debootstrap.
#
#   bash ci/check_installation.sh                       # wheel and cann, with the wheel in dist/
#   bash ci/check_installation.sh wheel cann source     # source builds: minutes
#   --root=DIR        keeps the root file system in DIR, and takes the one that is there
#   --wheels=DIR      pip looks there first (PIP_FIND_LINKS), for example for the CPU build of torch
#
# A block belongs to the section in the comment above it, <!-- run: section -->; the blocks of a section run in one shell. For `cann`,
# which follows `wheel`, a tree of softcann takes the place of an installed CANN.
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
GUIDE=$ROOT/docs/installation.md
STANDS_IN=8.5.0

fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

sections=() system= wheels=${PIP_FIND_LINKS:-}
for argument; do
  case $argument in
    --root=*) system=${argument#--root=} ;;
    --wheels=*) wheels=${argument#--wheels=} ;;
    wheel | cann | source) sections+=("$argument") ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; fail "unknown argument $argument" ;;
  esac
done
[ ${#sections[@]} -gt 0 ] || sections=(wheel cann)
[ "$(id -u)" = 0 ] || fail "chroot and mounts need root"
command -v debootstrap >/dev/null || fail "debootstrap is not installed"

# The mounts are this script's alone and end with it.
if [ -z "${IN_OWN_NAMESPACE:-}" ]; then
  IN_OWN_NAMESPACE=1 exec unshare --mount --propagation private bash "${BASH_SOURCE[0]}" "$@"
fi

if [ -z "$system" ]; then
  system=$(mktemp -d)
  trap 'umount -R "$system"/{proc,dev} 2>/dev/null; umount "$system/wheels" 2>/dev/null; rm -rf --one-file-system "$system"' EXIT
fi
mkdir -p "$system"
system=$(cd "$system" && pwd)
[ -e "$system/etc/debian_version" ] || debootstrap --variant=minbase --include=ca-certificates bookworm "$system" >"$system.log" ||
  fail "debootstrap failed; its output is in $system.log"
mkdir -p "$system/wheels"
mount -t proc proc "$system/proc"
mount --rbind /dev "$system/dev"
[ -z "$wheels" ] || mount --bind -o ro "$wheels" "$system/wheels"
cp /etc/resolv.conf /etc/hosts "$system/etc/"
cp -L /etc/ssl/certs/ca-certificates.crt "$system/etc/ssl/certs/"

variables=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
           PIP_FIND_LINKS=/wheels PIP_DISABLE_PIP_VERSION_CHECK=1)
while IFS= read -r variable; do variables+=("$variable"); done < <(
  env | grep -E '^(PIP_(EXTRA_)?INDEX_URL|PIP_DEFAULT_TIMEOUT|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|CMAKE_BUILD_PARALLEL_LEVEL)=' || true)

inside() { env -i "${variables[@]}" chroot "$system" bash -c "cd /root; $1"; }

commands() {
  python3 - "$GUIDE" "$1" <<'PYTHON'
import re, sys
text = open(sys.argv[1]).read()
blocks = re.findall(rf"<!-- run: {sys.argv[2]} -->\n```\n(.*?)^```", text, re.S | re.M)
sys.exit(f"{sys.argv[1]} has no commands for {sys.argv[2]}") if not blocks else print("".join(blocks), end="")
PYTHON
}

for section in "${sections[@]}"; do
  printf '\n=== %s\n' "$section"
  case $section in
    wheel)
      rm -rf "$system"/root/npu "$system"/root/*.whl
      cp "$(ls -t "$ROOT"/dist/torch_npu-2.13.*-cp311-*.whl | head -n 1)" "$system/root/"
      ;;
    cann)
      rm -rf "$system/usr/local/Ascend"
      inside "npu/bin/python -m torch_npu.softcann --release $STANDS_IN /usr/local/Ascend/ascend-toolkit" >/dev/null
      ;;
    source)
      rm -rf "$system/root/torch_npu"
      git clone -q --no-hardlinks "$ROOT" "$system/root/torch_npu"
      ;;
  esac
  commands "$section" >"$system/root/commands"
  sed 's/^/    /' "$system/root/commands"
  inside "set -e; . ./commands" 2>&1 | tee "$system/root/$section.log"
  case $section in
    wheel) grep -q '^Healthy' "$system/root/wheel.log" && grep -q '(softcann)$' "$system/root/wheel.log" ;;
    cann) grep -q "in use .*CANN $STANDS_IN" "$system/root/cann.log" && grep -q '(softcann)$' "$system/root/cann.log" ;;
    source) grep -q '=== done' "$system/root/source.log" ;;
  esac || fail "$section ended without what the guide promises"
done
printf '\nas written, on Debian %s: %s\n' "$(cat "$system/etc/debian_version")" "${sections[*]}"
