#!/usr/bin/env bash
# From a fresh clone to a trained network: environment, wheel, the first program, an example.
usage() { echo "usage: bash ci/quickstart.sh $OPTIONS"; }
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"
parse_arguments "$@"

build_wheel
install_wheel
cd "$ROOT"

say "doctor"
"$RUN_ENV/bin/python" -m torch_npu.doctor

say "first program: examples/quick_verification.py"
"$RUN_ENV/bin/python" examples/quick_verification.py

say "training on handwritten digits: examples/train_digits.py --compare cpu"
"$RUN_ENV/bin/python" examples/train_digits.py --device npu --compare cpu

say "done; go on with: source ${RUN_ENV#"$ROOT"/}/bin/activate"
