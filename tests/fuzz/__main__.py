"""Random calls of every operator that npu registers, compared between npu and CPU.

    python -m tests.fuzz --seed S --cases N [--select REGEX] [--jobs J]
    python -m tests.fuzz --seed S --case I [--select REGEX]      # that one case again, printed as a program

Cases run in worker processes. ATen's CPU kernels do not survive every argument, and what they read or write outside of their
tensors can spoil a later case, on either device. Therefore a difference counts only if it shows again alone in a fresh process, and
not where the CPU's own answer depends on memory outside of the arguments. What is left without an entry in known.yaml is shrunk
and printed as Python code, once for each operator and kind; the exit status is 1 then.
"""
import argparse
import collections
import json
import mmap
import multiprocessing
import os
import re
import resource
import struct
import sys
import time
import traceback
import warnings

CASE_SECONDS = 60
SHRINK_SECONDS = 240
UNDEFINED_AGAIN = 5              # what lies where the CPU reads is a matter of chance, so it is asked again before a difference is reported
CHUNK = 500                      # cases of one worker process
MEMORY = 3 << 30                 # bytes that a worker may allocate
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


class State:
    """Where a worker is, in memory shared with the parent."""

    def __init__(self, case):
        self.map = mmap.mmap(-1, STATE.size)
        self.write(case, 0)

    def write(self, case, phase):
        self.map[:] = STATE.pack(case, phase, time.monotonic())

    def read(self):
        return STATE.unpack(self.map[:])


def prepare():
    import torch
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # kernels warn on their own
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)


def worker(target, run, cases, state, pipe):
    try:
        prepare()
        target(run, cases, state, pipe)
        pipe.send(("end",))
    except Exception:
        pipe.send(("fault", traceback.format_exc()))


def many(run, cases, state, pipe):
    """In a worker process: it tells which cases differ without an explanation."""
    from tests.fuzz import check, generate
    for case in cases:
        call = generate.generate(run.options.seed, case, run.names, run.seeds)
        difference = None if call is None else check.check(call, lambda phase: state.write(case, PHASES.index(phase)))
        if difference is None:
            continue
        explained = run.explanation(call.name, difference)
        pipe.send(("explained", explained) if explained is not None else ("differs", case))
        if difference.kind == "lost":   # the rest needs another process
            os._exit(1)


def alone(run, cases, state, pipe):
    """In a worker process: one case that differed or died: what is it really?"""
    from tests.fuzz import check, generate, shrink
    from tests.fuzz.calls import code
    case, = cases
    mark = lambda phase: state.write(case, PHASES.index(phase))
    call = generate.generate(run.options.seed, case, run.names, run.seeds)
    mark("cpu")
    if check.undefined(call):
        pipe.send(("undefined",))
    elif (difference := check.check(call, mark)) is None:
        pipe.send(("not again",))
    elif (explained := run.explanation(call.name, difference)) is not None:
        pipe.send(("explained", explained))
    elif any(check.undefined(call) for _ in range(UNDEFINED_AGAIN)):
        pipe.send(("undefined",))
    else:
        pipe.send(("difference", call.name, difference.kind, difference.detail, code(call)))
        if not run.options.quick and difference.kind != "lost" and not run.shown[call.name, difference.kind]:
            mark("shrinking")

            def alike(candidate):
                d = None if check.undefined(candidate) else check.check(candidate)
                return d is not None and d.kind == difference.kind and run.explanation(candidate.name, d) is None

            smaller = lambda c: pipe.send(("difference", c.name, difference.kind, difference.detail, code(c)))
            shrink.shrink(call, alike, smaller)


class Worker:
    def __init__(self, target, run, cases):
        self.target, self.cases, self.ended, self.messages = target, cases, False, []
        self.state = State(cases[0])
        self.pipe, child = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("fork").Process(target=worker, args=(target, run, cases, self.state, child), daemon=True)
        self.process.start()
        child.close()

    def finished(self):
        """Takes messages; whether the process is done, dead or over its time (and then killed)."""
        alive = self.process.is_alive()   # before the last look at the pipe
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                if message[0] == "end":
                    self.ended = True
                else:
                    self.messages.append(message)
        except (EOFError, ConnectionResetError):
            pass
        case, phase, when = self.state.read()
        self.hang = not self.ended and time.monotonic() - when > (SHRINK_SECONDS if PHASES[phase] == "shrinking" else CASE_SECONDS)
        if self.hang:
            self.process.kill()
        if alive and not (self.ended or self.hang):
            return False
        self.process.join()
        self.case, self.phase = case, PHASES[phase]
        if fault := next((m[1] for m in self.messages if m[0] == "fault"), None):
            raise RuntimeError(f"case {case}, a fault of the fuzz test itself:\n{fault}")
        return True


