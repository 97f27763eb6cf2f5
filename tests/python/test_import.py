"""Importing is innocent: it prints nothing, starts nothing, touches no device and never fails."""

import pytest
import torch_npu

STATE = """
import os, threading
def threads():
    return len(os.listdir("/proc/self/task"))
def mapped(name):
    return any(name in line for line in open("/proc/self/maps"))
"""


@pytest.mark.parametrize("program", ["import torch_npu", "import torch", "import torch, torch_npu", "import torch_npu, torch"])
@pytest.mark.parametrize("autoload", ["0", "1", None])
def test_silent(run_python, program, autoload):
    done = run_python(f"{program}; import torch_npu, torch; assert torch.npu is torch_npu.npu",
                      TORCH_DEVICE_BACKEND_AUTOLOAD=autoload)
    assert done.stdout == ""
    assert done.stderr == ""


def test_autoload_makes_the_device_known_without_importing_the_package(run_python):
    assert run_python("import torch; print(torch.device('npu:1'), torch.npu.is_available())").stdout == "npu:1 True\n"


def test_autoload_can_be_turned_off(run_python):
    assert run_python("import torch; print(hasattr(torch, 'npu'))", TORCH_DEVICE_BACKEND_AUTOLOAD="0").stdout == "False\n"


def test_twice(run_python):
    run_python("""
import importlib, torch, torch_npu
importlib.import_module("torch_npu")
torch_npu._autoload()
torch_npu._library.load()
import torch.npu.amp, torch.npu.memory
assert torch.npu.amp is torch_npu.npu.amp and torch.npu.memory is torch_npu.npu.memory
""")


def test_starts_no_thread(run_python):
    run_python(STATE + """
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
import torch
before = threads()
import torch_npu
assert threads() == before, (before, threads())
""")


def test_touches_no_device(run_python):
    run_python(STATE + """
import torch, torch_npu
torch.manual_seed(3)
assert not torch.npu.is_initialized()
assert not mapped("libopapi.so")
""")


def test_questions_start_no_device_and_leave_fork_usable(run_python):
    run_python("""
import os, torch
torch.manual_seed(3)
assert torch.npu.is_available() and torch.npu.device_count() >= 1
torch.npu.get_device_name(), torch.npu.get_device_properties(0), torch.npu.is_bf16_supported()
torch.npu.get_amp_supported_dtype()
if hasattr(torch, "accelerator"):
    assert torch.accelerator.is_available() and torch.accelerator.device_count() >= 1
assert not torch.npu.is_initialized()
pid = os.fork()
if pid == 0:
    ok = torch.ones(2, device="npu").add(1).tolist() == [2.0, 2.0]
    os._exit(0 if ok else 1)
assert os.waitpid(pid, 0)[1] == 0
assert torch.ones(2).npu().tolist() == [1.0, 1.0]
""")


def test_fork_after_device_use_says_so(run_python):
    done = run_python("""
import os, sys, torch
x = torch.ones(2).npu()
pid = os.fork()
if pid == 0:
    assert torch.npu._is_in_bad_fork() and not torch.npu.is_initialized()
    for use in (lambda: torch.ones(2).npu(), lambda: torch.npu.synchronize(), lambda: torch.zeros(2, device="npu")):
        try:
            use()
        except RuntimeError as e:
            print(e, flush=True)
        else:
            print("no error", flush=True)
    torch.manual_seed(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert x.add(1).tolist() == [2.0, 2.0]
""")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Cannot re-initialize NPU in forked subprocess") and "'spawn'" in line for line in lines)


def test_budget(run_python):
    """The adapter takes at most a tenth of what torch takes."""
    program = """
import os, time
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
begin = time.process_time(); import torch; middle = time.process_time(); import torch_npu; end = time.process_time()
print((end - middle) / (middle - begin))
"""
    assert min(float(run_python(program).stdout) for _ in range(3)) < 0.10


BROKEN = """
import importlib.machinery, sys
class Breaks:
    def find_spec(self, name, path=None, target=None):
        if name == "torch_npu._C":
            return importlib.machinery.ModuleSpec(name, self)
    def create_module(self, spec):
        raise {error}
    def exec_module(self, module):
        pass
sys.meta_path.insert(0, Breaks())
"""


USES = """
import torch, torch_npu
for use in [{uses}]:
    try:
        use()
    except RuntimeError as e:
        print(e)
    else:
        print("no error")
"""

OWN = """
    lambda: torch.ones(2).npu(), lambda: torch.npu.set_device(0), lambda: torch.npu.Stream(), lambda: torch.npu.Event(),
    lambda: torch.npu.get_device_name(), lambda: torch.npu.mem_get_info(), lambda: torch.npu.init(),
"""
TORCHS = """
    lambda: torch.empty(2, device="npu"), lambda: torch.ones(2).to("npu"), lambda: torch.nn.Linear(2, 2).to("npu"),
    lambda: torch.UntypedStorage(4, device="npu"),
"""


def check_that_all_say_why(done, count, error):
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == count
    assert len(set(lines)) == 1
    assert lines[0].startswith("No npu can be used: torch_npu's library cannot be loaded: ")
    assert error.split("'")[1] in lines[0]


@pytest.mark.parametrize("error", ["ImportError('libtorch_npu.so: undefined symbol: f')", "SystemError('broken file')"])
def test_library_that_cannot_be_loaded(run_python, error):
    done = run_python(BROKEN.format(error=error) + USES.format(uses=OWN) + """
assert torch.npu.is_available() is False and torch.npu.device_count() == 0
assert not hasattr(torch, "accelerator") or torch.accelerator.is_available() is False
assert torch.npu.memory_allocated() == 0 and torch_npu.fallbacks() == []
torch.manual_seed(1); torch.npu.manual_seed_all(1); torch.npu.empty_cache()
assert torch.ones(2).add(1).tolist() == [2.0, 2.0]
""")
    check_that_all_say_why(done, 7, error)


def test_library_that_cannot_be_loaded_and_torchs_functions(run_python):
    error = "ImportError('libtorch_npu.so: undefined symbol: f')"
    check_that_all_say_why(run_python(BROKEN.format(error=error) + USES.format(uses=TORCHS)), 4, error)


def test_another_torch(run_python):
    done = run_python("""
import os
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
import torch
torch.__version__ = "1.99.1"
import torch_npu
print(torch_npu.unavailable_reason())
""")
    minor = ".".join(torch_npu.__version__.split(".")[:2])
    assert done.stdout == (f"torch_npu {torch_npu.__version__} is built for torch {minor} and this is torch 1.99.1. Install torch=={minor}.*, "
                           "or the torch_npu whose version starts with 1.99\n")


def test_name_taken_by_another_backend(run_python):
    done = run_python("""
import os
os.environ["TORCH_DEVICE_BACKEND_AUTOLOAD"] = "0"
import torch
torch.utils.rename_privateuse1_backend("other")
import torch_npu
assert not torch_npu.npu.is_available()
print(torch_npu.unavailable_reason())
""")
    assert done.stdout.startswith("torch has no room for device 'npu': ")
