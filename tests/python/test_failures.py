"""What users see when something goes wrong: each test is on the text of the message, and that the device works afterwards."""
import os
import subprocess
import sys
import textwrap

import pytest
import torch
import torch_npu

DEVICE = "npu"


def run(program, **environment):
    """Runs a program of its own; returns the finished process."""
    return subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, **environment})


def still_works():
    x = torch.ones(3, device=DEVICE)
    assert (x + x).tolist() == [2, 2, 2]


def test_shape_mismatch_has_pytorchs_text():
    with pytest.raises(RuntimeError, match=r"The size of tensor a \(3\) must match the size of tensor b \(4\) at non-singleton dimension 0"):
        torch.ones(3, device=DEVICE) + torch.ones(4, device=DEVICE)
    with pytest.raises(RuntimeError, match=r"mat1 and mat2 shapes cannot be multiplied \(2x3 and 4x5\)"):
        torch.ones(2, 3, device=DEVICE) @ torch.ones(4, 5, device=DEVICE)
    still_works()


def test_mixed_devices():
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device.*npu:0 and cpu"):
        torch.ones(3, device=DEVICE) + torch.ones(3)
    still_works()


def test_out_of_memory():
    free, total = torch.npu.mem_get_info()
    with pytest.raises(torch.OutOfMemoryError) as e:
        torch.empty(total * 2, dtype=torch.uint8, device=DEVICE)
    text = str(e.value)
    for part in ("Tried to allocate", "GiB", "free", "npu"):
        assert part in text
    still_works()


def test_operator_without_kernel_under_error_mode():
    done = run("""
        import torch, torch_npu
        try:
            torch.linalg.eig(torch.eye(3).npu())
        except NotImplementedError as e:
            print(e)
        print((torch.ones(2).npu() + 1).tolist())
    """, TORCH_NPU_FALLBACK="error")
    assert done.returncode == 0, done.stderr
    assert "has no npu kernel" in done.stdout and "TORCH_NPU_FALLBACK=error" in done.stdout and "float32[3, 3]" in done.stdout
    assert done.stdout.splitlines()[-1] == "[2.0, 2.0]"


def test_undocumented_dtype_names_operator_dtype_and_allowed_ones():
    done = run("""
        import torch, torch_npu
        try:
            torch.ones(2, 2, dtype=torch.int32).npu() @ torch.ones(2, 2, dtype=torch.int32).npu()
        except NotImplementedError as e:
            print(e)
    """, TORCH_NPU_FALLBACK="error")
    assert done.returncode == 0, done.stderr
    assert "aten::mm" in done.stdout and "int32" in done.stdout and "float16" in done.stdout


def test_asynchronous_failure_names_the_operator_that_caused_it():
    x = torch.arange(6.0, device=DEVICE).view(2, 3)
    index = torch.tensor([5], device=DEVICE)
    with pytest.raises(RuntimeError) as e:
        bad = x[index]       # out of range: only the device can know
        good = x + 1         # innocent
        (good.sum() + bad.sum()).item()
    text = str(e.value)
    assert "aten::index.Tensor" in text and "aclnnIndex" in text
    assert "float32[2, 3]" in text
    assert "out of bounds" in text or "out of range" in text
    still_works()


def test_injected_failure_of_a_launch_names_the_operator():
    done = run("""
        import torch, torch_npu
        x = torch.ones(3).npu()
        torch.npu.synchronize()
        try:
            y = x * x          # this one fails
            z = x + x          # this one is innocent
            torch.npu.synchronize()
        except RuntimeError as e:
            print(e)
        print((x + x).tolist())
    """, SOFTCANN_FAULT="aclnnMulGetWorkspaceSize:1:161002")
    assert done.returncode == 0, done.stderr
    assert "aten::mul.Tensor" in done.stdout and "aclnnMul" in done.stdout and "float32[3]" in done.stdout
    assert "161002" in done.stdout and "ACLNN_ERR_PARAM_INVALID" in done.stdout
    assert done.stdout.splitlines()[-1] == "[2.0, 2.0, 2.0]"


def test_host_access_to_device_memory_ends_with_an_explanation():
    done = run("""
        import ctypes, torch, torch_npu
        x = torch.ones(4).npu()
        torch.npu.synchronize()
        print(ctypes.c_float.from_address(x.data_ptr()).value)
    """)
    assert done.returncode != 0
    assert f"0x{0:x}"[:2] in done.stderr and "device memory" in done.stderr
    assert "aclrtMemcpy" in done.stderr or ".cpu()" in done.stderr


def test_fork_after_device_use():
    done = run("""
        import os, torch, torch_npu
        x = torch.ones(2).npu()
        pid = os.fork()
        if pid == 0:
            try:
                torch.ones(2).npu()
                os._exit(1)
            except RuntimeError as e:
                os._exit(0 if "Cannot re-initialize NPU in forked subprocess" in str(e) and "spawn" in str(e) else 2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        print((x + x).tolist())
    """)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[2.0, 2.0]"


def test_fork_before_device_use_works():
    done = run("""
        import os, torch, torch_npu
        assert torch.npu.is_available() and torch.npu.device_count() >= 1 and torch.npu.get_device_name(0)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if (torch.ones(2).npu() + 1).tolist() == [2, 2] else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    """)
    assert done.returncode == 0, done.stderr


