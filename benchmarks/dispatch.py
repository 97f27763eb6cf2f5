"""What the calling thread pays per operator: npu against CPU, in one run.

    python benchmarks/dispatch.py              # instructions (Callgrind, needs valgrind) and wall-time ratios
    python benchmarks/dispatch.py --wall       # wall-time ratios only
    python benchmarks/dispatch.py --ops add mm --adapter   # instructions only, for whichever adapter `import torch_npu` finds

Instructions are counted on the calling thread alone, after warm-up, and repeat within about 1%. Wall time swings with the
machine: only the ratio of one run means something.
"""

import argparse
import ctypes
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALLS = 300
WARM_UP = 200

#: Callgrind client requests as functions: numbers are counted between start() and dump().
MARKERS = """
#include <valgrind/callgrind.h>
extern "C" void start() { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
extern "C" void zero() { CALLGRIND_ZERO_STATS; }
extern "C" void dump(const char* name) { CALLGRIND_DUMP_STATS_AT(name); }
"""


def cases(device):
    """name -> zero-argument function that makes one operator call."""
    import torch

    x, y, out = (torch.ones(1, device=device) for _ in range(3))
    a, b = torch.ones(4, 4, device=device), torch.ones(4, 4, device=device)
    w = torch.ones(1, device=device, requires_grad=True)
    table = {
        "nothing": lambda: None,
        "empty": lambda: torch.empty(1, device=device),
        "empty_strided": lambda: torch.empty_strided((1,), (1,), device=device),
        "view": lambda: x.view(1),
        "detach": lambda: x.detach(),
        "as_strided": lambda: x.as_strided((1,), (1,)),
        "add": lambda: x + y,
        "add_": lambda: x.add_(y),
        "add(out)": lambda: torch.add(x, y, out=out),
        "mul by number": lambda: x * 2.0,
        "mm": lambda: a.mm(b),
        "mul with grad": lambda: w * y,
        "copy_": lambda: x.copy_(y),
    }
    if device != "cpu":
        table["synchronize, idle"] = torch.npu.synchronize
    return table


def synchronize(device):
    import torch

    if device != "cpu":
        torch.npu.synchronize()


def count(device, ops, library):
    """Runs inside Callgrind: one dump per case, named device/case."""
    import torch

    if device != "cpu":
        import torch_npu  # noqa: F401
    torch.set_num_threads(1)
    markers = ctypes.CDLL(library)
    for name, call in cases(device).items():
        if ops and name not in ops and name != "nothing":
            continue
        for _ in range(WARM_UP):
            call()
        synchronize(device)
        markers.start()
        for _ in range(CALLS):
            call()
        markers.dump(f"case={name}=".encode())
        synchronize(device)


def instructions(device, ops=(), python=sys.executable, environment=None):
    """{case: instructions per call on the calling thread}"""
    with tempfile.TemporaryDirectory() as directory:
        source, library = Path(directory, "markers.cpp"), Path(directory, "markers.so")
        source.write_text(MARKERS)
        subprocess.run(["g++", "-O1", "-shared", "-fPIC", source, "-o", library], check=True)
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--separate-threads=yes", "--instr-atstart=no", "--combine-dumps=no",
             f"--callgrind-out-file={directory}/out", python, __file__, "--count", device, "--library", library,
             *(["--ops", *ops] if ops else [])],
            env={**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0", **(environment or {})}, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"valgrind failed:\n{done.stderr[-3000:]}")
        totals = {}
        for dump in Path(directory).glob("out.*-01"):  # thread 1 is the calling thread
            text = dump.read_text(errors="replace")
            case = re.search(r"Client Request: case=(.*?)=", text)
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
            if case and total:
                totals[case[1]] = int(total[1]) / CALLS
    loop = totals.pop("nothing", 0)
    return {name: value - loop for name, value in totals.items()}


def wall(device, name, calls=10_000):
    """Seconds that the caller needs for `calls` calls in a row, the best of five."""
    call = cases(device)[name]
    for _ in range(1000):
        call()
    best = float("inf")
    for _ in range(5):
        synchronize(device)
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        best = min(best, time.perf_counter() - begin)
    synchronize(device)
    return best


def print_instructions():
    cpu, npu = instructions("cpu"), instructions("npu")
    print(f"{'instructions per call':<24}{'cpu':>9}{'npu':>9}{'npu/cpu':>9}")
    for name, value in npu.items():
        other = cpu.get(name)
        print(f"{name:<24}{other or 0:>9,.0f}{value:>9,.0f}{value / other if other else float('nan'):>9.2f}")


def print_wall():
    import torch
    import torch_npu  # noqa: F401

    torch.set_num_threads(1)
    print(f"{'10,000 calls, caller':<24}{'cpu us':>9}{'npu us':>9}{'npu/cpu':>9}")
    for name in ("add", "add_", "mm", "empty", "view"):
        cpu, npu = wall("cpu", name), wall("npu", name)
        print(f"{name:<24}{cpu * 100:>9.2f}{npu * 100:>9.2f}{npu / cpu:>9.2f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--wall", action="store_true", help="wall-time ratios only")
    parser.add_argument("--adapter", action="store_true", help="print npu instructions as JSON, for comparing adapters")
    parser.add_argument("--ops", nargs="*", default=())
    parser.add_argument("--count", help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.count:
        count(args.count, args.ops, args.library)
    elif args.adapter:
        print(json.dumps(instructions("npu", args.ops)))
    else:
        if not args.wall:
            print_instructions()
        print_wall()


if __name__ == "__main__":
    main()
