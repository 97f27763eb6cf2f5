"""Fragmentation: the allocations of real training runs, replayed through the allocator.

    python benchmarks/allocation_trace.py

Two kinds of training are recorded, a transformer on batches of varying length (three times, with other lengths) and a deeper one on
batches of one length. Each trace is replayed by the allocator with and without expandable segments (of granules of 2 MiB), and by a model of what PyTorch documents
of its CUDA allocator's default policy (`CudaPolicy`). `reserved / in use` is at their peaks, each over the whole trace; in use is what
tensors asked for, rounded up to 512 bytes. The trainings use some 200 to 600 MiB; much below that, granules of 2 MiB (two ranges, each with one that
is partly used) are a good part of what is reserved.
"""

import bisect
import json
import os
import subprocess
import sys
import tempfile

BAR = 1.10
MIB = 1 << 20

#: name -> width, layers, batch sizes, lengths, seed
TRAININGS = {
    "variable-length batches": (512, 4, (2, 9), (32, 320), 0),
    "other lengths": (512, 4, (2, 9), (32, 320), 1),
    "and others": (512, 4, (2, 9), (32, 320), 2),
    "deeper, one length": (256, 12, (4, 5), (64, 65), 0),
}


def record(path, name):
    import random

    import torch
    import torch_npu  # noqa: F401
    from torch import nn

    width, layers, batches, lengths, seed = TRAININGS[name]
    torch.manual_seed(seed)
    random.seed(seed)
    torch.npu.memory._record_memory_history(context=None, max_entries=10**7, clear_history=True)
    layer = nn.TransformerEncoderLayer(width, width // 64, 4 * width, dropout=0.1, batch_first=True)
    model = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False).to("npu")
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    for _ in range(12):
        length, batch = random.randrange(*lengths), random.randrange(*batches)
        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):  # its scores and masks make more, and more varied, allocations
            loss = model(torch.randn(batch, length, width).npu()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    (trace,) = torch.npu.memory._snapshot()["device_traces"]
    events = [(e["action"] == "alloc", e["addr"], e["size"]) for e in trace if e["action"] in ("alloc", "free_completed")]
    with open(path, "w") as file:
        json.dump(events, file)


def replay_events(events, allocate, free):
    """Makes the calls of a trace; returns the most memory in use."""
    live, used, peak_used = {}, 0, 0
    for is_allocation, address, size in events:
        if is_allocation:
            live[address] = (allocate(size), -(-size // 512) * 512)
            used += live[address][1]
            peak_used = max(peak_used, used)
        elif address in live:
            mine, size = live.pop(address)
            free(mine)
            used -= size
    for mine, _ in live.values():
        free(mine)
    return peak_used


def replay(path):
    import torch
    import torch_npu  # noqa: F401

    with open(path) as file:
        events = json.load(file)
    peak_used = replay_events(events, torch.npu.caching_allocator_alloc, torch.npu.caching_allocator_delete)
    peak_reserved = torch.npu.max_memory_reserved()
    torch.npu.empty_cache()
    print(json.dumps([peak_used, peak_reserved, torch.npu.memory_reserved()]))


class CudaPolicy:
    """The default policy of PyTorch's CUDA allocator for one stream, as its documentation and comments state it: sizes are multiples of 512
    bytes; up to 1 MiB they come from segments of 2 MiB, below 10 MiB from segments of 20 MiB, else from a segment of their own in multiples of
    2 MiB; the smallest free block that fits is taken, and split if at least 512 bytes (small) or more than 1 MiB (large) remain;
    free neighbours merge. Addresses only say which block is whose neighbour."""

    def __init__(self):
        self.free = {True: [], False: []}  # by small: (size, address), sorted
        self.size, self.small, self.before, self.after = {}, {}, {}, {}
        self.next_segment = self.reserved = self.peak_reserved = 0

    def allocate(self, size):
        size = max(512, -(-size // 512) * 512)
        small = size <= MIB
        free = self.free[small]
        fitting = bisect.bisect_left(free, (size, 0))
        if fitting < len(free):
            _, address = free.pop(fitting)
        else:
            address = self._new_segment(2 * MIB if small else 20 * MIB if size < 10 * MIB else -(-size // (2 * MIB)) * 2 * MIB, small)
        rest = self.size[address] - size
        if rest >= 512 if small else rest > MIB:
            self._insert_after(address, address + size, rest)
            self.size[address] = size
            bisect.insort(free, (rest, address + size))
        return address

    def release(self, address):
        free = self.free[self.small[address]]
        for neighbour in (self.after[address], self.before[address]):
            entry = (self.size.get(neighbour), neighbour)
            at = bisect.bisect_left(free, entry) if neighbour is not None else len(free)
            if at < len(free) and free[at] == entry:
                free.pop(at)
                address = self._merge(min(address, neighbour), max(address, neighbour))
        bisect.insort(free, (self.size[address], address))

    def _new_segment(self, size, small):
        address = self.next_segment
        self.next_segment += 2 * size  # no two segments touch
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        self.size[address], self.small[address], self.before[address], self.after[address] = size, small, None, None
        return address

    def _insert_after(self, address, new, size):
        following = self.after[address]
        self.size[new], self.small[new], self.before[new], self.after[new] = size, self.small[address], address, following
        self.after[address] = new
        if following is not None:
            self.before[following] = new

    def _merge(self, low, high):
        self.size[low] += self.size.pop(high)
        following = self.after[low] = self.after.pop(high)
        if following is not None:
            self.before[following] = low
        del self.small[high], self.before[high]
        return low


def run(*arguments, **environment):
    done = subprocess.run([sys.executable, __file__, *arguments], env={**os.environ, **environment}, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout


def main():
    if sys.argv[1:2] == ["record"]:
        return record(*sys.argv[2:])
    if sys.argv[1:2] == ["replay"]:
        return replay(sys.argv[2])
    missed = 0
    print(f"{'trace':<25}{'events':>8}{'in use':>9}{'reserved / in use:':>23}{'expandable':>11}{'separate':>10}{'CUDA policy':>13}{'left':>6}")
    for name in TRAININGS:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "trace")
            run("record", path, name)
            used, expandable, left = json.loads(run("replay", path, PYTORCH_NPU_ALLOC_CONF="expandable_segments:True,segment_size_mb:2"))
            _, separate, left_there = json.loads(run("replay", path, PYTORCH_NPU_ALLOC_CONF=""))
            with open(path) as file:
                events = json.load(file)
        policy = CudaPolicy()
        replay_events(events, policy.allocate, policy.release)
        met = expandable / used <= BAR and left == left_there == 0
        missed += not met
        print(f"{name:<25}{len(events):>8}{used / MIB:>5.0f} MiB{'':>23}{expandable / used:>11.3f}{separate / used:>10.3f}"
              f"{policy.peak_reserved / used:>13.3f}{left + left_there:>6}  {'met' if met else 'NOT MET'} (bar {BAR})", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
