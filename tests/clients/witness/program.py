"""Run by a Python that has either adapter: float32 samples of OpInfo on npu, with marks between them in softcann's trace.

Reads ``["full_name", number of samples]`` as JSON lines, answers ``{"samples": [...]}`` with one outcome per sample: ``equal``, ``differs: ...``,
``raises: ...`` or ``random``.
"""
import json
import os
import sys
import warnings

import torch

import torch_npu  # noqa: F401
from torch.testing._internal import common_methods_invocations
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_flatten, tree_map

warnings.filterwarnings("ignore")
torch.set_num_threads(1)
# Its own restores the generator, which would hide that an operator draws.
common_methods_invocations.wrapper_set_seed = lambda op, *args, **kwargs: op(*args, **kwargs)
OPERATORS = {op.full_name: op for op in op_db}
trace = os.open(os.environ["SOFTCANN_TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)


def mark(text):
    torch.npu.synchronize()
    os.write(trace, f"# {text}\n".encode())


def to_npu(value):
    if isinstance(value, torch.Tensor):
        return value.detach().npu()
    if value == "cpu" if isinstance(value, str) else isinstance(value, torch.device) and value.type == "cpu":
        return torch.device("npu")
    if isinstance(value, torch.Generator):
        return torch.Generator("npu").manual_seed(value.initial_seed())
    return value


def on_cpu(value):
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def call(op, sample, move, marked=False):
    (first, *args), kwargs = tree_map(move, (sample.input, *sample.args)), tree_map(move, sample.kwargs)
    if marked:
        mark("begin")
    try:
        out = op(first, *args, **kwargs)
    finally:
        if marked:
            mark("end")
    return [t for t in tree_flatten(out)[0] if isinstance(t, torch.Tensor)]


def outcome(op, sample):
    torch.manual_seed(1)
    expected = call(op, sample, on_cpu)
    torch.manual_seed(99)
    random = any(a.shape == b.shape and not torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(expected, call(op, sample, on_cpu)))
    torch.manual_seed(1)
    try:
        actual = [t.cpu() for t in call(op, sample, to_npu, marked=True)]
    except Exception as error:
        lines = str(error).strip().splitlines() or ["-"]
        sentence = next((line for line in lines if line.startswith("acl")), lines[0])  # CANN's, if it is about that
        return f"raises: {type(error).__name__}: {sentence[:150]}"
    if random or "empty" in op.name:
        return "random"
    try:
        torch.testing.assert_close(actual, expected, equal_nan=True, check_stride=False)
    except AssertionError as error:
        return "differs: " + " ".join(line for line in str(error).splitlines() if line)[:150]
    return "equal"


def run(name, most):
    op, out = OPERATORS[name], []
    torch.manual_seed(0)
    samples = op.sample_inputs("cpu", torch.float32, requires_grad=False)
    for number, sample in enumerate(samples):
        if number == most:
            break
        os.write(trace, f"# sample {number} {name}\n".encode())
        try:
            out.append(outcome(op, sample))
        except Exception as error:  # the CPU refuses it
            out.append(f"refused: {error}"[:100])
    return out


if __name__ == "__main__":
    torch.zeros(1).npu()
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps({"samples": run(*json.loads(line))}), flush=True)
