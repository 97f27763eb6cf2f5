"""torch.npu.utils and what belongs to it: synchronizations, the task queue, cores, timeouts, determinism, overflow, faults, versions."""

import json
import warnings

import pytest
import torch
import torch_npu
import torch_npu.utils.collect_env

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

on_softcann = torch.npu.get_device_name().endswith("(softcann)") if torch.npu.is_available() else False


@pytest.fixture
def sync_debug():
    yield torch.npu.set_sync_debug_mode
    torch.npu.set_sync_debug_mode("default")


# ---- synchronizing operations -------------------------------------------------------------------------------------------------

X = torch.arange(6.0)

SYNCHRONIZING = {
    "reading a value": lambda x: x.sum().item(),
    "a copy to the CPU": lambda x: x.cpu(),
    "aten::nonzero": lambda x: x.nonzero(),
    "a copy from pinned memory": lambda x: torch.ones(4).pin_memory().npu(),
    "a copy of more than 1 MiB": lambda x: torch.ones(1 << 19).npu(),
    "Stream.synchronize": lambda x: torch.npu.current_stream().synchronize(),
}


@pytest.mark.parametrize("what", SYNCHRONIZING)
def test_sync_debug_mode(sync_debug, what):
    x, call = X.npu(), SYNCHRONIZING[what]
    sync_debug("warn")
    assert torch.npu.get_sync_debug_mode() == 1
    with pytest.warns(UserWarning, match=f"called a synchronizing NPU operation: {what}"):
        call(x)
    sync_debug(2)
    with pytest.raises(RuntimeError, match=f"called a synchronizing NPU operation: {what}"):
        call(x)
    sync_debug("default")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(x)


def test_sync_debug_mode_allows_work(sync_debug):
    x = X.npu()
    pinned = torch.empty(6).pin_memory()
    sync_debug("error")
    y = (x + 1) @ x
    pinned.copy_(x, non_blocking=True)
    torch.ones(4).npu()
    event = torch.npu.Event()
    event.record()
    event.synchronize()
    torch.npu.synchronize()
    sync_debug(0)
    assert y.item() == 70 and torch.equal(pinned, X)


@pytest.mark.parametrize("mode", ["sometimes", 3, -1])
def test_sync_debug_mode_checks(mode):
    with pytest.raises(RuntimeError, match="debug_mode has to be"):
        torch.npu.set_sync_debug_mode(mode)
    assert torch.npu.get_sync_debug_mode() == 0


# ---- the task queue -----------------------------------------------------------------------------------------------------------


def test_task_queue(run_python):
    done = run_python("""
import os, torch, torch_npu
def threads():
    return [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
print(torch.npu.get_task_queue_enable())
x = torch.ones(64, device="npu") + 1
torch.npu.synchronize()
assert not any("queue" in t for t in threads())
torch.npu.set_task_queue_enable(2)
for _ in range(200):
    x = x + 1
torch.npu.set_task_queue_enable(0)
for _ in range(200):
    x = x * 1 + 1
torch.npu.set_task_queue_enable(1)
assert any("queue" in t for t in threads())
print(x.sum().item() / 64, torch.npu.get_task_queue_enable())
try:
    torch.npu.set_task_queue_enable(3)
except ValueError as e:
    print(e)
""", TASK_QUEUE_ENABLE=0, ASCEND_LAUNCH_BLOCKING=None)
    assert done.stdout.splitlines()[:2] == ["0", "402.0 1"]
    assert "mode is 0 (off), 1 or 2, got 3" in done.stdout


def test_task_queue_under_schedules(run_python):
    """Turning the queue off and on amid work keeps the order of calls."""
    program = """
import sys, threading, torch, torch_npu
def work(seed):
    s = torch.npu.Stream()
    with torch.npu.stream(s):
        x = torch.zeros(256, device="npu")
        for i in range(60):
            if seed == 0 and i % 5 == 0:
                torch.npu.set_task_queue_enable(i // 5 % 2 * 2)
            x = (x + 1) * 1
        assert x.sum().item() == 60 * 256, x
ts = [threading.Thread(target=work, args=(i,)) for i in range(3)]
[t.start() for t in ts]; [t.join() for t in ts]
print("ok")
"""
    for seed in range(1, 6):
        assert run_python(program, SOFTCANN_SCHEDULE=seed).stdout == "ok\n"


