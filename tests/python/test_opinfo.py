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
    explanations.write_text("torch,kind,name,dtype,reason\n,forward,ab.,float.*,because\n,forward,nothing,.*,never\n")
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
        "explains nothing: ,forward,nothing,.*,never"]


ABS = ("forward", "abs", "float32")


def explanations_of(tmp_path, torch):
    path = tmp_path / "explanations.csv"
    path.write_text("torch,kind,name,dtype,reason\n,forward,add,.*,always\n2\\.1[45],forward,abs,float.*,another kernel\n")
    return runner.Explanations(path, torch)


@pytest.mark.parametrize("elsewhere, outcome, listed, failed, said", [
    (False, "native", "native", False, ""),
    (False, "fallback", "native", True, "regression"),
    (False, "native", "fail", True, "stale"),
    (True, "fail", "fail", False, ""),
    (True, "fallback", "native", False, "worse"),
    (True, "native", "fail", False, "better"),
    (True, "fail", "native", False, "worse"),  # another torch has an explanation for it
])
def test_verdicts(tmp_path, elsewhere, outcome, listed, failed, said):
    bad, sentence = runner.verdict(ABS, outcome, "mismatch", listed, explanations_of(tmp_path, "2.14"), elsewhere)
    assert bad == failed and said in sentence and bool(said) == bool(sentence)


def test_another_torch_fails_on_what_nothing_explains(tmp_path):
    of_215, of_21 = explanations_of(tmp_path, "2.15"), explanations_of(tmp_path, "2.1")
    assert not runner.verdict(ABS, "fail", "mismatch", "native", of_215, True)[0]
    assert runner.verdict(ABS, "fail", "mismatch", "native", of_21, True)[0]
    assert runner.verdict(ABS, "unsupported", "no", "fail", of_21, True)[0]
    for broken in ("crash: exit -11", "hang: more than 240 s"):
        assert runner.verdict(ABS, "fail", broken, "fail", of_215, True)[0]


def test_explanations_of_another_torch_that_explain_nothing(tmp_path):
    existing = {ABS, ("forward", "abs", "float64"), ("forward", "add", "float32")}
    found = explanations_of(tmp_path, "2.14")
    row = found.rows[1][0]
    assert found.unused_here(existing, existing) == [row]
    assert found.unused_here(existing, {ABS}) == [], "not all of its cases ran"
    assert found.unused_here({("forward", "add", "float32")}, {}) == [row], "it has no case"
    found.find(*ABS)
    assert found.unused_here(existing, existing) == []
    assert explanations_of(tmp_path, "2.13").unused_here(existing, existing) == []


def test_lists_are_written_and_read_with_their_torch_only(monkeypatch, capsys):
    monkeypatch.setattr(runner, "recorded_torch", lambda: "1.0")
    for command in (["run", "--update", "--select", "^abs$"], ["report"]):
        monkeypatch.setattr(sys, "argv", ["opinfo", *command])
        with pytest.raises(SystemExit, match="the lists are of torch 1.0"):
            runner.main()
