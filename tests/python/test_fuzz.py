"""The fuzz test: a short run of it, and that what it prints and finds can be relied on."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fuzz import check, generate  # noqa: E402
from tests.fuzz.calls import Call, code, make  # noqa: E402


def test_random_calls_do_as_on_the_cpu():
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "tests.fuzz", "--seed", "3", "--cases", "3000", "--samples", "1", "--jobs", "2"],
                          cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "3000 cases of " in done.stdout


def numbers(n, dtype="float32"):
    draw = random.Random(n)
    return make(dtype, (n,), lambda: draw.uniform(-2, 2))


def test_printed_reproducer_is_a_program(tmp_path):
    a = generate.lay_out(random.Random(5), numbers(4))
    call = Call("aten::add.Tensor", [a, numbers(4)], {"alpha": 2})
    program = tmp_path / "reproducer.py"
    program.write_text(code(call))
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    on_cpu, on_npu = done.stdout.splitlines()
    assert on_cpu.startswith("tensor(") and on_npu == on_cpu.replace(")", ", device='npu:0')")


@pytest.mark.parametrize("wrong, kind", [
    (lambda x: x.abs() + 1, "values"),
    (lambda x: x.abs().double(), "dtype"),
    (lambda x: x.abs()[1:], "shape"),
    (lambda x: x.abs_(), "argument"),
    (lambda x: torch.ones(3, device="npu") + torch.ones(2, device="npu"), "error"),
])
def test_differences_are_found(monkeypatch, wrong, kind):
    call = Call("aten::abs", [make("float32", (3,), iter([-1.0, 2.0, -3.0]).__next__)])
    assert check.check(call) is None

    def overload(self):
        f = lambda x: wrong(x) if x.device.type == "npu" else torch.ops.aten.abs.default(x)
        f.tags, f._schema = torch.ops.aten.abs.default.tags, torch.ops.aten.abs.default._schema
        return f

    monkeypatch.setattr(Call, "overload", property(overload))
    assert check.check(call).kind == kind


def test_undefined_answers_of_the_cpu_are_known_as_such():
    # The index points beyond the plane: ATen's CPU kernel writes there.
    grad, plane = make("float32", (1, 1, 1, 1), lambda: 1), make("float32", (1, 1, 2, 2), lambda: 0)
    index = lambda n: make("int64", (1, 1, 1, 1), lambda: n)
    backward = lambda n: Call("aten::adaptive_max_pool2d_backward.grad_input", [grad, plane, index(n)], {"grad_input": plane})
    assert not check.undefined(Call("aten::add.Tensor", [numbers(3), numbers(3)]))
    kept = generate.within_memory(backward(7))
    assert kept.args[2].data == [3]
