"""Operators without an npu kernel: run on the CPU, said once, counted, refused on demand."""

import warnings

import pytest
import torch
import torch_npu

DEFINE = """
import torch, torch_npu
library = torch.library.Library("fallback_test", "DEF")
library.define("scaled(Tensor self, float factor=2.) -> Tensor")
library.define("scaled_(Tensor(a!) self) -> Tensor(a!)")
library.define("first(Tensor(a) self) -> Tensor(a)")
library.define("joined(Tensor[] parts) -> Tensor")
library.define("nowhere(Tensor self) -> Tensor")
library.impl("scaled", lambda self, factor=2.: self * factor, "CPU")
library.impl("scaled_", lambda self: self.mul_(2), "CPU")
library.impl("first", lambda self: self[0], "CPU")
library.impl("joined", lambda parts: torch.cat(parts), "CPU")
ops = torch.ops.fallback_test
"""

namespace = {}
exec(DEFINE, namespace)
ops = namespace["ops"]


@pytest.fixture(autouse=True)
def empty_table():
    torch_npu.reset_fallbacks()
    yield
    torch_npu.reset_fallbacks()


def calls():
    return {f.operator: f.calls for f in torch_npu.fallbacks()}


def test_works_counts_and_warns_once():
    x = torch.arange(6.0).reshape(2, 3).npu()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        results = [ops.scaled(x, 3.0) for _ in range(3)]
    for r in results:
        assert r.device == x.device
        assert torch.equal(r.cpu(), x.cpu() * 3)
    assert [str(w.message) for w in caught] == [
        "fallback_test::scaled has no npu kernel and runs on the CPU, which copies its tensors there and back. Arguments: "
        "self=float32[2, 3], factor=3. Said once per operator; torch_npu.fallbacks() counts all, "
        "TORCH_NPU_FALLBACK=error|silent changes it."]
    assert torch_npu.fallbacks() == [("fallback_test::scaled", 3, 3 * 24, "")]


def test_table():
    x = torch.ones(2).npu()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ops.joined([x, x]).device == x.device
        for _ in range(2):
            ops.scaled(x)
    table = torch_npu.fallbacks()
    assert [f.operator for f in table] == ["fallback_test::scaled", "fallback_test::joined"]
    assert repr(table).splitlines()[1].split() == ["fallback_test::scaled", "2", "16"]
    torch_npu.reset_fallbacks()
    assert repr(torch_npu.fallbacks()) == "no operator fell back to the CPU"


@pytest.mark.filterwarnings("ignore")
def test_lists_and_in_place():
    x = torch.ones(2).npu()
    assert ops.joined([x, x * 2]).tolist() == [1.0, 1.0, 2.0, 2.0]
    assert ops.scaled_(x) is x
    assert x.tolist() == [2.0, 2.0]


def test_views_raise():
    with pytest.raises(NotImplementedError, match=r"fallback_test::first has no npu kernel and cannot run on the CPU instead: it "
                                                  r"returns a view of its input\. Arguments: self=float32\[2\]"):
        ops.first(torch.ones(2).npu())


def test_no_kernel_anywhere():
    with pytest.raises(NotImplementedError, match="fallback_test::nowhere has no npu kernel and no CPU kernel to run instead"):
        ops.nowhere(torch.ones(2).npu())


def test_errors_of_the_cpu_kernel_come_through():
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ops.joined([torch.ones(2, 2).npu(), torch.ones(2, 3).npu()])


def test_error_mode(run_python):
    done = run_python(DEFINE + """
try:
    ops.scaled(torch.ones(2, 3, dtype=torch.float16).npu(), 3.)
except NotImplementedError as e:
    print(e)
assert torch.ones(2).npu().add(1).tolist() == [2.0, 2.0]
assert torch_npu.fallbacks() == []
""", TORCH_NPU_FALLBACK="error")
    assert done.stdout == (
        "fallback_test::scaled has no npu kernel, and TORCH_NPU_FALLBACK=error forbids running it on the CPU. Arguments: "
        "self=float16[2, 3], factor=3. Set TORCH_NPU_FALLBACK=warn to let such operators run on the CPU, or move the inputs of "
        "this one with .cpu()\n")


def test_silent_mode(run_python):
    done = run_python(DEFINE + """
assert ops.scaled(torch.ones(2).npu()).tolist() == [2.0, 2.0]
print(torch_npu.fallbacks()[0].calls)
""", TORCH_NPU_FALLBACK="silent")
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_mode_that_does_not_exist(run_python):
    done = run_python(DEFINE + "ops.scaled(torch.ones(2).npu())", check=False, TORCH_NPU_FALLBACK="loud")
    assert done.stderr.splitlines()[-1] == "ValueError: TORCH_NPU_FALLBACK is 'loud'; it takes warn, error or silent"
