"""The allocators as programs see them: reuse, streams, giving back, out of memory, settings, pinned memory."""

import gc
import re

import pytest
import torch
import torch_npu  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

MIB = 1 << 20


def npu_bytes(n):
    return torch.empty(n, dtype=torch.uint8, device="npu")


@pytest.fixture
def clean():
    gc.collect()
    torch.npu.synchronize()
    torch.npu.empty_cache()


# ---- caching ----------------------------------------------------------------------------------------------------------


def test_memory_is_used_again(clean):
    x = npu_bytes(3 * MIB)
    address = x.data_ptr()
    reserved = torch.npu.memory_reserved()
    del x
    assert torch.npu.memory_reserved() == reserved
    assert npu_bytes(3 * MIB).data_ptr() == address


def test_empty_tensors_take_nothing():
    before = torch.npu.memory_allocated()
    x = torch.empty(0, 3, device="npu")
    assert x.device == torch.device("npu:0") and x.data_ptr() == 0
    assert torch.npu.memory_allocated() == before


def test_empty_cache_gives_back(clean):
    reserved = torch.npu.memory_reserved()
    free = torch.npu.mem_get_info()[0]
    x = npu_bytes(50 * MIB)
    assert torch.npu.mem_get_info()[0] == free - 50 * MIB
    del x
    torch.npu.empty_cache()
    assert torch.npu.memory_reserved() == reserved
    assert torch.npu.mem_get_info()[0] == free


def test_memory_freed_while_work_is_queued_keeps_its_values():
    # Each result is dropped while the operator that made it may still be in flight; its block goes to the next one at once.
    x = torch.arange(500, dtype=torch.float32).npu()
    total = torch.zeros(500).npu()
    for i in range(200):
        total += (x * i) + i
    expected = sum(torch.arange(500, dtype=torch.float64) * i + i for i in range(200))
    assert torch.equal(total.cpu().double(), expected)


def test_record_stream_delays_reuse(clean):
    side = torch.npu.Stream()
    x = npu_bytes(MIB)
    work = torch.randn(1_000_000).npu()
    side.wait_stream(torch.npu.current_stream())
    with torch.npu.stream(side):
        for _ in range(50):
            work = work * work
        y = x + 1
    x.record_stream(side)
    address = x.data_ptr()
    del x
    assert torch.npu.memory_stats()["active_bytes.all.current"] >= torch.npu.memory_allocated() + MIB or side.query()
    side.synchronize()
    torch.npu.synchronize()
    del y
    assert address in {npu_bytes(MIB).data_ptr(), npu_bytes(MIB).data_ptr()}


def test_accelerator_functions_agree():
    x = npu_bytes(MIB)  # noqa: F841
    assert torch.accelerator.memory_allocated() == torch.npu.memory_allocated()
    assert torch.accelerator.memory_reserved() == torch.npu.memory_reserved()
    assert torch.accelerator.max_memory_allocated() == torch.npu.max_memory_allocated()
    assert torch.accelerator.memory_stats() == torch.npu.memory_stats()
    torch.accelerator.reset_peak_memory_stats()
    torch.accelerator.reset_accumulated_memory_stats()
    torch.accelerator.empty_cache()


def test_statistics_add_up(clean):
    keep = [npu_bytes(n) for n in (1, 5000, 3 * MIB, 30 * MIB)]  # noqa: F841
    del keep[1]
    stats = torch.npu.memory_stats()
    blocks = [b for s in torch.npu.memory_snapshot() for b in s["blocks"]]
    for name, states in [("allocated", ["active_allocated"]), ("active", ["active_allocated", "active_pending_free"])]:
        assert stats[f"{name}_bytes.all.current"] == sum(b["size"] for b in blocks if b["state"] in states)
    assert stats["reserved_bytes.all.current"] == sum(b["size"] for b in blocks)
    assert stats["allocation.all.current"] == sum(b["state"] == "active_allocated" for b in blocks)
    for key in ("allocated_bytes", "reserved_bytes", "segment", "inactive_split_bytes"):
        parts = [stats[f"{key}.{pool}.current"] for pool in ("all", "small_pool", "large_pool")]
        assert parts[0] == parts[1] + parts[2]


