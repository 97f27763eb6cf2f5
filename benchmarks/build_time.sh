#!/usr/bin/env bash
# Prints how long a clean build takes, and an incremental one after touching one operator's row.
usage() { echo "usage: bash benchmarks/build_time.sh $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/../ci/common.sh"
parse_arguments "$@"

find_python
make_build_env
PATH=$BUILD_ENV/bin:$PATH
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
# A copy of the sources, so that the row can be changed.
(cd "$ROOT" && tar cf - --exclude=./build --exclude=./dist --exclude=./.venv* --exclude=./.git .) | tar xf - -C "$dir"

seconds() {
  local begin=$EPOCHREALTIME
  "$@" >"$dir/log" 2>&1 || { tail -n 40 "$dir/log" >&2; fail "$*"; }
  awk "BEGIN { printf \"%.0f\", $EPOCHREALTIME - $begin }"
}
configure_and_build() { cmake -S "$dir" -B "$dir/out" -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build "$dir/out" -j "$(nproc)"; }

clean=$(seconds configure_and_build)
# Another spelling of the row for abs: its generated code changes, its meaning does not.
sed -i 's/toRealValueType(self/toRealValueType( self/' "$dir/csrc/ops/unary.yaml"
cmp -s "$ROOT/csrc/ops/unary.yaml" "$dir/csrc/ops/unary.yaml" && fail "the row for abs in csrc/ops/unary.yaml is not what this script changes"
incremental=$(seconds cmake --build "$dir/out" -j "$(nproc)")
printf '%-44s %8s %8s\n' "build on $(nproc) cores" seconds bar
printf '%-44s %8s %8s\n' "clean" "$clean" 300
printf '%-44s %8s %8s\n' "incremental, one operator row changed" "$incremental" 60