PLACE = """
def the_place_in_the_program(x):
    return x + x

import torch, torch_npu
x = torch.ones(3, device="npu")
torch.npu.synchronize()
y = the_place_in_the_program(x)
try:
    for _ in range(3):
        z = x * 2
    torch.npu.synchronize()
except torch_npu.NPUError as e:
    print(e)
"""


@pytest.mark.parametrize("variable", ["TORCH_NPU_LAUNCH_STACKS", "TORCH_SHOW_CPP_STACKTRACES"])
def test_python_stack_of_the_operator_that_failed(variable):
    # The first phase fails on the consumer thread; the kernel, on the device.
    for fault in ("aclnnAddGetWorkspaceSize:1:561103", "aclnnAdd:1:561103"):
        out = run(PLACE, SOFTCANN_FAULT=fault, **{variable: "1"}).stdout
        assert "aten::add.Tensor" in out and "It was called here" in out, out
        assert "in the_place_in_the_program" in out, out
        out = run(PLACE, SOFTCANN_FAULT=fault, **{variable: "0"}).stdout
        assert "aten::add.Tensor" in out and "It was called here" not in out, out


ASYNCHRONOUS = """
def the_place_in_the_program(x, index):
    return x[index]

import torch, torch_npu
x = torch.arange(6.0).npu().view(2, 3)
side = torch.npu.Stream()
index = torch.tensor([5]).npu()
torch.npu.synchronize()
def go_on():
    for _ in range(50):       # all of this is launched before anybody hears of the error
        y = x + 1
        z = y * 2
try:
    with torch.npu.stream({stream}):
        bad = the_place_in_the_program(x, index)
        go_on()
        {wait}
except RuntimeError as e:
    print(e)
torch.npu.synchronize()
print((x + 1).tolist())
"""


@pytest.mark.parametrize("queue", ["0", "1", "2"])
@pytest.mark.parametrize("stream, wait", [
    ("None", "torch.npu.synchronize()"), ("None", "bad.cpu()"), ("side", "side.synchronize()"), ("side", "side.record_event().synchronize()"),
])
def test_error_that_the_stream_reports_names_operator_and_place(stream, wait, queue):
    done = run(ASYNCHRONOUS.format(stream=stream, wait=wait), TORCH_SHOW_CPP_STACKTRACES="1", TASK_QUEUE_ENABLE=queue)
    out = done.stdout
    assert done.returncode == 0, done.stderr
    assert "aten::index.Tensor (aclnnIndex)" in out and "float32[2, 3]" in out and "507018" in out, out
    assert "It was called here" in out and "in the_place_in_the_program" in out and "in go_on" not in out, out
    assert out.splitlines()[-1] == "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]"


def test_blocking_launches_raise_where_the_operator_is_called():
    program = """
        import os, torch, torch_npu
        x = torch.arange(6.0).npu()
        index = torch.tensor([9]).npu()
        torch.npu.synchronize()
        threads = [open(f"/proc/self/task/{t}/comm").read().strip() for t in os.listdir("/proc/self/task")]
        reached = "nothing"
        try:
            y = x[index]
            reached = "the next statement"
            torch.npu.synchronize()
        except RuntimeError as e:
            assert "aten::index.Tensor" in str(e), e
        print(any(t.endswith("_queue") for t in threads), reached)
    """
    for variables, expected in (
        ({"TASK_QUEUE_ENABLE": "0"}, "False the next statement"),
        ({"TASK_QUEUE_ENABLE": "1"}, "True the next statement"),
        ({"TASK_QUEUE_ENABLE": "2"}, "True the next statement"),
        ({"ASCEND_LAUNCH_BLOCKING": "1"}, "False nothing"),
        ({"ASCEND_LAUNCH_BLOCKING": "1", "TASK_QUEUE_ENABLE": "2"}, "False nothing"),
    ):
        done = run(program, **variables)
        assert done.stdout.strip() == expected, (variables, done.stdout, done.stderr)


@pytest.mark.parametrize("queue", ["0", "1", "2"])
def test_full_queue_waits_and_then_goes_on(queue):
    # Far more work than the queue holds, behind a first operator that takes long: the caller waits, nothing is lost.
    out = run("""
import torch, torch_npu
x = torch.zeros(64, device="npu")
a = torch.ones(900, 900, device="npu")
for _ in range(5):
    a = a @ a * 1e-3
for _ in range(30000):
    x += 1
print(int(x.sum().item()))
""", TASK_QUEUE_ENABLE=queue).stdout
    assert out.split() == [str(30000 * 64)]


@pytest.mark.parametrize("queue", ["0", "1", "2"])
def test_exception_exit_and_fork_with_a_full_queue(queue):
    out = run("""
import os, sys, torch, torch_npu
x = torch.zeros(64, device="npu")
for _ in range(20000):
    x += 1
child = os.fork()
if child == 0:
    try:
        x + 1
    except RuntimeError as e:
        os._exit(0 if "fork" in str(e) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
for _ in range(20000):
    x += 1
print(int(x[0].item()))
for _ in range(20000):
    x += 1
raise SystemExit(7)
""", TASK_QUEUE_ENABLE=queue)
    assert out.stdout.split() == ["40000"] and out.returncode == 7