def test_no_caching(run_python):
    run_python(
        """
import torch
x = torch.empty(5 << 20, dtype=torch.uint8, device="npu")
assert torch.npu.memory_reserved() == 5 << 20
y = x + 1
del x, y
assert torch.npu.memory_reserved() == 0
""",
        PYTORCH_NO_NPU_MEMORY_CACHING="1",
    )


# ---- out of memory ----------------------------------------------------------------------------------------------------


def test_out_of_memory_message_and_recovery(run_python):
    done = run_python(
        """
import torch
free, total = torch.npu.mem_get_info()
keep = torch.empty(total // 2, dtype=torch.uint8, device="npu")
try:
    torch.empty(total // 2 + (64 << 20), dtype=torch.uint8, device="npu")
except torch.OutOfMemoryError as e:
    print(e)
assert torch.npu.memory_stats()["num_ooms"] == 1
del keep
torch.empty(total // 2 + (64 << 20), dtype=torch.uint8, device="npu")  # the cache makes room
assert torch.npu.memory_stats()["num_alloc_retries"] >= 2
print((torch.ones(2).npu() + 1).tolist())
"""
    )
    text, recovered = done.stdout.splitlines()
    size = r"[\d.]+ (GiB|MiB|KiB|bytes)"
    assert re.match(
        rf"NPU out of memory\. Tried to allocate {size} on npu:0\. The device has {size} in total, of which {size} is free\. "
        rf"Tensors of this process hold {size}; {size} more is reserved by PyTorch but unallocated, the largest free block .* "
        rf"has {size}\. What to try: ",
        text,
    ), text
    assert recovered == "[2.0, 2.0]"


def test_out_of_memory_in_pieces_names_fragmentation(run_python):
    done = run_python(
        """
import torch
total = torch.npu.mem_get_info()[1]
torch.npu.set_per_process_memory_fraction(min(1.0, 201 * (1 << 20) / total))
keep = [torch.empty(6 << 20, dtype=torch.uint8, device="npu") for _ in range(30)]
del keep[::2]
try:
    torch.empty(50 << 20, dtype=torch.uint8, device="npu")
except torch.OutOfMemoryError as e:
    print(e)
"""
    )
    assert "largest free block in it that this stream's request could use has 8.00 MiB." in done.stdout
    assert "expandable_segments:True" in done.stdout


# ---- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ("max_split_mb:50", "unknown key 'max_split_mb'; the keys are "),
        ("max_split_size_mb", "expected ':' after max_split_size_mb, but the text ends there"),
        ("max_split_size_mb:", "max_split_size_mb has no value"),
        ("max_split_size_mb:big", "max_split_size_mb must be a whole number of MiB, at least 20, but is 'big'"),
        ("max_split_size_mb:10", "max_split_size_mb must be a whole number of MiB, at least 20, but is '10'"),
        ("expandable_segments:yes", "expandable_segments must be True or False, but is 'yes'"),
        ("garbage_collection_threshold:1.5", "must be a number above 0 and below 1, but is '1.5'"),
        ("roundup_power2_divisions:[256:3]", "needs powers of two from 1 to 64 as divisions, but has '3'"),
        ("roundup_power2_divisions:[256:2", "expected ',' between the intervals"),
        ("expandable_segments:True,max_split_size_mb:50", "cannot be combined with max_split_size_mb"),
        ("expandable_segments:True garbage_collection_threshold:0.5", "expandable_segments must be True or False"),
    ],
)
def test_wrong_settings_are_explained(settings, sentence, run_python):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        torch.npu.memory._set_allocator_settings(settings)
    # From the environment: importing works, the first allocation says it, every time.
    done = run_python(
        """
import torch
for _ in range(2):
    try:
        torch.empty(2, device="npu")
    except ValueError as e:
        print(e)
""",
        PYTORCH_NPU_ALLOC_CONF=settings,
    )
    assert done.stdout.count(sentence) == 2, done.stdout + done.stderr


def test_wrong_settings_change_nothing(run_python):
    run_python(
        """
import torch
torch.npu.memory._set_allocator_settings("max_split_size_mb:64")
try:
    torch.npu.memory._set_allocator_settings("garbage_collection_threshold:0.5,nonsense:1")
except ValueError:
    pass
torch.empty(2, device="npu")
assert torch.npu.memory_stats()["max_split_size"] == 64 << 20
"""
    )