def test_blocking_launches_keep_the_queue_off(run_python):
    done = run_python("""
import warnings, torch, torch_npu
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    torch.npu.set_task_queue_enable(2)
print(torch.npu.get_task_queue_enable(), "ASCEND_LAUNCH_BLOCKING=1 is set" in str(seen[0].message))
""", ASCEND_LAUNCH_BLOCKING=1)
    assert done.stdout == "0 True\n"


# ---- cores ----------------------------------------------------------------------------------------------------------------------


def test_core_limits(run_python):
    done = run_python("""
import torch, torch_npu
torch.npu.set_device(0)
p = torch.npu.get_device_properties(0)
free = {"cube_core_num": p.cube_core_num, "vector_core_num": p.vector_core_num}
assert torch.npu.get_device_limit(0) == free, torch.npu.get_device_limit(0)
s = torch.npu.Stream()
assert torch.npu.get_stream_limit(s) == free
torch.npu.set_device_limit(0, 12, 20)
assert torch.npu.get_device_limit(0) == {"cube_core_num": 12, "vector_core_num": 20} == torch.npu.get_stream_limit(s)
torch.npu.set_stream_limit(s, vector_num=7)
assert torch.npu.get_stream_limit(s) == {"cube_core_num": 12, "vector_core_num": 7}
x = torch.ones(8, device="npu")
with torch.npu.stream(s):
    s.wait_stream(torch.npu.default_stream())
    for _ in range(3):
        y = x + 1
s.synchronize()
assert y.sum().item() == 16
torch.npu.reset_stream_limit(s)
torch.npu.reset_device_limit(0)
assert torch.npu.get_stream_limit(s) == torch.npu.get_device_limit(0) == free
with torch.npu.stream(s):
    y = x + 2
s.synchronize()
""")
    assert done.stderr == ""


def test_operators_of_limited_streams_are_prepared_under_their_limits(run_python, tmp_path):
    run_python("""
import torch, torch_npu
s = torch.npu.Stream()
torch.npu.set_stream_limit(s, 4, 8)
x = torch.ones(8, device="npu")
s.wait_stream(torch.npu.default_stream())
with torch.npu.stream(s):
    y = x + 1
s.synchronize()
""", SOFTCANN_TRACE=tmp_path / "calls", TORCH_NPU_BACKEND="softcann")
    calls = [line for line in (tmp_path / "calls").read_text().splitlines() if "InCurrentThread" in line or "aclnnAdd" in line]
    names = [next(n for n in ("aclrtUseStreamRes", "aclrtUnuseStreamRes", "aclnnAdd") if n in line) for line in calls]
    assert names[0] == "aclrtUseStreamRes" and names[-1] == "aclrtUnuseStreamRes" and set(names[1:-1]) == {"aclnnAdd"}


@pytest.mark.parametrize("call, error, text", [
    (lambda: torch.npu.set_device_limit("npu:0", 1), TypeError, "device has to be an int, got str"),
    (lambda: torch.npu.set_device_limit(99, 1), ValueError, "npu:99 does not exist"),
    (lambda: torch.npu.set_device_limit(0, 0), ValueError, "at least 1, or -1 for no change; got 0"),
    (lambda: torch.npu.set_device_limit(0, 100000), RuntimeError, "allowed are 1 to" if on_softcann else ""),
    (lambda: torch.npu.set_stream_limit(None, 1), TypeError, "Expected a torch.npu.Stream, got None"),
    (lambda: torch.npu.get_stream_limit(3), TypeError, "Expected a torch.npu.Stream, got int"),
])
def test_core_limits_check(call, error, text):
    with pytest.raises(error, match=text):
        call()


# ---- timeouts, determinism ------------------------------------------------------------------------------------------------------


def test_operator_timeout(run_python, tmp_path):
    run_python("import torch\ntorch.npu.set_op_timeout_ms(1500)\n", SOFTCANN_TRACE=tmp_path / "calls", TORCH_NPU_BACKEND="softcann")
    assert any("aclrtSetOpExecuteTimeOutV2" in line and "1500000" in line for line in (tmp_path / "calls").read_text().splitlines())
    for wrong, error in ((0, ValueError), ("1", TypeError), (1.5, TypeError)):
        with pytest.raises(error, match="timeout has to be"):
            torch.npu.set_op_timeout_ms(wrong)


