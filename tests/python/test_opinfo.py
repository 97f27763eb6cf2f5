"""The proof itself: that tests.opinfo finds what is wrong, names why, and survives what its cases do."""

import copy
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.opinfo import __main__ as runner  # noqa: E402
from tests.opinfo import engine  # noqa: E402


@pytest.fixture
def operator(monkeypatch):
    """operator("abs", f): for the test, f is what the database's entry calls."""

    def replace(name, f=None, **attributes):
        entry = copy.copy(engine._entries("forward")[name])
        entry.op = f or entry.op
        for attribute, value in attributes.items():
            setattr(entry, attribute, value)
        monkeypatch.setitem(engine._entries("forward"), name, entry)
        return engine.run_case("forward", name, "float32")

    return replace


def test_native():
    assert engine.run_case("forward", "abs", "float32") == ("native", "")


def test_wrong_values(operator):
    outcome, detail = operator("abs", lambda x: x.abs() + (1 if x.device.type == "npu" and x.numel() else 0))
    assert outcome == "fail" and "Mismatched elements" in detail


def test_wrong_dtype(operator):
    outcome, detail = operator("abs", lambda x: x.abs().double() if x.device.type == "npu" else x.abs())
    assert outcome == "fail" and "float64[" in detail and "instead of float32[" in detail


def test_a_copy_for_a_view(operator):
    assert operator("t", lambda x: x.t().clone() if x.device.type == "npu" else x.t()) == (
        "fail", "mismatch: a copy instead of a view of the input")


def test_in_place_variant(operator):
    outcome, detail = operator("abs", inplace_variant=lambda x: x.abs_() if x.device.type == "cpu" else x.abs())
    assert (outcome, detail) == ("fail", "mismatch: in-place: the result is not the input")


def test_out_variant(operator):
    def f(x, out=None):
        if out is None:
            return x.abs()
        return torch.abs(x, out=out) if x.device.type == "cpu" else x.abs()

    outcome, detail = operator("abs", f)
    assert outcome == "fail" and detail.startswith("mismatch: out=: ")


def test_error_instead_of_a_result(operator):
    def f(x):
        if x.device.type == "npu":
            raise ValueError("no")
        return x.abs()

    assert operator("abs", f) == ("fail", "ValueError: no")


def test_refusal(operator):
    def f(x):
        if x.device.type == "npu":
            raise NotImplementedError("not on npu")
        return x.abs()

    assert operator("abs", f) == ("unsupported", "not on npu")


def test_nothing_to_run_is_no_success(operator):
    def f(x):
        raise ValueError("never")

    assert operator("abs", f) == ("unsupported", "no sample that the CPU takes")


def test_random_results_are_not_compared(operator):
    assert operator("abs", lambda x: torch.rand_like(x), inplace_variant=None, supports_out=False)[0] == "native"


def test_softmax_gradients_are_seen():
    """Weights of one would make them zero."""
    sample = next(iter(engine._entries("backward")["softmax"].sample_inputs("cpu", torch.float32, requires_grad=True)))
    x = torch.randn(3, 4, requires_grad=True)
    assert engine._gradients(sample, x.softmax(1), [x])[0].abs().max() > 1e-3


def test_what_a_kernel_refuses_is_the_reason():
    outcome, detail = engine.run_case("forward", "tanh", "int64")
    if outcome == "fallback":
        assert engine.undocumented(detail) and "takes no int64 for" in detail


def test_strides_offset_and_overlap_survive_the_move():
    base = torch.arange(24.0).reshape(4, 6)
    for view in (base[1:, ::2], base.t()[2:], base[:1].expand(3, 6), base.as_strided((3, 3), (1, 1), 5)):
        moved = engine._copy(view, "npu")
        assert (moved.stride(), moved.storage_offset(), moved.cpu().tolist()) == (view.stride(), view.storage_offset(), view.tolist())


def test_a_dead_worker_is_a_failed_case():
    worker = runner.Worker()
    outcome, detail = worker.run(("forward", "there is no such operator", "float32"))
    assert outcome == "fail" and detail.startswith("crash: exit 1 KeyError")
    assert worker.run(("forward", "abs", "float32")) == ["native", ""]
    worker.process.stdin.close()
    worker.process.wait()


def test_lists(tmp_path, monkeypatch):
    explanations = tmp_path / "explanations.csv"
    explanations.write_text("kind,name,dtype,reason\nforward,ab.,float.*,because\nforward,nothing,.*,never\n")
    monkeypatch.setattr(runner, "OUTCOMES", tmp_path)
    found = runner.Explanations(explanations)
    listed = {("abs", "float32"): runner.entry(found, ("forward", "abs", "float32"), "fail", "mismatch"),
              ("abs", "int64"): runner.entry(found, ("forward", "abs", "int64"), "fail", "other"),
              ("abs", "int8"): runner.entry(found, ("forward", "abs", "int8"), "fallback", "abs: no npu kernel"),
              ("gone", "int8"): ("fallback", "gone: no npu kernel", ""),
              ("add", "int8"): ("native", "", "")}
    assert listed["abs", "float32"] == ("fail", "because", "mismatch")
    assert listed["abs", "int8"] == ("fallback", "abs: no npu kernel", "")
    runner.save("forward", listed)
    assert runner.load("forward") == {k: v for k, v in listed.items() if v[0] != "native"}
    for kind in engine.KINDS[1:]:
        runner.save(kind, {})
    assert runner.stale(runner.Explanations(explanations)) == [
        "forward abs int64: fail without an explanation: other",
        "forward gone int8: listed, but there is no such case",
        "explains nothing: forward,nothing,.*,never"]
