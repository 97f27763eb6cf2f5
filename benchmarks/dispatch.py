"""What the calling thread pays per operator: npu against CPU, in one run. One table with the bar of each line.

    python benchmarks/dispatch.py              # everything (Callgrind lines need valgrind)
    python benchmarks/dispatch.py --wall       # wall-time ratios only
    python benchmarks/dispatch.py --vendor PYTHON   # and against the vendor's adapter, on softcann, in that interpreter's environment

Instructions are counted on the calling thread alone, after warm-up, and repeat within about 1%. Wall time swings with the
machine: only the ratio of one run means something, and only where the calling thread, the queue's and the device's find a core each for some of the
rounds.
"""

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CALLS = 300
WARM_UP = 200
ROUNDS = 30

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


class Counts(dict):
    """{case: instructions per call on the calling thread}, with heap allocations per call and the cost of single functions."""

    def __init__(self):
        self.allocations, self.inclusive = {}, {}


#: Functions whose cost, with everything they call, is a line of its own: the device allocator behind c10's interface.
ALLOCATE_AND_FREE = re.compile(r"memory::\(anonymous namespace\)::(Allocator::allocate|delete_block)\(")


def read_profile(text):
    """(instructions, heap allocations, instructions inside the device allocator) of one Callgrind dump."""
    names, total, allocations, inside = {}, 0, 0, 0
    caller = callee = ""

    def name(line):
        number, _, rest = line.partition("=")[2].partition(" ")
        return names.setdefault(number, rest) if rest else names.get(number, "")

    calls = None
    for line in text.splitlines():
        if line.startswith("fn="):
            caller = name(line)
        elif line.startswith("cfn="):
            callee = name(line)
        elif line.startswith("calls="):
            calls = int(line[6:].split()[0])
        elif calls is not None:
            cost = int(line.split()[-1])
            if re.match(r"(malloc|posix_memalign|calloc|realloc)(@|$)", callee):
                allocations += calls
            if ALLOCATE_AND_FREE.search(callee) and not ALLOCATE_AND_FREE.search(caller):
                inside += cost
            calls = None
        elif line.startswith(("totals:", "summary:")):
            total = int(line.split()[1])
    return total / CALLS, allocations / CALLS, inside / CALLS


def instructions(device, ops=(), python=sys.executable, environment=None):
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
        counts = Counts()
        for dump in Path(directory).glob("out.*-01"):  # thread 1 is the calling thread
            text = dump.read_text(errors="replace")
            if case := re.search(r"Client Request: case=(.*?)=", text):
                counts[case[1]], counts.allocations[case[1]], counts.inclusive[case[1]] = read_profile(text)
    loop, made = counts.pop("nothing", 0), counts.allocations.pop("nothing", 0)
    for name in counts:
        counts[name] -= loop
        counts.allocations[name] -= made
    return counts


def wall(name, busy=False, devices=("cpu", "npu"), calls=10_000, rounds=ROUNDS):
    """Seconds that the caller needs for `calls` calls in a row on each device. They take turns, and the best of the rounds counts: what else runs
    on the machine only adds."""
    import torch

    best, load = {}, {}
    table = {device: cases(device)[name] for device in devices}
    for device, call in table.items():
        for _ in range(1000):
            call()
        load[device] = torch.ones(700, 700, device=device)
        best[device] = float("inf")
    for _ in range(rounds):
        for device, call in table.items():
            synchronize(device)
            if busy and device != "cpu":
                for _ in range(8):
                    load[device] = load[device].mm(load[device])
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            best[device] = min(best[device], time.perf_counter() - begin)
            synchronize(device)
    return [best[device] for device in devices]


IMPORT = """
import os, sys, time
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
begin = time.perf_counter()
import torch
middle, before, threads = time.perf_counter(), resident(), len(os.listdir("/proc/self/task"))
import torch_npu
end = time.perf_counter()
print(end - middle, middle - begin, resident() - before, len(os.listdir("/proc/self/task")) - threads, int(torch.npu.is_initialized()))
"""


def import_cost():
    """(share of torch's import time, bytes, threads, devices started), the best of three."""
    best = None
    for _ in range(3):
        out = subprocess.run([sys.executable, "-c", IMPORT], env={**os.environ, "TORCH_DEVICE_BACKEND_AUTOLOAD": "0"},
                             capture_output=True, text=True, check=True).stdout.split()
        own, torchs, memory, threads, started = map(float, out)
        best = min(best or (9, 0, 0, 0), (own / torchs, memory, threads, started))
    return best


def softcann_environment():
    """What softcann's set_env.sh sets, as for any program that looks for an installed CANN."""
    prefix = subprocess.run([sys.executable, "-m", "torch_npu.softcann", "--prefix"], capture_output=True, text=True, check=True).stdout.strip()
    out = subprocess.run(["bash", "-c", f'. "{prefix}/set_env.sh" && env -0'], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in out.split("\0") if "=" in line)


