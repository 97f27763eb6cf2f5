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
    assert pinned.pin_memory() is pinned


def test_factory_functions_pin():
    assert torch.empty(5, pin_memory=True).is_pinned()


def test_pinned_memory_waits_for_its_copies():
    for i in range(50):
        x = torch.full((100_000,), float(i)).pin_memory()
        y = x.to("npu", non_blocking=True)
        del x  # its memory must not be handed out before the copy has read it
        torch.full((100_000,), -1.0).pin_memory()
        assert float(y.min()) == float(y.max()) == i


def test_pinned_memory_is_cached():
    x = torch.empty(12345).pin_memory()
    address = x.data_ptr()
    del x
    assert torch.empty(12345).pin_memory().data_ptr() == address


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


# ---- private pools, snapshots, observers, other allocators ------------------------------------------------------------------


def test_pool_keeps_its_memory_apart(clean):
    pool = torch.npu.MemPool()
    assert pool.use_count() == 1
    with torch.npu.use_mem_pool(pool):
        inside = npu_bytes(3 * MIB)
        assert pool.use_count() == 2
        with pytest.raises(RuntimeError, match="already in use"), torch.npu.use_mem_pool(pool):
            pass
    assert pool.use_count() == 1
    outside = npu_bytes(3 * MIB)
    (segment,) = pool.snapshot()
    assert segment["segment_pool_id"] == pool.id and segment["allocated_size"] == 3 * MIB
    assert segment["address"] <= inside.data_ptr() < segment["address"] + segment["total_size"]
    assert not segment["address"] <= outside.data_ptr() < segment["address"] + segment["total_size"]
    address = inside.data_ptr()
    del inside, segment
    assert npu_bytes(3 * MIB).data_ptr() != address
    with torch.npu.use_mem_pool(pool):
        assert npu_bytes(3 * MIB).data_ptr() == address
    id = pool.id
    torch.npu.empty_cache()
    assert torch.npu.memory_snapshot(id) != []  # the pool lives
    del pool
    torch.npu.empty_cache()
    assert torch.npu.memory_snapshot(id) == []


def test_pool_is_for_the_calling_thread_only(clean):
    import threading

    pool, addresses = torch.npu.MemPool(), []
    with torch.npu.use_mem_pool(pool):
        mine = npu_bytes(MIB)
        thread = threading.Thread(target=lambda: addresses.append(npu_bytes(MIB).data_ptr()))
        thread.start()
        thread.join()
    (segment,) = pool.snapshot()
    inside = range(segment["address"], segment["address"] + segment["total_size"])
    assert mine.data_ptr() in inside and addresses[0] not in inside


def test_history_says_where_memory_came_from(clean, tmp_path):
    import pickle

    from torch.cuda import _memory_viz

    def this_function_allocates():
        return npu_bytes(5 * MIB)

    torch.npu.memory._record_memory_history(max_entries=100, stacks="python", clear_history=True)
    try:
        x = this_function_allocates()
        address = x.data_ptr()
        npu_bytes(2 * MIB)
        torch.npu.memory._dump_snapshot(tmp_path / "snapshot.pickle")
    finally:
        torch.npu.memory._record_memory_history(None)
    snapshot = pickle.loads((tmp_path / "snapshot.pickle").read_bytes())
    blocks = [b for s in snapshot["segments"] for b in s["blocks"] if b["address"] == address]
    assert [b["state"] for b in blocks] == ["active_allocated"] and blocks[0]["requested_size"] == 5 * MIB
    assert "this_function_allocates" in [f["name"] for f in blocks[0]["frames"]]
    trace = snapshot["device_traces"][0]
    events = [e["action"] for e in trace]
    assert events.index("alloc") < events.index("free_requested") < events.index("free_completed")
    (allocation,) = [e for e in trace if e["action"] == "alloc" and e["addr"] == address]
    assert any(f["filename"] == __file__ for f in allocation["frames"])
    # torch's own viewers take it.
    assert "5.0MiB" in _memory_viz.trace(snapshot)
    assert "<html" in _memory_viz.trace_plot(snapshot).lower()
    before = len(torch.npu.memory._snapshot()["device_traces"][0])
    npu_bytes(2 * MIB)
    assert len(torch.npu.memory._snapshot()["device_traces"][0]) == before  # off


