"""npu tensors, storages and events in other processes."""

import pytest
import torch
import torch_npu  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

#: A parent and a spawned child with a queue each way. Spawned processes import the program again, so it is a file.
HEAD = """
import gc, time
import torch, torch_npu
import torch.multiprocessing as mp

def spawn(child, *arguments):
    context = mp.get_context("spawn")
    to_child, to_parent = context.Queue(), context.Queue()
    process = context.Process(target=child, args=(to_child, to_parent, *arguments))
    process.start()
    return process, to_child, to_parent

def finish(process):
    process.join(120)
    assert process.exitcode == 0, process.exitcode

def until(condition):
    for _ in range(300):
        if condition(): return True
        time.sleep(0.1)
    return False
"""


@pytest.fixture
def run_program(run_python, tmp_path):
    def run(text, **options):
        program = tmp_path / "program.py"
        program.write_text(HEAD + text)
        return run_python(str(program), "x", **options)

    return run


def test_tensors_are_used_in_place(run_program):
    run_program("""
def child(get, put):
    whole, part, parameter, empty = get.get()
    assert whole.device.type == "npu" and type(parameter) is torch.nn.Parameter and parameter.requires_grad
    assert whole.cpu().tolist() == [0, 1, 2, 3, 4, 5] and empty.shape == (0, 3)
    assert part.cpu().tolist() == [2, 4] and part.untyped_storage().data_ptr() == whole.untyped_storage().data_ptr()
    part.fill_(9)
    torch.npu.synchronize()
    put.put("done")
    get.get()

if __name__ == "__main__":
    process, to_child, to_parent = spawn(child)
    x = torch.arange(6).npu()
    to_child.put((x, x[2::2], torch.nn.Parameter(torch.ones(2).npu()), torch.empty(0, 3, device="npu")))
    assert to_parent.get(timeout=120) == "done"
    assert x.cpu().tolist() == [0, 1, 9, 3, 9, 5]
    to_child.put("end")
    finish(process)
""")


def test_memory_stays_until_everybody_has_let_go(run_program):
    run_program("""
def child(get, put):
    x = get.get()
    put.put("have it")
    get.get()
    assert x.sum().item() == 1 << 20
    del x
    put.put("let go")
    get.get()

if __name__ == "__main__":
    process, to_child, to_parent = spawn(child)
    before = torch.npu.memory_allocated()
    to_child.put(torch.ones(1 << 20, dtype=torch.uint8, device="npu"))
    assert to_parent.get(timeout=120) == "have it"
    gc.collect()
    torch.npu.ipc_collect()
    assert torch.npu.memory_allocated() == before + (1 << 20)
    others = [torch.zeros(1 << 20, dtype=torch.uint8, device="npu") for _ in range(8)]
    to_child.put("check")
    assert to_parent.get(timeout=120) == "let go"
    torch.npu.ipc_collect()
    del others
    assert torch.npu.memory_allocated() == before, torch.npu.memory_allocated()
    to_child.put("end")
    finish(process)
""")


def test_killed_processes_leave_no_files(run_program):
    run_program("""
import os, signal

def child(get, put):
    received = get.get()
    put.put(torch.ones(3).npu())
    get.get()

if __name__ == "__main__":
    process, to_child, to_parent = spawn(child)
    to_child.put(torch.ones(2).npu())
    assert to_parent.get(timeout=120).sum().item() == 3
    os.kill(process.pid, signal.SIGKILL)
    process.join(60)
    left = [name for name in os.listdir("/dev/shm") if "torch_npu" in name and str(process.pid) in name]
    assert left == [], left
""")


def test_handle_of_a_process_that_has_ended(run_program):
    run_program("""
import pickle
from multiprocessing.reduction import ForkingPickler

def child(get, put):
    put.put(bytes(ForkingPickler.dumps(torch.ones(3).npu())))
    get.get()

if __name__ == "__main__":
    process, to_child, to_parent = spawn(child)
    handle = to_parent.get(timeout=120)
    to_child.put("end")
    finish(process)
    try:
        pickle.loads(handle)
        raise SystemExit("opened")
    except RuntimeError as e:
        assert "has to live until it has been received" in str(e), e
""")


def test_the_other_way_and_back_again(run_program):
    run_program("""
def child(get, put):
    made = torch.full((3,), 7.0, device="npu")
    put.put(made)
    assert get.get() == "got it"
    put.put(get.get())   # a tensor of the parent goes home: refused, because the memory is the parent's

if __name__ == "__main__":
    process, to_child, to_parent = spawn(child)
    x = to_parent.get(timeout=120)
    assert x.cpu().tolist() == [7.0] * 3
    del x
    to_child.put("got it")
    to_child.put(torch.ones(2).npu())
    finish(process)
""")


def test_a_queue_within_the_process(run_program):
    run_program("""
if __name__ == "__main__":
    from multiprocessing.reduction import ForkingPickler
    import pickle
    x = torch.ones(3).npu()
    y = pickle.loads(ForkingPickler.dumps(x))
    y.add_(1)
    assert x.cpu().tolist() == [2.0] * 3
    cpu = pickle.loads(ForkingPickler.dumps(torch.ones(2)))
    assert cpu.tolist() == [1.0, 1.0]
""")


def test_what_cannot_be_shared_is_explained(run_python):
    run_python("""
import torch, torch_npu
from multiprocessing.reduction import ForkingPickler
w = torch.ones(2, device="npu", requires_grad=True)
for bad, words in ((w * 2, "not a leaf"), (torch.ones(2, device="npu"), "expandable_segments")):
    try:
        ForkingPickler.dumps(bad)
        assert False
    except RuntimeError as e:
        assert words in str(e), e
""", PYTORCH_NPU_ALLOC_CONF="expandable_segments:True")


def test_events_order_the_work_of_two_processes(run_program):
    run_program("""
def child(get, put):
    x, event = get.get()
    torch.npu.current_stream().wait_event(event)
    put.put(x.sum().item())
    get.get()

if __name__ == "__main__":
    process, to_child, to_parent = spawn(child)
    x = torch.zeros(1000, device="npu")
    event = torch.npu.Event(interprocess=True)
    assert event.query()
    a = torch.ones(300, 300, device="npu")
    with torch.npu.stream(torch.npu.Stream()):
        for _ in range(50): a = a @ a * 1e-9
        x.fill_(1)
        event.record()
    to_child.put((x, event))
    assert to_parent.get(timeout=120) == 1000.0
    assert event.query()
    to_child.put("end")
    finish(process)
""")


def test_interprocess_needs_to_be_asked_for():
    event = torch.npu.Event()
    event.record()
    with pytest.raises(RuntimeError, match="interprocess=True"):
        event.ipc_handle()
    with pytest.raises(ValueError, match="cannot measure time"):
        torch.npu.Event(enable_timing=True, interprocess=True)


def test_data_loader_with_workers_pins(run_program):
    run_program("""
from torch.utils.data import DataLoader, Dataset

class Squares(Dataset):
    def __len__(self): return 8
    def __getitem__(self, i): return torch.full((4,), float(i * i))

if __name__ == "__main__":
    torch.npu.init()
    loader = DataLoader(Squares(), batch_size=2, num_workers=2, pin_memory=True, multiprocessing_context="spawn")
    total = torch.zeros(4, device="npu")
    for batch in loader:
        assert batch.is_pinned()
        total += batch.to("npu", non_blocking=True).sum(0)
    assert total.cpu().tolist() == [140.0] * 4
""")
