#!/usr/bin/env bash
# Runs a command on a Debian 12 of another architecture, emulated, with torch and the wheel installed and the clone as its directory:
#
#   bash ci/emulated.sh --python=3.11 --torch=2.14.1 --arch=aarch64 python examples/quick_verification.py
#
# Needs root, debootstrap and qemu-user-static, of QEMU 8 or newer. Python is Debian's: 3.11. The wheel is the newest in dist/.
usage() { echo "usage: bash ci/emulated.sh $OPTIONS command..."; }
TAKES_REST=1
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"
[ "$MACHINE" = aarch64 ] || fail "--arch=$MACHINE: only aarch64 is emulated"
[ "$PYTHON_VERSION" = 3.11 ] || fail "--python=$PYTHON_VERSION: the emulated Debian has Python 3.11"
[ ${#REST[@]} -gt 0 ] || { usage >&2; fail "no command"; }
WHEEL=$(ls -t "$ROOT"/dist/torch_npu-"$TORCH_VERSION"*-cp311-*"$MACHINE".whl 2>/dev/null | head -n 1)
[ -n "$WHEEL" ] || fail "no wheel in dist/: bash ci/build.sh --python=$PYTHON_VERSION --torch=$TORCH_VERSION --arch=$MACHINE"
find_python

# QEMU 7 has a record for every page of reserved addresses, of which the software device has terabytes.
qemu=$("qemu-$MACHINE-static" --version 2>/dev/null | sed -n 's/.* version \([0-9]*\).*/\1/p') || true
[ "${qemu:-0}" -ge 8 ] || fail "qemu-$MACHINE-static is ${qemu:-not installed}: QEMU 8 or newer is needed; Debian 12 has it as: apt install -t bookworm-backports qemu-user-static"

# An Armv8.2 without SVE and bfloat16, as in the hosts of Ascend cards: oneDNN in torch 2.1's wheel has no bfloat16 for processors that have it.
export QEMU_CPU=neoverse-n1 PROCESSOR=0x00000000414fd0c1

ROOT_DIRECTORY=$ROOT/build/root-$MACHINE SITE=$ROOT/build/site-$COMBINATION
HANDLER=/proc/sys/fs/binfmt_misc
if [ ! -e "$HANDLER/register" ]; then mount -t binfmt_misc binfmt_misc "$HANDLER"; fi
if [ ! -e "$HANDLER/qemu-$MACHINE" ]; then
  printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' >"$HANDLER/register"
fi
packages=python3,libstdc++6,libgomp1,g++  # some tests compile a program
if ! made_of "$ROOT_DIRECTORY/made-of" "$packages"; then
  say "root ${ROOT_DIRECTORY#"$ROOT"/}"
  rm -rf "$ROOT_DIRECTORY"
  debootstrap --arch=arm64 --variant=minbase --include="$packages" bookworm "$ROOT_DIRECTORY" \
    >"$ROOT_DIRECTORY.log" 2>&1 || fail "debootstrap failed; its output is in ${ROOT_DIRECTORY#"$ROOT"/}.log"
  printf '%s' "$packages" >"$ROOT_DIRECTORY/made-of"
fi

# pip of this machine chooses and unpacks the other machine's files: much faster than emulated.
pip_for_machine() {
  local options
  readarray -t options < <(options_for_machine)
  quiet_pip "$BUILD_ENV" install --target "$SITE" "${options[@]}" "$@"
}
wanted="$TORCH ${RUN_REQUIREMENTS[*]}"
if ! made_of "$SITE/made-of" "$wanted"; then
  say "packages ${SITE#"$ROOT"/}: $wanted"
  rm -rf "$SITE"
  pip_for_machine "$TORCH" "${RUN_REQUIREMENTS[@]}" || no_torch
  printf '%s' "$wanted" >"$SITE/made-of"
fi
rm -rf "$SITE"/torch_npu*
pip_for_machine --no-deps "$WHEEL"

unshare --mount --propagation private bash -c '
  root=$1 site=$2 clone=$3; shift 3
  mount -t proc proc "$root/proc" && mount --rbind /dev "$root/dev" && mount --rbind /sys "$root/sys"
  # torch asks /sys for the processors; those of Arm say there what they are, and one of its libraries complains on stderr if they do not.
  processors=sys/devices/system/cpu
  mount -t tmpfs tmpfs "$root/$processors"
  cp "/$processors"/{possible,present,online,kernel_max} "$root/$processors"
  for processor in "/$processors"/cpu[0-9]*; do
    copy=$root$processor
    mkdir -p "$copy/regs/identification"
    cp -r "$processor/topology" "$copy"
    echo "$PROCESSOR" >"$copy/regs/identification/midr_el1"
  done
  installed=$root/usr/local/lib/python3.11/dist-packages
  mkdir -p "$root/clone" "$installed" && mount --bind "$clone" "$root/clone" && mount --bind "$site" "$installed"
  mount -t tmpfs tmpfs "$root/tmp"
  ln -sf python3 "$root/usr/bin/python"
  exec chroot "$root" /usr/bin/env -C /clone PATH=/usr/bin:/bin "$@"
' emulated "$ROOT_DIRECTORY" "$SITE" "$ROOT" "${REST[@]}"