def test_observer_sees_an_allocation_fail(run_python):
    run_python("""
import torch, torch_npu
seen = []
torch.npu.memory._attach_out_of_memory_observer(lambda *what: seen.append(what))
torch.npu.set_per_process_memory_fraction(0.5)
assert torch.npu.get_per_process_memory_fraction() == 0.5
total = torch.npu.mem_get_info()[1]
try:
    torch.empty(total * 3 // 4, dtype=torch.uint8, device="npu")
    assert False
except torch.OutOfMemoryError as e:
    assert "memory fraction 0.5" in str(e), e
(device, asked, whole, free), = seen
assert (device, asked, whole) == (0, total * 3 // 4, total) and 0 < free <= total
""", SOFTCANN_MEMORY="1G")


OWN_ALLOCATOR = """
#include <dlfcn.h>
#include <sys/types.h>
static int made = 0, gone = 0;
extern "C" void* own_malloc(ssize_t size, int, void*) {
  void* p = nullptr;
  auto f = (int (*)(void**, size_t, int))dlsym(RTLD_DEFAULT, "aclrtMalloc");
  if (f == nullptr) f = (int (*)(void**, size_t, int))dlsym(dlopen("libascendcl.so", RTLD_NOW | RTLD_NOLOAD), "aclrtMalloc");
  if (f(&p, size, 0) != 0) return nullptr;
  ++made;
  return p;
}
extern "C" void own_free(void* p, ssize_t, int, void* stream) {
  void* acl = dlopen("libascendcl.so", RTLD_NOW | RTLD_NOLOAD);
  ((int (*)(void*))dlsym(acl, "aclrtSynchronizeStream"))(stream);
  ((int (*)(void*))dlsym(acl, "aclrtFree"))(p);
  ++gone;
}
extern "C" int counted() { return made * 1000 + gone; }
"""


@pytest.fixture(scope="session")
def own_allocator(tmp_path_factory):
    """A library with own_malloc and own_free on CANN's functions, and counts of what they did."""
    import subprocess

    directory = tmp_path_factory.mktemp("own")
    source, library = directory / "own.cpp", directory / "own.so"
    source.write_text(OWN_ALLOCATOR)
    subprocess.run(["g++", "-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"], check=True)
    return library


def test_pluggable_allocator(run_python, own_allocator):
    run_python(f"""
import ctypes, torch, torch_npu
with_wrong_name = torch.npu.NPUPluggableAllocator("{own_allocator}", "no_such", "own_free")
try:
    torch.npu.change_current_allocator(with_wrong_name)
    assert False
except RuntimeError as e:
    assert "has no function no_such" in str(e), e
torch.npu.change_current_allocator(torch.npu.NPUPluggableAllocator("{own_allocator}", "own_malloc", "own_free"))
assert torch.npu.get_allocator_backend() == "pluggable"
x = torch.arange(4.).npu()
y = x + x
assert y.cpu().tolist() == [0., 2., 4., 6.]
del x, y
counted = ctypes.CDLL("{own_allocator}").counted()
assert counted == 2002, counted
assert torch.npu.memory_allocated() == 0
""")
    run_python(f"""
import torch, torch_npu
x = torch.ones(2).npu()
assert torch.npu.get_allocator_backend() == "native"
try:
    torch.npu.change_current_allocator(torch.npu.NPUPluggableAllocator("{own_allocator}", "own_malloc", "own_free"))
    assert False
except RuntimeError as e:
    assert "npu memory is in use" in str(e), e
""")