def test_deterministic_level(run_python, tmp_path):
    run_python("""
import torch, torch_npu
for level, on in ((2, True), (1, True), (0, False), (3, True)):
    torch.npu.set_deterministic_level(level)
    assert torch.are_deterministic_algorithms_enabled() is on
""", SOFTCANN_TRACE=tmp_path / "calls", TORCH_NPU_BACKEND="softcann")
    lines = [line for line in (tmp_path / "calls").read_text().splitlines() if "aclrtSetSysParamOpt" in line]
    assert len(lines) == 8
    with pytest.raises(ValueError, match="level has to be 0, 1, 2 or 3, got 4"):
        torch.npu.set_deterministic_level(4)


def test_determinism_for_a_part_of_a_network():
    seen = []

    class Look(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            seen.append(torch.are_deterministic_algorithms_enabled())
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            seen.append(torch.are_deterministic_algorithms_enabled())
            return grad

    try:
        x = torch.ones(3, device="npu", requires_grad=True)
        y = Look.apply(x)
        y = torch.npu.enable_deterministic_with_backward(y)
        y = Look.apply(y)
        y = torch.npu.disable_deterministic_with_backward(y)
        Look.apply(y).sum().backward()
        assert seen == [False, True, False, False, True, False]
        assert x.grad.tolist() == [1.0, 1.0, 1.0] and not torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


# ---- overflow -------------------------------------------------------------------------------------------------------------------


def test_overflow_with_infinities():
    if not torch.npu.utils.is_support_inf_nan():
        pytest.skip("a device without infinities")
    with pytest.raises(RuntimeError, match="use torch.npu.utils.npu_check_overflow"):
        torch.npu.get_npu_overflow_flag()
    with pytest.warns(UserWarning, match="has infinities and no overflow flag"):
        torch.npu.clear_npu_overflow_flag()
    a = torch.tensor([65504.0]).npu().half()
    assert torch.npu.utils.npu_check_overflow(a + a) is True
    assert torch.npu.utils.npu_check_overflow(a) is False
    assert torch.npu.utils.npu_check_overflow(torch.tensor([float("nan")], device="npu")) is True
    assert [torch.npu.utils.npu_check_overflow(f) for f in (1.0, float("inf"), float("-inf"), float("nan"))] == [False, True, True, True]
    with pytest.raises(TypeError, match="grad has to be a tensor or a float, got int"):
        torch.npu.utils.npu_check_overflow(1)


def test_overflow_of_a_chip_that_saturates(run_python):
    done = run_python("""
import torch, torch_npu
assert not torch.npu.utils.is_support_inf_nan()
print(torch.npu.get_npu_overflow_flag(), torch.npu.utils.npu_check_overflow(torch.ones(2, device="npu")))
torch.npu.clear_npu_overflow_flag()
print(torch.npu.utils.npu_check_overflow(torch.full((2,), float("inf"), device="npu")))
""", SOFTCANN_SOC="Ascend910A", TORCH_NPU_BACKEND="softcann")
    assert done.stdout.split() == ["False", "False", "True"]


# ---- faults ---------------------------------------------------------------------------------------------------------------------


def test_stop_and_restart_device(run_python):
    done = run_python("""
import time, torch, torch_npu
gate, other = torch.npu.ExternalEvent(), torch.npu.Stream()
x = torch.ones(4, device="npu")
torch.npu.synchronize()
gate.wait(torch.npu.current_stream())   # never comes: everything behind it stands
y = x + 1
assert torch.npu.stop_device(0) == 0
for work in (lambda: x + 1, lambda: x.cpu(), torch.npu.synchronize):
    try:
        work()
    except RuntimeError as e:
        assert "npu:0 was stopped by torch.npu.stop_device(0); torch.npu.restart_device(0)" in str(e), e
    else:
        raise AssertionError("went through")
torch.npu.restart_device(0)
print((x + 1).tolist(), torch.npu.utilization())
try:
    torch.npu.restart_device(0, rebuild_all_resources=True)
except NotImplementedError as e:
    print("tensors are not marked" in str(e))
""", timeout=100)
    assert done.stdout == "[2.0, 2.0, 2.0, 2.0] 0\nTrue\n"


def test_utilization():
    gate = torch.npu.ExternalEvent()
    side = torch.npu.Stream()
    gate.wait(side)
    x = torch.ones(4, device="npu")
    with torch.npu.stream(side):
        y = x + 1
    busy = torch.npu.utilization()
    gate.record()
    side.synchronize()
    assert 0 <= busy <= 100 and (not on_softcann or busy == 100)
    assert y.tolist() == [2.0] * 4


def test_uncorrectable_memory():
    assert torch.npu.check_uce_in_memory(0) == 0
    with pytest.raises(ValueError, match="npu:7 does not exist" if torch.npu.device_count() < 8 else "npu:99"):
        torch.npu.check_uce_in_memory(7 if torch.npu.device_count() < 8 else 99)
    segments = [{"blocks": [{"address": 1000, "size": 100, "state": "inactive"}, {"address": 1100, "size": 100, "state": "active_allocated"}]}]
    kind = torch.npu.utils._uce_kind
    assert [kind(f, segments) for f in ([], [(10, 8)], [(1000, 8)], [(1096, 8)], [(10, 8), (1050, 1)], [(1199, 0)], [(1200, 8)])] == [
        0, 1, 2, 3, 2, 3, 1]


def test_dumps_name_what_is_missing(tmp_path):
    if not on_softcann:
        pytest.skip("dumps a card's operators")
    with pytest.raises(torch_npu.NPUNotSupportedError, match="aclmdlInitDump"):
        torch.npu.init_dump()
    with pytest.raises(FileNotFoundError, match="nowhere.json does not exist"):
        torch.npu.set_dump(tmp_path / "nowhere.json")
    (tmp_path / "dump.json").write_text(json.dumps({"dump": {}}))
    with pytest.raises(torch_npu.NPUNotSupportedError, match="aclmdlSetDump"):
        torch.npu.set_dump(tmp_path / "dump.json")
    with pytest.raises(torch_npu.NPUNotSupportedError, match="aclmdlFinalizeDump"):
        torch.npu.finalize_dump()


# ---- versions and names ---------------------------------------------------------------------------------------------------------


def test_versions():
    version = torch.npu.utils.get_cann_version()
    assert version and version == torch_npu.utils.get_cann_version("CANN") == torch_npu.utils.collect_env.get_cann_version()
    assert torch.npu.utils.get_cann_version("no such part") == ""
    newer = torch.npu.utils._is_gte_cann_version
    assert newer("7.0.0") and newer(version) and not newer("99.0.0") and not newer("7.0.0", "no such part")
    with pytest.warns(UserWarning, match="no BLAS handle"):
        assert torch.npu.current_blas_handle() is None


@pytest.mark.parametrize("soc, number", [("Ascend910B2", 221), ("Ascend910A", 102), ("Ascend950PR_9599", 260)])
def test_soc_version(run_python, soc, number):
    done = run_python("import torch; print(torch.npu.utils.get_soc_version(), torch.npu._backends.get_soc_version(), torch.npu.is_initialized())",
                      SOFTCANN_SOC=soc, TORCH_NPU_BACKEND="softcann")
    assert done.stdout == f"{number} {number} False\n"


def test_device_capability(run_python):
    program = "import torch; print(torch.npu.get_device_capability(0))"
    assert run_python(program, TORCH_NPU_DEVICE_CAPABILITY=None).stdout == "None\n"
    assert run_python(program, TORCH_NPU_DEVICE_CAPABILITY="8.0").stdout == "(8, 0)\n"
    done = run_python(program, TORCH_NPU_DEVICE_CAPABILITY="eight")
    assert done.stdout == "None\n" and "TORCH_NPU_DEVICE_CAPABILITY=eight is not of the form 8.0" in done.stderr


def test_autocast_functions():
    assert not torch.npu.is_autocast_enabled()
    with torch.autocast("npu", dtype=torch.bfloat16):
        assert torch.npu.is_autocast_enabled() and torch.npu.get_autocast_dtype() == torch.bfloat16
    before = torch.npu.get_autocast_dtype()
    torch.npu.set_autocast_dtype(torch.bfloat16)
    torch.npu.set_autocast_enabled(True)
    try:
        a = torch.ones(2, 2, device="npu")
        assert (a @ a).dtype == torch.bfloat16
    finally:
        torch.npu.set_autocast_enabled(False)
        torch.npu.set_autocast_dtype(before)
    with pytest.raises(ValueError, match="takes torch.float16 and torch.bfloat16, got torch.float64"):
        torch.npu.set_autocast_dtype(torch.float64)