class Run:
    """All cases of a run. ``found(case, name, kind, detail, program)`` is called for each unexplained difference."""

    def __init__(self, options, names, seeds, found=lambda *a: None):
        from tests.fuzz import check
        self.options, self.names, self.seeds, self.found = options, names, seeds, found
        self.known = check.known()
        self.counts, self.used, self.shown = collections.Counter(), collections.Counter(), collections.Counter()

    def explanation(self, name, difference):
        return next((i for i, k in enumerate(self.known) if k.explains(name, difference)), None)

    def all(self):
        first, last = self.options.first, self.options.first + self.options.cases
        waiting = collections.deque((many, range(i, min(i + CHUNK, last))) for i in range(first, last, CHUNK))
        workers = []
        while waiting or workers:
            while waiting and len(workers) < self.options.jobs:
                target, cases = waiting.popleft()
                workers.append(Worker(target, self, cases))
            time.sleep(0.01)
            for w in [w for w in workers if w.finished()]:
                workers.remove(w)
                waiting.extendleft(reversed(self.many_done(w) if w.target is many else self.alone_done(w)))

    def explained(self, index):
        self.counts["explained"] += 1
        self.used[index] += 1

    def many_done(self, w):
        """What has to run next."""
        again = []
        for message in w.messages:
            if message[0] == "explained":
                self.explained(message[1])
            else:
                again.append(message[1])
        following = []
        if not w.ended:
            if w.case not in again:
                again.append(w.case)
            rest = range(w.case + 1, w.cases.stop)
            following = [(many, rest)] if rest else []
        return [(alone, (case,)) for case in again] + following

    def alone_done(self, w):
        kinds = [m[0] for m in w.messages]
        if kinds and kinds[0] == "difference":
            name, kind, detail, program = w.messages[-1][1:]
            self.report(w.case, name, kind, detail, program)
        elif kinds and kinds[0] == "explained":
            self.explained(w.messages[0][1])
        elif kinds:
            self.counts[{"undefined": "undefined on the CPU", "not again": "not reproduced alone"}[kinds[0]]] += 1
        elif w.phase == "cpu":
            self.counts["undefined on the CPU"] += 1
        else:
            from tests.fuzz import check, generate
            from tests.fuzz.calls import code
            call = generate.generate(self.options.seed, w.case, self.names, self.seeds)
            difference = check.Difference("hang" if w.hang else "crash", f"on npu, exit {w.process.exitcode}")
            explained = self.explanation(call.name, difference)
            if explained is not None:
                self.explained(explained)
            else:
                self.report(w.case, call.name, difference.kind, difference.detail, code(call))
        return []

    def report(self, case, name, kind, detail, program):
        self.counts[kind] += 1
        self.shown[name, kind] += 1
        self.found(case, name, kind, detail, program)

    def stale(self):
        return [k for i, k in enumerate(self.known) if not self.used[i]]


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--case", type=int, help="only this one")
    parser.add_argument("--select", default="", help="regular expression that finds operator names")
    parser.add_argument("--samples", type=int, default=6, help="of each entry of the operator database, to start calls from")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="do not shrink")
    parser.add_argument("--json", help="append each difference to this file")
    options = parser.parse_args()
    os.environ["TORCH_NPU_FALLBACK"] = "silent"

    seeds, names = load(options.select, options.samples)
    if options.case is not None:
        from tests.fuzz import check, generate
        from tests.fuzz.calls import code
        call = generate.generate(options.seed, options.case, names, seeds)
        print(code(call))
        print("#", "undefined on the CPU" if check.undefined(call) else check.check(call))
        return
    started = time.monotonic()

    def found(case, name, kind, detail, program):
        if options.json:
            with open(options.json, "a") as f:
                f.write(json.dumps([options.seed, case, name, kind, detail, program]) + "\n")
        if run.shown[name, kind] == 1:
            print(f"\n==== case {case}: {name}: {kind}: {detail}\n{program}", flush=True)

    run = Run(options, names, seeds, found)
    run.all()
    seconds = time.monotonic() - started
    print(f"\n{options.cases} cases of {len(names)} functions in {seconds:.0f} s ({options.cases / seconds:.0f}/s), seed {options.seed}: "
          + (", ".join(f"{n} {k}" for k, n in sorted(run.counts.items())) or "no difference"))
    stale = run.stale() if not options.select and options.cases >= 50000 else []
    for k in stale:
        print(f"stale: no difference of {k.operator} ({k.kind}, {k.detail}): {k.reason}")
    sys.exit(1 if run.shown or stale else 0)


def load(select, samples):
    """The recorded calls, made in a child so that this process starts no thread before it forks, and the operators."""
    from tests.fuzz import seeds
    if not seeds.cache(samples).exists():
        print("recording calls of PyTorch's operator database, once", flush=True)
        child = multiprocessing.get_context("spawn").Process(target=seeds.load, args=(samples,))
        child.start()
        child.join()
    return seeds.load(samples), operators(select)


if __name__ == "__main__":
    main()