def test_pool_with_an_allocator_of_its_own(run_python, own_allocator):
    for settings in ("", "expandable_segments:True"):
        run_python(f"""
import ctypes, torch, torch_npu
allocator = torch.npu.NPUPluggableAllocator("{own_allocator}", "own_malloc", "own_free")
counted = ctypes.CDLL("{own_allocator}").counted
pool = torch.npu.MemPool(allocator.allocator())
with torch.npu.use_mem_pool(pool):
    x = torch.arange(4.).npu()
    y = torch.ones(30 << 20, dtype=torch.uint8, device="npu")
assert counted() == 2000, counted()          # a small and a large segment
z = x.npu() + 1                              # from the cache as ever
assert counted() == 2000 and z.tolist() == [1, 2, 3, 4]
(small, large) = sorted(s["total_size"] for s in pool.snapshot())
assert small == 2 << 20 and 30 << 20 <= large <= 32 << 20
del x, y
torch.npu.empty_cache()
assert counted() == 2000                     # the pool keeps them
del pool
torch.npu.empty_cache()
assert counted() == 2002, counted()
try:
    torch.npu.MemPool(allocator)
    assert False
except TypeError as e:
    assert "NPUPluggableAllocator.allocator()" in str(e), e
""", PYTORCH_NPU_ALLOC_CONF=settings)


def test_pool_that_helps_out(run_python):
    run_python("""
import torch, torch_npu
MIB = 1 << 20
def npu_bytes(n): return torch.empty(n, dtype=torch.uint8, device="npu")
for helps in (False, True):
    pool = torch.npu.MemPool(use_on_oom=helps)
    with torch.npu.use_mem_pool(pool):
        inside = npu_bytes(600 * MIB)
    address = inside.data_ptr()
    del inside
    try:
        outside = npu_bytes(500 * MIB)       # 424 are left on the device
        assert helps and outside.data_ptr() == address
        (segment,) = pool.snapshot()
        assert segment["allocated_size"] == 500 * MIB
    except torch.OutOfMemoryError:
        assert not helps
    outside = segment = None
    del pool
    torch.npu.empty_cache()
    assert torch.npu.memory_reserved() == 0
""", SOFTCANN_MEMORY="1G")


def test_pool_that_does_not_split(clean):
    for no_split, expected in ((False, [20 * MIB]), (True, [4 * MIB, 2 * MIB, 2 * MIB])):
        pool = torch.npu.MemPool(no_split=no_split)
        with torch.npu.use_mem_pool(pool):
            tensors = [npu_bytes(n) for n in (3 * MIB, 2 * MIB, 1 * MIB + 512)]
            sizes = sorted((s["total_size"] for s in pool.snapshot()), reverse=True)
            assert sizes == expected, sizes
            assert all(len(s["blocks"]) == 1 for s in pool.snapshot()) == no_split
            del tensors
            again = [npu_bytes(n) for n in (3 * MIB, 2 * MIB, 1 * MIB + 512)]
            assert sorted((s["total_size"] for s in pool.snapshot()), reverse=True) == expected  # used again
            del again
        del pool
        torch.npu.empty_cache()


def test_host_memory_stats():
    torch.npu.init()
    torch.npu.host_empty_cache()
    torch.npu.reset_peak_host_memory_stats()
    torch.npu.reset_accumulated_host_memory_stats()
    before = torch.npu.host_memory_stats()
    x = torch.empty(3 * MIB, dtype=torch.uint8).pin_memory()
    now = torch.npu.host_memory_stats()
    assert now["active_bytes.current"] - before["active_bytes.current"] == 4 * MIB  # a power of two
    assert now["active_requests.current"] - before["active_requests.current"] == 1
    assert now["num_host_alloc"] - before["num_host_alloc"] == 1 and now["host_alloc_time.total"] >= 0
    assert now["allocated_bytes.allocated"] == 4 * MIB
    del x
    cached = torch.npu.host_memory_stats()
    assert cached["active_bytes.current"] == before["active_bytes.current"]
    assert cached["allocated_bytes.current"] == now["allocated_bytes.current"]
    torch.npu.host_empty_cache()
    after = torch.npu.host_memory_stats()
    assert after["allocated_bytes.current"] == now["allocated_bytes.current"] - 4 * MIB and after["num_host_free"] >= 1
    assert after["allocated_bytes.peak"] >= now["allocated_bytes.current"]
    torch.npu.reset_peak_host_memory_stats()
    assert torch.npu.host_memory_stats()["allocated_bytes.peak"] == after["allocated_bytes.current"]
    nested = torch.npu.host_memory_stats_as_nested_dict()
    assert nested["active_bytes"]["peak"] == torch.npu.host_memory_stats()["active_bytes.peak"]