def test_both_variables(run_python):
    code = 'import torch; torch.empty(2, device="npu"); print(torch.npu.memory_stats()["max_split_size"] >> 20)'
    for variables in [
        {"PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:50"},
        {"PYTORCH_ALLOC_CONF": "max_split_size_mb:50"},
        {"PYTORCH_ALLOC_CONF": "max_split_size_mb:50", "PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:50"},
        {"PYTORCH_CUDA_ALLOC_CONF": "backend:native", "PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:50"},
    ]:
        assert run_python(code, **variables).stdout == "50\n"
    done = run_python(
        code, check=False, PYTORCH_ALLOC_CONF="max_split_size_mb:50", PYTORCH_NPU_ALLOC_CONF="max_split_size_mb:60"
    )
    assert "PYTORCH_ALLOC_CONF is set too, and differently" in done.stderr


def test_torch_can_set_them(run_python):
    run_python(
        """
import torch
torch.empty(2, device="npu")
torch._C._accelerator_setAllocatorSettings("max_split_size_mb:40,per_process_memory_fraction:0.5")
assert torch.npu.memory_stats()["max_split_size"] == 40 << 20
total = torch.npu.mem_get_info()[1]
try:
    torch.empty(total // 4 * 3, dtype=torch.uint8, device="npu")
except torch.OutOfMemoryError as e:
    assert "memory fraction 0.5" in str(e)
else:
    raise AssertionError
"""
    )


def test_expandable_segments(run_python):
    run_python(
        """
import torch
def grow(n): return torch.zeros(n << 20, dtype=torch.uint8, device="npu")
kept = [grow(15) for _ in range(8)]
assert all(s["is_expandable"] for s in torch.npu.memory_snapshot())
reserved = torch.npu.memory_reserved()
assert reserved <= 160 << 20, reserved
for i, x in enumerate(kept):
    x.fill_(i + 1)
del kept[::2]
big = grow(60)                       # 4 x 15 MiB lie apart; in one piece only through new memory
big.fill_(99)
assert [int(x.min()) for x in kept] == [int(x.max()) for x in kept] == [2, 4, 6, 8]
assert int(big.min()) == int(big.max()) == 99
before = torch.npu.memory_reserved()
del big
torch.npu.empty_cache()
assert torch.npu.memory_reserved() < before
again = grow(60)
again.fill_(7)
assert int(again.sum(dtype=torch.int64)) == 7 * (60 << 20)
assert [int(x.min()) for x in kept] == [2, 4, 6, 8]
del kept, again, x
torch.npu.empty_cache()
assert torch.npu.memory_reserved() <= 22 << 20
""",
        PYTORCH_NPU_ALLOC_CONF="expandable_segments:True",
    )


# ---- storage ----------------------------------------------------------------------------------------------------------


def test_storage_resize_keeps_values():
    x = torch.arange(10, dtype=torch.float32).npu()
    storage = x.untyped_storage()
    before = torch.npu.memory_allocated()
    storage.resize_(10_000)
    assert storage.nbytes() == 10_000 and x.tolist() == list(range(10))
    storage.resize_(40)
    assert x.tolist() == list(range(10)) and torch.npu.memory_allocated() == before
    storage.resize_(0)
    assert storage.nbytes() == 0 and storage.data_ptr() == 0
    assert torch.npu.memory_allocated() == before - 512
    storage.resize_(40)
    assert x.fill_(3).tolist() == [3] * 10


def test_clone_of_storage():
    x = torch.arange(10, dtype=torch.int64).npu()
    copy = x.untyped_storage().clone()
    x.zero_()
    assert torch.empty(0, dtype=torch.int64, device="npu").set_(copy).tolist() == list(range(10))


# ---- pinned host memory -----------------------------------------------------------------------------------------------


def test_pin_memory():
    x = torch.arange(1000, dtype=torch.float32)
    assert not x.is_pinned()
    pinned = x.pin_memory()
    assert pinned.is_pinned() and pinned[10:20].is_pinned() and pinned.device.type == "cpu"
    assert torch.equal(pinned, x)
    assert torch.empty(5, pin_memory=True).is_pinned()
    assert pinned.pin_memory() is pinned


