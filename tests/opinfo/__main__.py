"""Run PyTorch's operator database on npu and hold the outcomes against the lists under version control.

    python -m tests.opinfo run [--kinds forward backward ...] [--select REGEX] [--micro] [--jobs 2]
    python -m tests.opinfo run ... --update       # write the lists anew
    python -m tests.opinfo report                 # totals by outcome and dtype, from the lists

A list (``outcomes/<kind>.csv``) holds every case that is not ``native``: name, dtype, outcome, detail. A case with another
outcome than its list says fails the run, also one that has become better: the list is then stale.
"""
import argparse
import collections
import csv
import json
import queue
import re
import subprocess
import sys
import threading
import zlib
from pathlib import Path

OUTCOMES = Path(__file__).resolve().parent / "outcomes"
CASE_SECONDS = 120
#: every n-th case is in the micro subset, chosen by a hash of the name so that it is stable
MICRO = 12


def worker():
    """Reads cases as JSON lines, answers outcomes as JSON lines."""
    import torch

    from tests.opinfo import engine

    torch.set_num_threads(1)
    for line in sys.stdin:
        kind, name, dtype = json.loads(line)
        print(json.dumps(engine.run_case(kind, name, dtype)), flush=True)


class Worker:
    """A process that survives its cases; one that dies or hangs is replaced and its case is a crash."""

    def __init__(self):
        self.process = None

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-m", "tests.opinfo", "worker"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self, case):
        if self.process is None:
            self.start()
        timer = threading.Timer(CASE_SECONDS, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(json.dumps(case) + "\n")
            self.process.stdin.flush()
            while line := self.process.stdout.readline():
                if line.startswith("["):
                    return json.loads(line)
        except BrokenPipeError:
            pass
        finally:
            alive = timer.is_alive()
            timer.cancel()
        code = self.process.wait()
        self.process = None
        return ["fail", f"crash: exit {code}" if alive else f"hang: more than {CASE_SECONDS} s"]


def run_all(cases, jobs, progress):
    pending, results = queue.Queue(), {}
    for case in cases:
        pending.put(case)

    def serve():
        w = Worker()
        while True:
            try:
                case = pending.get_nowait()
            except queue.Empty:
                break
            results[case] = tuple(w.run(case))
            progress(len(results), len(cases))
        if w.process is not None:
            w.process.stdin.close()

    threads = [threading.Thread(target=serve) for _ in range(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results


def load(kind):
    path = OUTCOMES / f"{kind}.csv"
    if not path.exists():
        return {}
    with open(path, newline="") as f:
        return {(r["name"], r["dtype"]): (r["outcome"], r["detail"]) for r in csv.DictReader(f)}


def save(kind, outcomes):
    OUTCOMES.mkdir(exist_ok=True)
    with open(OUTCOMES / f"{kind}.csv", "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(["name", "dtype", "outcome", "detail"])
        out.writerows([n, d, *o] for (n, d), o in sorted(outcomes.items()) if o[0] != "native")


def select(args):
    from tests.opinfo import engine

    wanted = re.compile(args.select)
    chosen = [(kind, name, dtype) for kind in args.kinds for name, dtype in engine.cases(kind) if wanted.search(name)]
    if args.micro:
        chosen = [c for c in chosen if zlib.crc32("/".join(c).encode()) % MICRO == 0]
    return chosen


def command_run(args):
    cases = select(args)

    def progress(done, total):
        if done % 200 == 0 or done == total:
            print(f"  {done}/{total}", flush=True)

    results = run_all(cases, args.jobs, progress)
    passed = failed = 0
    for kind in args.kinds:
        listed = load(kind)
        for (k, name, dtype), outcome in sorted(results.items()):
            if k != kind:
                continue
            expected = listed.get((name, dtype), ("native", ""))
            # Of a fallback or a failure the detail may vary with the samples drawn; what counts is the outcome.
            if outcome[0] == expected[0]:
                passed += 1
                continue
            if args.update:
                passed += 1
            else:
                failed += 1
                better = "stale entry, it is better now" if outcome[0] == "native" else "regression"
                print(f"{kind} {name} {dtype}: {outcome[0]} instead of {expected[0]} ({better}): {outcome[1]}")
        if args.update:
            listed.update({(n, d): o for (k, n, d), o in results.items() if k == kind})
            save(kind, listed)
    print_totals(results)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def print_totals(results):
    totals = collections.defaultdict(collections.Counter)
    for (kind, _, _), (outcome, _) in results.items():
        totals[kind][outcome] += 1
    for kind, counts in totals.items():
        print(f"{kind:<10} {sum(counts.values()):>6}  " + "  ".join(f"{o} {n}" for o, n in sorted(counts.items())))


def command_report(args):
    from tests.opinfo import engine

    for kind in engine.KINDS:
        listed = load(kind)
        by_dtype = collections.defaultdict(collections.Counter)
        for name, dtype in engine.cases(kind):
            outcome = listed.get((name, dtype), ("native", ""))[0]
            by_dtype[dtype][outcome] += 1
            by_dtype["all"][outcome] += 1
        columns = ("native", "fallback", "unsupported", "fail")
        print(f"\n{kind:<12}{'cases':>7}" + "".join(f"{c:>13}" for c in columns))
        for dtype, counts in sorted(by_dtype.items()):
            print(f"{dtype:<12}{sum(counts.values()):>7}" + "".join(f"{counts[c]:>13}" for c in columns))
    return 0


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.opinfo", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--kinds", nargs="+", default=["forward", "backward", "reference", "module", "optimizer"])
    run.add_argument("--select", default="", help="regular expression over names")
    run.add_argument("--micro", action="store_true", help=f"every {MICRO}th case")
    run.add_argument("--jobs", type=int, default=2)
    run.add_argument("--update", action="store_true")
    commands.add_parser("report")
    commands.add_parser("worker")
    args = parser.parse_args()
    if args.command == "worker":
        return worker()
    return {"run": command_run, "report": command_report}[args.command](args)


if __name__ == "__main__":
    sys.exit(main())