def test_host_memory_stats_start_nothing(run_python):
    run_python("""
import torch, torch_npu
assert torch.npu.host_memory_stats() == {} and torch.npu.host_memory_stats_as_nested_dict() == {}
torch.npu.reset_peak_host_memory_stats(), torch.npu.reset_accumulated_host_memory_stats(), torch.npu.host_empty_cache()
assert not torch.npu.is_initialized()
""")


# ---- addresses without memory, memory without marks ---------------------------------------------------------------------------------


def test_empty_virt_addr_cache(run_python):
    done = run_python("""
import torch, torch_npu
x = torch.empty(100 << 20, dtype=torch.uint8, device="npu")
free = torch.npu.mem_get_info()[0]
del x
torch.npu.empty_virt_addr_cache()
assert torch.npu.memory_reserved() == 0
assert torch.npu.mem_get_info()[0] == free            # the memory stays with the process
y = torch.ones(80 << 20, dtype=torch.uint8, device="npu")
assert torch.npu.mem_get_info()[0] == free and y[-1].item() == 1
del y
torch.npu.empty_cache()
assert torch.npu.mem_get_info()[0] >= free + (100 << 20)
print("ok")
""", PYTORCH_NPU_ALLOC_CONF="expandable_segments:True")
    assert done.stdout == "ok\n"


def test_kept_memory_serves_what_needs_it(run_python):
    done = run_python("""
import torch, torch_npu
total = torch.npu.mem_get_info()[1]
x = torch.empty(total * 3 // 4, dtype=torch.uint8, device="npu")
del x
torch.npu.empty_virt_addr_cache()
torch.npu.memory._set_allocator_settings("expandable_segments:False")
y = torch.empty(total // 2, dtype=torch.uint8, device="npu")   # an ordinary segment
print(torch.npu.memory_stats()["num_ooms"])
""", PYTORCH_NPU_ALLOC_CONF="expandable_segments:True", SOFTCANN_MEMORY="1G", TORCH_NPU_BACKEND="softcann")
    assert done.stdout == "0\n"


def test_empty_virt_addr_cache_needs_expandable_segments(run_python):
    done = run_python("""
import torch
torch.npu.empty_virt_addr_cache()        # nothing has been used
x = torch.ones(2, device="npu")
try:
    torch.npu.empty_virt_addr_cache()
except RuntimeError as e:
    print(e)
""", PYTORCH_NPU_ALLOC_CONF="expandable_segments:False")
    assert "Set PYTORCH_NPU_ALLOC_CONF=expandable_segments:True, or call empty_cache()" in done.stdout


def test_erase_stream_lets_memory_be_used_again():
    gate, side = torch.npu.ExternalEvent(), torch.npu.Stream()
    torch.npu.synchronize()
    addresses = []
    for erase in (False, True):
        x = torch.empty(3 << 20, dtype=torch.uint8, device="npu")
        address = x.data_ptr()
        gate.wait(side)              # side is not through with it for long
        x.record_stream(side)
        if erase:
            torch_npu.erase_stream(x, side)
        del x
        again = torch.empty(3 << 20, dtype=torch.uint8, device="npu")
        addresses.append(again.data_ptr() == address)
        del again
        gate.record()
        side.synchronize()
    assert addresses == [False, True]
    with pytest.raises(TypeError, match="Expected an npu tensor, got one on cpu"):
        torch_npu.erase_stream(torch.ones(1), side)