def test_pinned_memory_waits_for_its_copies():
    for i in range(50):
        x = torch.full((100_000,), float(i)).pin_memory()
        y = x.to("npu", non_blocking=True)
        del x  # its memory must not be handed out before the copy has read it
        torch.full((100_000,), -1.0).pin_memory()
        assert float(y.min()) == float(y.max()) == i


def test_pinned_memory_is_cached():
    x = torch.empty(12345, pin_memory=True)
    address = x.data_ptr()
    del x
    assert torch.empty(12345, pin_memory=True).data_ptr() == address


def test_data_loader_pins():
    data = torch.utils.data.TensorDataset(torch.arange(64.0).reshape(32, 2), torch.arange(32))
    loader = torch.utils.data.DataLoader(data, batch_size=8, pin_memory=True, num_workers=2)
    seen = []
    for inputs, labels in loader:
        assert inputs.is_pinned() and labels.is_pinned()
        assert torch.equal(inputs.to("npu", non_blocking=True).cpu(), inputs)
        seen += labels.tolist()
    assert seen == list(range(32))


def test_is_pinned_starts_nothing(run_python):
    run_python("import torch; assert not torch.ones(2).is_pinned() and not torch.npu.is_initialized()")


# ---- processes and threads --------------------------------------------------------------------------------------------


def test_tensors_die_quietly_in_a_forked_child(run_python):
    run_python(
        """
import os, torch
x = torch.ones(1000).npu(); h = torch.ones(10).pin_memory()
h.to("npu", non_blocking=True)
pid = os.fork()
if pid == 0:
    del x, h
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
assert float(x.sum()) == 1000
"""
    )


def test_tensors_outlive_the_interpreter(run_python):
    done = run_python(
        """
import sys, torch
x = torch.ones(1000).npu() * 2
s = torch.npu.Stream()
x.record_stream(s)
h = torch.ones(1000).pin_memory()
y = h.to("npu", non_blocking=True)
sys.keep = [x, y, h]
"""
    )
    assert done.stderr == ""


def test_threads_allocate_on_streams_of_their_own():
    import threading

    wrong = []

    def work(seed):
        with torch.npu.stream(torch.npu.Stream()):
            for i in range(100):
                x = torch.full((1000 + seed * 100 + i,), float(seed)).npu()
                if float((x + i).sum()) != (seed + i) * x.numel():
                    wrong.append((seed, i))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_devices_have_caches_of_their_own(run_python):
    run_python(
        """
import torch
x = torch.arange(3 << 20, device="npu:1")
assert torch.npu.memory_allocated(0) == 0 and torch.npu.memory_allocated(1) == 8 * (3 << 20)
y = x.to("npu:0")
del x
torch.npu.empty_cache()
assert torch.npu.memory_reserved(1) == 0 and torch.npu.memory_allocated(0) == 8 * (3 << 20)
assert torch.equal(y.cpu(), torch.arange(3 << 20))
torch.npu.set_per_process_memory_fraction(0.001, 1)
total = torch.npu.mem_get_info(1)[1]
try:
    torch.empty(total // 100, dtype=torch.uint8, device="npu:1")
except torch.OutOfMemoryError as e:
    assert "on npu:1." in str(e), e
else:
    raise AssertionError
torch.empty(total // 100, dtype=torch.uint8, device="npu:0")
""",
        SOFTCANN_DEVICE_COUNT="2",
    )


def test_out_of_memory_with_expandable_segments(run_python):
    code = """
import torch
pieces = []
try:
    while True:
        pieces.append(torch.empty(20 << 20, dtype=torch.uint8, device="npu"))
except torch.OutOfMemoryError as e:
    assert "expandable_segments" not in str(e), e
count = len(pieces)
del pieces[::2]
whole = torch.empty(count // 2 * (20 << 20) - (64 << 20), dtype=torch.uint8, device="npu")
whole.fill_(5)
assert int(whole.max()) == 5
"""
    run_python(code, PYTORCH_NPU_ALLOC_CONF="expandable_segments:True,segment_size_mb:2", SOFTCANN_MEMORY="1G")
    coarse = run_python(code, check=False, PYTORCH_NPU_ALLOC_CONF="expandable_segments:True", SOFTCANN_MEMORY="1G")
    assert "add segment_size_mb:2 to PYTORCH_NPU_ALLOC_CONF" in coarse.stderr