class Table:
    """`measure  value  bar  verdict`, a line at a time."""

    def __init__(self):
        self.missed = 0
        print(f"{'measure':<44}{'cpu':>9}{'npu':>9}{'value':>9}{'bar':>9}")

    def row(self, name, value, bar, cpu="", npu="", digits=2):
        met = value <= bar
        self.missed += not met
        text = [f"{v:,.0f}" if isinstance(v, float) else str(v) for v in (cpu, npu)]
        print(f"{name:<44}{text[0]:>9}{text[1]:>9}{value:>9,.{digits}f}{bar:>9,.{digits}f}  {'met' if met else 'NOT MET'}", flush=True)

    def unmeasured(self, name, why):
        self.missed += 1
        print(f"{name:<44}  not measured: {why}", flush=True)


#: measure -> most that npu / CPU may be
INSTRUCTION_BARS = {
    "add": 1.0, "mm": 1.0, "add_": 1.0, "mul with grad": 1.0, "add(out)": 1.0, "mul by number": 1.0, "copy_": 1.05, "empty": 1.15,
    "empty_strided": 1.15, "view": 1.05, "detach": 1.05, "as_strided": 1.05,
}
#: measure -> most that npu / the vendor's adapter may be
VENDOR_BARS = {"add": 0.40, "mm": 0.40, "add_": 0.65, "empty": 0.65}


def instruction_rows(table, vendor):
    cpu, npu = instructions("cpu"), instructions("npu")
    for name, bar in INSTRUCTION_BARS.items():
        table.row(f"{name}: instructions", npu[name] / cpu[name], bar, cpu[name], npu[name])
    table.row("idle synchronize: instructions", npu["synchronize, idle"], 2000, "", npu["synchronize, idle"], 0)
    if npu.inclusive["empty"]:
        table.row("cached allocate + free: instructions", npu.inclusive["empty"], 1000, "", npu.inclusive["empty"], 0)
    else:  # nothing was found under the functions' names
        table.unmeasured("cached allocate + free: instructions", "a wheel's library has no symbols; bash ci/develop.sh installs one that has")
    for name in ("add", "mm"):  # the CPU's are the same objects and the tensor's memory
        table.row(f"{name}: heap allocations beyond the tensor", npu.allocations[name] - (cpu.allocations[name] - 1), 0,
                  round(cpu.allocations[name], 1), round(npu.allocations[name], 1), 1)
    if vendor:
        theirs = instructions("npu", list(VENDOR_BARS), vendor, softcann_environment())
        for name, bar in VENDOR_BARS.items():
            table.row(f"{name}: instructions, npu / vendor ({theirs[name]:,.0f})", npu[name] / theirs[name], bar, "", npu[name])


def wall_rows(table):
    import torch
    import torch_npu  # noqa: F401

    torch.set_num_threads(1)
    for name in ("add", "add_", "mm", "empty", "view"):
        cpu, npu = wall(name)
        table.row(f"{name}: us per call, 10,000 in a row", npu / cpu, 1.2, f"{cpu * 100:.2f}", f"{npu * 100:.2f}")
    cpu, npu = wall("add", busy=True)
    table.row("add: the same, device busy", npu / cpu, 1.2, f"{cpu * 100:.2f}", f"{npu * 100:.2f}")
    begin = torch.npu.executor_stats()
    wall("add", devices=["npu"], rounds=5)
    end = torch.npu.executor_stats()
    hits, misses = (end[k] - begin[k] for k in ("hits", "misses"))
    table.row("repeated add: share of first phases made", misses / (hits + misses), 0.01, "", "", 3)
    synchronize("npu")
    before = time.process_time()
    time.sleep(1)
    table.row("idle process: CPU seconds per second", time.process_time() - before, 0.01, "", "", 3)


def package_rows(table):
    share, memory, threads, started = import_cost()
    table.row("import torch_npu: time / import torch", share, 0.10)
    table.row("import torch_npu: MB of memory", memory / 1e6, 15, "", "", 1)
    table.row("import torch_npu: threads and devices started", threads + started, 0, "", "", 0)
    if wheels := sorted(Path(__file__).parent.parent.glob("dist/*.whl"), key=os.path.getmtime):
        table.row("wheel: MB", wheels[-1].stat().st_size / 1e6, 15, "", "", 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--wall", action="store_true", help="wall-time ratios only")
    parser.add_argument("--vendor", metavar="PYTHON", help="interpreter of an environment with the vendor's adapter")
    parser.add_argument("--ops", nargs="*", default=())
    parser.add_argument("--count", help=argparse.SUPPRESS)
    parser.add_argument("--library", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.count:
        count(args.count, args.ops, args.library)
        return
    table = Table()
    if not args.wall:
        instruction_rows(table, args.vendor)
        package_rows(table)
    wall_rows(table)
    sys.exit(1 if table.missed else 0)


if __name__ == "__main__":
    main()
