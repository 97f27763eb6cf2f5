#!/usr/bin/env bash
# Builds the wheel into dist/. --arch=aarch64 builds it with a cross compiler.
usage() { echo "usage: bash ci/build.sh $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"

build_wheel
audit_wheel
