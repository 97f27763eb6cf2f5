"""Which device is used, and what is said when there is none. softcann's own tree stands in for an installed CANN."""
import json
import os
import shutil
import sys

import pytest
from torch_npu import softcann

PROBE = """
import json, torch, torch_npu
found = {"available": torch.npu.is_available(), "count": torch.npu.device_count(), "reason": torch_npu.unavailable_reason()}
try:
    x = torch.ones(2).npu()
    found["sum"] = sum((x + x).tolist())
    found["name"] = torch.npu.get_device_name()
except RuntimeError as e:
    found["class"] = type(e).__qualname__
    found["error"] = str(e)
found["libraries"] = sorted({line.split()[-1] for line in open("/proc/self/maps") if "/libascendcl" in line})
print(json.dumps(found))
"""

NO_CANN = {"ASCEND_HOME_PATH": None, "ASCEND_TOOLKIT_HOME": None, "ASCEND_OPP_PATH": None, "LD_LIBRARY_PATH": None,
           "TORCH_NPU_BACKEND": None, "SOFTCANN_DEVICE_COUNT": None}


@pytest.fixture
def tree(tmp_path):
    """A CANN that tests may break."""

    def link(source, target):
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    return shutil.copytree(softcann.prefix(), tmp_path / "cann", copy_function=link)


@pytest.fixture
def probe(run_python):
    def run(**environment):
        done = run_python(PROBE, **{**NO_CANN, **environment})
        return json.loads(done.stdout.splitlines()[-1])

    return run


def assert_unusable(found, *parts):
    assert found["available"] is False
    assert found["count"] == 0
    assert found["class"] == "NPUUnavailableError"
    assert "\n" not in found["reason"]
    for part in parts:
        assert part in found["error"]
        assert part in found["reason"]


def assert_works(found, directory):
    assert found["reason"] is None
    assert found["available"] is True
    assert found["sum"] == 4
    assert found["name"].endswith("(softcann)")
    assert [os.path.dirname(p) for p in found["libraries"]] == [str(directory)]


def test_no_cann_is_softcann(probe):
    assert_works(probe(), softcann.prefix() / "lib64")


def test_cann_through_set_env(tree, run_python, tmp_path):
    script = tmp_path / "probe.sh"
    (tmp_path / "probe.py").write_text(PROBE)
    script.write_text(f"source {tree}/set_env.sh\nexec {sys.executable} {tmp_path}/probe.py\n")
    done = run_python("import os; os.execvp('bash', ['bash', " + repr(str(script)) + "])", **NO_CANN)
    assert_works(json.loads(done.stdout.splitlines()[-1]), tree / "lib64")


@pytest.mark.parametrize("variable", ["ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME"])
def test_cann_named_by_environment(probe, tree, variable):
    assert_works(probe(**{variable: tree}), tree / "lib64")


def test_cann_on_the_loader_path(probe, tree):
    assert_works(probe(LD_LIBRARY_PATH=tree / "lib64"), tree / "lib64")


@pytest.mark.parametrize("library", ["libascendcl.so", "libnnopbase.so", "libopapi.so"])
def test_library_missing(probe, tree, library):
    (tree / "lib64" / library).unlink()
    assert_unusable(probe(ASCEND_HOME_PATH=tree), f"{tree}/lib64/{library} does not exist", "install the CANN toolkit")


def test_home_that_does_not_exist(probe, tmp_path):
    assert_unusable(probe(ASCEND_HOME_PATH=tmp_path / "nowhere"), f"ASCEND_HOME_PATH={tmp_path}/nowhere", "does not exist")


def test_library_damaged(probe, tree):
    library = tree / "lib64" / "libascendcl.so"
    library.unlink()
    library.write_bytes(b"not a library, but longer than an ELF header would be: " * 10)
    assert_unusable(probe(ASCEND_HOME_PATH=tree), str(library), "install the CANN toolkit")


def rename_symbol(library, name):
    """A library without `name`: the loader's hash table still leads to the entry, whose name is another."""
    content = library.read_bytes()
    assert content.count(b"\0" + name.encode() + b"\0") >= 1
    library.unlink()
    library.write_bytes(content.replace(b"\0" + name.encode() + b"\0", b"\0" + b"x" * len(name) + b"\0"))


def test_symbol_missing(probe, tree):
    rename_symbol(tree / "lib64" / "libascendcl.so", "aclrtStreamWaitEvent")
    assert_unusable(probe(ASCEND_HOME_PATH=tree), "aclrtStreamWaitEvent is missing in", f"{tree}/lib64/libascendcl.so", "install")


def test_operator_missing_is_an_error_of_that_operator(run_python, tree):
    rename_symbol(tree / "lib64" / "libopapi.so", "aclnnMulGetWorkspaceSize")
    done = run_python("""
import torch, torch_npu
x = torch.ones(2).npu()
try:
    print((x * x).tolist())
except torch_npu.NPUError as e:
    print(type(e).__qualname__, e)
print((x + x).tolist())
""", **{**NO_CANN, "ASCEND_HOME_PATH": tree})
    assert "NPUNotSupportedError" in done.stdout
    assert "aclnnMulGetWorkspaceSize is not in CANN 9.1.0" in done.stdout and "this installation is not complete" in done.stdout
    assert done.stdout.splitlines()[-1] == "[2.0, 2.0]"


def test_no_device_answers(probe, tree):
    assert_unusable(probe(ASCEND_HOME_PATH=tree, SOFTCANN_DEVICE_COUNT=0), "no NPU device answers")
    assert_unusable(probe(SOFTCANN_DEVICE_COUNT=0), "no NPU device answers", "SOFTCANN_DEVICE_COUNT")


def test_backend_softcann_wins_over_cann(probe, tree):
    (tree / "lib64" / "libascendcl.so").unlink()
    found = probe(TORCH_NPU_BACKEND="softcann", ASCEND_HOME_PATH=tree, LD_LIBRARY_PATH=tree / "lib64")
    assert_works(found, softcann.prefix() / "lib64")


def test_backend_cann_without_cann(probe):
    assert_unusable(probe(TORCH_NPU_BACKEND="cann"), "TORCH_NPU_BACKEND=cann, but no CANN was found", "set_env.sh")


def test_backend_of_another_name(probe):
    assert_unusable(probe(TORCH_NPU_BACKEND="cuda"), "TORCH_NPU_BACKEND=cuda is not a backend", "cann or softcann")
