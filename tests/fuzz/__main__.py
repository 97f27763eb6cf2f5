"""Random calls of every operator that npu registers, compared between npu and CPU.

    python -m tests.fuzz --seed S --cases N [--select REGEX] [--jobs J]
    python -m tests.fuzz --seed S --case I [--select REGEX]      # that one case again, printed as a program

What differs without an entry in known.yaml is shrunk and printed as Python code, once for each operator and kind; the exit
status is 1 then. A worker that dies or hangs is replaced, and the case it was at counts as a difference.
"""
import argparse
import collections
import json
import mmap
import multiprocessing
import os
import re
import struct
import sys
import time
import warnings

CASE_SECONDS = 60
PHASES = ("cpu", "npu", "shrinking")
STATE = struct.Struct("qqd")     # case, phase, time


def operators(select):
    import torch
    import torch_npu  # noqa: F401

    found = []
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("aten::") and torch._C._dispatch_has_kernel_for_dispatch_key(name, "PrivateUse1") \
                and (not select or re.search(select, name.removeprefix("aten::"))):
            found.append(name)
    return sorted(found)


def work(options, names, seeds, first, state, pipe):
    """A forked worker: cases first, first + jobs, ... The parent reads the state to know where it died."""
    import torch

    from tests.fuzz import check, generate, shrink
    from tests.fuzz.calls import code

    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # kernels warn on their own
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    known, reported = check.known(), collections.Counter()

    for case in range(first, options.cases, options.jobs):
        mark = lambda phase: state.write_state(case, PHASES.index(phase))
        mark("cpu")
        call = generate.generate(options.seed, case, names, seeds)
        difference = None if call is None else check.check(call, mark)
        if difference is None:
            continue
        explained = next((i for i, k in enumerate(known) if k.explains(call.name, difference)), None)
        if explained is not None:
            pipe.send(("known", case, explained))
            continue
        key = (call.name, difference.kind)
        reported[key] += 1
        program = ""
        if reported[key] == 1 and not options.quick:
            pipe.send(("shrinking", case, call.name, difference.kind, difference.detail, code(call)))
            mark("shrinking")
            alike = lambda c: (d := check.check(c)) is not None and d.kind == difference.kind and not any(k.explains(c.name, d) for k in known)
            program = code(shrink.shrink(call, alike))
        pipe.send(("difference", case, call.name, difference.kind, difference.detail, program))
    pipe.send(("end", first))


class State:
    """Where a worker is, in memory shared with the parent."""

    def __init__(self):
        self.map = mmap.mmap(-1, STATE.size)

    def write_state(self, case, phase):
        self.map[:] = STATE.pack(case, phase, time.monotonic())

    def read(self):
        return STATE.unpack(self.map[:])


class Worker:
    def __init__(self, options, names, seeds, first):
        self.state, self.first, self.pending = State(), first, None   # pending: the difference that is being shrunk
        self.state.write_state(first, 0)
        self.pipe, child = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=work, args=(options, names, seeds, first, self.state, child), daemon=True)
        self.process.start()
        child.close()


def describe(options, names, seeds, case):
    from tests.fuzz import generate
    from tests.fuzz.calls import code
    call = generate.generate(options.seed, case, names, seeds)
    return call.name, code(call)


def run(options, names, seeds, found=lambda *a: None):
    """Counts by kind; ``found(case, name, kind, detail, program)`` is called for each unexplained difference."""
    counts, used = collections.Counter(), collections.Counter()
    workers = [Worker(options, names, seeds, i) for i in range(options.jobs)]
    while workers:
        for w in list(workers):
            ended = False
            try:
                while w.pipe.poll(0.05 / len(workers)):
                    message = w.pipe.recv()
                    if message[0] == "end":
                        ended = True
                        break
                    if message[0] == "shrinking":
                        w.pending = message[1:]
                        continue
                    w.pending = None
                    if message[0] == "known":
                        counts["explained"] += 1
                        used[message[2]] += 1
                    else:
                        counts[message[3]] += 1
                        found(*message[1:])
            except (EOFError, ConnectionResetError):
                pass
            case, phase, when = w.state.read()
            hang = time.monotonic() - when > CASE_SECONDS * (4 if PHASES[phase] == "shrinking" else 1)
            if not ended and w.process.is_alive() and not hang:
                continue
            if hang and not ended:
                w.process.kill()
            w.process.join()
            workers.remove(w)
            if ended:
                continue
            if PHASES[phase] == "cpu":   # ATen's own kernels do not survive every argument
                counts["CPU crash"] += 1
            elif PHASES[phase] == "shrinking" and w.pending is not None:   # a smaller call crashes: leave it as it was
                counts[w.pending[2]] += 1
                found(*w.pending)
            else:
                kind = "hang" if hang else "crash"
                counts[kind] += 1
                name, program = describe(options, names, seeds, case)
                found(case, name, kind, f"while {PHASES[phase]}, exit {w.process.exitcode}", program)
            if case + options.jobs < options.cases:
                workers.append(Worker(options, names, seeds, case + options.jobs))
    return counts, used


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--select", default="", help="regular expression that finds operator names")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="do not shrink")
    parser.add_argument("--json", help="append each difference to this file")
    options = parser.parse_args()
    os.environ["TORCH_NPU_FALLBACK"] = "silent"

    seeds, names = load(options.select)
    if options.case is not None:
        from tests.fuzz import check, generate
        print(describe(options, names, seeds, options.case)[1])
        print("#", check.check(generate.generate(options.seed, options.case, names, seeds)))
        return
    started, shown = time.monotonic(), collections.Counter()

    def found(case, name, kind, detail, program):
        shown[name, kind] += 1
        if options.json:
            with open(options.json, "a") as f:
                f.write(json.dumps([options.seed, case, name, kind, detail, program]) + "\n")
        if shown[name, kind] == 1:
            print(f"\n==== case {case}: {name}: {kind}: {detail}\n{program}", flush=True)

    counts, used = run(options, names, seeds, found)
    from tests.fuzz import check
    seconds = time.monotonic() - started
    print(f"\n{options.cases} cases of {len(names)} functions in {seconds:.0f} s ({options.cases / seconds:.0f}/s), seed {options.seed}: "
          + (", ".join(f"{n} {k}" for k, n in sorted(counts.items())) or "no difference"))
    stale = [k for i, k in enumerate(check.known()) if not used[i]]
    if stale and not options.select and options.cases >= 20000:
        for k in stale:
            print(f"stale: no difference of {k.operator} ({k.kind}, {k.detail}): {k.reason}")
    sys.exit(1 if shown else 0)


def load(select):
    """The recorded calls, made in a child so that this process starts no thread before it forks, and the operators."""
    from tests.fuzz import seeds
    if not seeds.CACHE.exists():
        print("recording calls of PyTorch's operator database, once", flush=True)
        child = multiprocessing.get_context("spawn").Process(target=seeds.load)
        child.start()
        child.join()
    return seeds.load(), operators(select)


if __name__ == "__main__":
    main()
