#!/usr/bin/env bash
# Builds the wheel into dist/.
usage() { echo "usage: bash ci/build.sh $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"

build_wheel
