"""What the allocator's settings do: each in a process of its own, on a device of 1 GiB."""

import pytest
import torch
import torch_npu  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

PRELUDE = """
import torch, torch_npu
MIB = 1 << 20
def npu_bytes(n): return torch.empty(n, dtype=torch.uint8, device="npu")
def reserved(): return torch.npu.memory_reserved() // MIB
def allocated(): return torch.npu.memory_allocated()
"""


@pytest.fixture
def run(run_python):
    def run(code, settings=None):
        return run_python(PRELUDE + code, PYTORCH_NPU_ALLOC_CONF=settings, SOFTCANN_MEMORY="1G")

    return run


TWO_CACHED_BLOCKS = """
old, new, kept = npu_bytes(100 * MIB), npu_bytes(150 * MIB), npu_bytes(200 * MIB)
address = new.data_ptr()
del old
torch.empty(1, device="npu")
del new
before = reserved() - 2  # the small segment
assert before == 450, before
more = npu_bytes(160 * MIB)
"""


def test_without_garbage_collection_cached_blocks_stay(run):
    run(TWO_CACHED_BLOCKS + "assert reserved() - 2 == 610, reserved()")


def test_garbage_collection_gives_the_longest_unused_back(run):
    # 450 + 160 is more than 0.5 of 1024 by 98: the older block is enough.
    run(TWO_CACHED_BLOCKS + """
assert reserved() - 2 == 510, reserved()
assert npu_bytes(150 * MIB).data_ptr() == address
""", "garbage_collection_threshold:0.5")


def test_split_limit_keeps_large_blocks_whole(run):
    use = """
large = npu_bytes(100 * MIB)
address = large.data_ptr()
del large
small = npu_bytes(30 * MIB)
"""
    run(use + "assert small.data_ptr() == address and reserved() == 100", None)
    run(use + """
assert small.data_ptr() != address and reserved() == 130, reserved()
again = npu_bytes(95 * MIB)   # above the limit, so it may have the block, which is not split for it
assert again.data_ptr() == address and allocated() == 130 * MIB, allocated()
assert torch.npu.memory_stats()["oversize_allocations.current"] == 1
assert torch.npu.memory_stats()["max_split_size"] == 64 * MIB
""", "max_split_size_mb:64")


def test_split_limit_gives_oversize_blocks_back_before_memory_runs_out(run):
    run("""
large = [npu_bytes(300 * MIB) for _ in range(3)]
del large
x = npu_bytes(700 * MIB)      # 900 of 1024 are cached in pieces that do not fit
assert reserved() <= 1024 and torch.npu.memory_stats()["num_ooms"] == 0
""", "max_split_size_mb:64")


@pytest.mark.parametrize("settings, expected", [
    (None, [1200, 3000, 34 * 1024]),
    ("roundup_power2_divisions:4", [1280, 3072, 40 * 1024]),
    ("roundup_power2_divisions:[1:8,2:2,>:1]", [1280, 3072, 34 * 1024]),
])
def test_roundup_to_divisions_of_a_power_of_two(run, settings, expected):
    run(f"""
sizes = []
for kib in (1200, 3000, 34 * 1024):
    before = allocated()
    x = npu_bytes(kib << 10)
    sizes.append((allocated() - before) >> 10)
    del x
assert sizes == {expected}, sizes
""", settings)


def test_memory_fraction_limits_what_is_reserved(run):
    use = """
x = npu_bytes(200 * MIB)
try:
    npu_bytes(100 * MIB)
    assert False, "more than the limit"
except torch.OutOfMemoryError as e:
    assert "memory fraction 0.25" in str(e) and "set_per_process_memory_fraction" in str(e), e
assert reserved() <= 256
del x
y = npu_bytes(230 * MIB)      # what was cached makes room
assert reserved() <= 256
torch.npu.set_per_process_memory_fraction(1.0)
z = npu_bytes(500 * MIB)
"""
    run("torch.npu.set_per_process_memory_fraction(0.25)\n" + use)
    run(use, "per_process_memory_fraction:0.25")
    run(use, "per_process_memory_fraction:0.25,expandable_segments:True")
