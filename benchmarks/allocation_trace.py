"""Fragmentation: the allocations of real training runs, replayed through the allocator.

    python benchmarks/allocation_trace.py            # records two trainings, replays them with and without expandable segments

`reserved / in use` is at their peaks, each over the whole trace. The line "other policy" is what rounding to 512 bytes, 2 MiB and
20 MiB segments and best fit, PyTorch's policy for CUDA devices, comes to on the same trace: it is this allocator without expandable segments.
"""

import json
import os
import subprocess
import sys
import tempfile

BAR = 1.10


def record(path, name):
    import random

    import torch
    import torch_npu  # noqa: F401
    from torch import nn

    torch.manual_seed(0)
    random.seed(0)
    torch.npu.memory._record_memory_history(context=None, max_entries=10**7, clear_history=True)
    layer = nn.TransformerEncoderLayer(256, 4, 1024, dropout=0.1, batch_first=True)
    model = nn.TransformerEncoder(layer, 4 if name == "variable-length batches" else 12, enable_nested_tensor=False).to("npu")
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    for _ in range(12):
        length = random.randrange(16, 160) if name == "variable-length batches" else 64
        with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):  # its scores and masks make more, and more varied, allocations
            loss = model(torch.randn(random.randrange(2, 9) if name == "variable-length batches" else 4, length, 256).npu()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    (trace,) = torch.npu.memory._snapshot()["device_traces"]
    events = [(e["action"] == "alloc", e["addr"], e["size"]) for e in trace if e["action"] in ("alloc", "free_completed")]
    with open(path, "w") as file:
        json.dump(events, file)


def replay(path):
    import torch
    import torch_npu  # noqa: F401

    with open(path) as file:
        events = json.load(file)
    live, used, peak_used = {}, 0, 0
    for allocate, address, size in events:
        if allocate:
            live[address] = (torch.npu.caching_allocator_alloc(size), size)
            used += size
            peak_used = max(peak_used, used)
        elif address in live:
            mine, size = live.pop(address)
            torch.npu.caching_allocator_delete(mine)
            used -= size
    peak_reserved = torch.npu.max_memory_reserved()
    for mine, _ in live.values():
        torch.npu.caching_allocator_delete(mine)
    torch.npu.empty_cache()
    print(json.dumps([len(events), peak_used, peak_reserved, torch.npu.memory_reserved()]))


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
    print(f"{'trace':<26}{'events':>9}{'peak MB':>9}  {'segments':<14}{'reserved / in use':>18}{'left':>6}")
    for name in ("variable-length batches", "large model"):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "trace")
            run("record", path, name)
            for title, settings in (("expandable", "expandable_segments:True,segment_size_mb:2"), ("other policy", "")):
                events, used, reserved, left = json.loads(run("replay", path, PYTORCH_NPU_ALLOC_CONF=settings))
                ours = title == "expandable"
                met = not ours or (reserved / used <= BAR and left == 0)
                missed += not met
                print(f"{name:<26}{events:>9}{used / 1e6:>9.0f}  {title:<14}{reserved / used:>18.3f}{left:>6}  "
                      f"{('met' if met else 'NOT MET') + f' (bar {BAR})' if ours else ''}", flush=True)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
