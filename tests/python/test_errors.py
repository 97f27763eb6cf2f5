"""CANN's error codes as exceptions: class, attributes and text. Failures are made with SOFTCANN_FAULT."""
import json

import pytest
import torch
import torch_npu

PROGRAM = """
import json, torch, torch_npu
x = torch.ones(4).npu()
torch.npu.synchronize()
try:
    STATEMENT
except RuntimeError as e:
    print(json.dumps({"class": type(e).__qualname__, "mro": [c.__qualname__ for c in type(e).__mro__], "text": str(e),
                      "code": getattr(e, "code", None), "error_code": getattr(e, "error_code", None),
                      "name": getattr(e, "name", None), "cause": getattr(e, "cause", None)}))
"""


@pytest.fixture
def fail(run_python):
    """What `statement` raises when `function` answers `code`."""

    def run(function, code, statement, nth=1):
        done = run_python(PROGRAM.replace("STATEMENT", statement), TORCH_NPU_BACKEND="softcann",
                          SOFTCANN_FAULT=f"{function}:{nth}:{code}")
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.parametrize(("code", "cls", "name"), [
    (507014, "NPUTimeoutError", "ACL_ERROR_RT_AICORE_TIMEOUT"),
    (507015, "NPUError", "ACL_ERROR_RT_AICORE_EXCEPTION"),
    (507899, "NPUDeviceLostError", "ACL_ERROR_RT_DRV_INTERNAL_ERROR"),
    (507010, "NPUDeviceLostError", "ACL_ERROR_RT_LOST_HEARTBEAT"),
    (107000, "NPUInvalidArgumentError", "ACL_ERROR_RT_PARAM_INVALID"),
    (207000, "NPUNotSupportedError", "ACL_ERROR_RT_FEATURE_NOT_SUPPORT"),
])
def test_class_and_attributes(fail, code, cls, name):
    e = fail("aclrtSynchronizeDevice", code, "torch.npu.synchronize()", nth=2)
    assert e["class"] == cls
    assert "NPUError" in e["mro"] and "AcceleratorError" in e["mro"]
    assert (e["code"], e["error_code"], e["name"]) == (code, code, name)
    assert e["text"].startswith(f"aclrtSynchronizeDevice failed: error {code} ({name}): {e['cause']}")
    assert ".cpp" not in e["text"] and "csrc" not in e["text"]


def test_code_that_nobody_documents(fail):
    e = fail("aclrtSynchronizeDevice", 599999, "torch.npu.synchronize()", nth=2)
    assert e["class"] == "NPUError"
    assert "599999 (unknown error code): CANN or the device failed inside" in e["text"]


def test_operator_on_the_calling_thread_is_typed_too(fail):
    e = fail("aclrtSynchronizeStream", 507014, "x.tolist()")
    assert e["class"] == "NPUTimeoutError"


def test_start_fails(run_python):
    done = run_python("""
import torch, torch_npu
try:
    torch.ones(2).npu()
except torch_npu.NPUError as e:
    print(type(e).__qualname__, e.code, e)
""", TORCH_NPU_BACKEND="softcann", SOFTCANN_FAULT="aclInit:1:500001")
    assert done.stdout.startswith("NPUError 500001 aclInit failed: error 500001 (ACL_ERROR_FAILURE): ")


def test_initialised_by_somebody_else_is_fine(run_python):
    done = run_python("import torch, torch_npu; print((torch.ones(2).npu() + 1).tolist())",
                      TORCH_NPU_BACKEND="softcann", SOFTCANN_FAULT="aclInit:1:100002")
    assert done.stdout.split("\n")[0] == "[2.0, 2.0]"


@pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")
def test_device_numbers():
    count = torch.npu.device_count()
    with pytest.raises(RuntimeError, match=f"Invalid device npu:{count}"):
        torch.ones(2, device=f"npu:{count}")
    with pytest.raises(RuntimeError, match=f"Invalid device npu:{count}"):
        torch.npu.set_device(count)
    assert torch.npu.current_device() == 0


@pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")
def test_pointer_that_is_not_of_a_device():
    assert issubclass(torch_npu.NPUError, RuntimeError)
    assert torch.ones(2).is_pinned() is False
