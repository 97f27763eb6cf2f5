"""Run PyTorch's operator database on npu and hold the outcomes against the lists under version control.

    python -m tests.opinfo run [--kinds forward backward ...] [--select REGEX] [--micro] [--jobs 2] [--slow 20]
    python -m tests.opinfo run ... --update       # write the lists anew
    python -m tests.opinfo report                 # totals by outcome and dtype, from the lists

A list (``outcomes/<kind>.csv``) holds every case that is not ``native``: name, dtype, outcome, the reason, and what was
observed. The reason of a ``fallback`` is the operators that have no npu kernel or refused the dtype. The reason of a ``fail`` or
``unsupported`` is a sentence from ``explanations.csv`` (kind, name and dtype as regular expressions); without one the run fails.

A run fails on an outcome other than its list says, also on one that has become better, on an entry without a case, and on an
explanation that explains nothing.

The lists are of one torch (``outcomes/torch``). With another torch the same cases meet other samples and other CPU kernels, so a run prints where
it differs from the lists, and fails only on a crash, a hang, and a ``fail`` or ``unsupported`` without an explanation. Explanations that hold for
some torch alone name it (``torch``, a regular expression over its minor version); one that explains nothing there fails the run too.
"""
import argparse
import collections
import csv
import json
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUTCOMES = HERE / "outcomes"
EXPLANATIONS = HERE / "explanations.csv"
COLUMNS = ["name", "dtype", "outcome", "reason", "observed"]
EXPLAINED = ("fail", "unsupported")
WORST_FIRST = ("fail", "unsupported", "fallback", "native")
CASE_SECONDS = 240
#: every n-th case is in the micro subset, chosen by a hash of the name so that it is stable
MICRO = 12


# ---- running ----------------------------------------------------------------------------------------------------------


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
        self.errors = tempfile.TemporaryFile("w+", errors="replace")

    def start(self):
        self.process = subprocess.Popen([sys.executable, "-m", "tests.opinfo", "worker"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.errors, text=True)

    def run(self, case):
        if self.process is None:
            self.start()
        late = threading.Event()

        def kill():
            late.set()
            self.process.kill()

        timer = threading.Timer(CASE_SECONDS, kill)
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
            timer.cancel()
        code = self.process.wait()
        self.process = None
        if late.is_set():
            return ["fail", f"hang: more than {CASE_SECONDS} s"]
        return ["fail", f"crash: exit {code} {self.last_words()}".strip()]

    def last_words(self):
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if "what():" in line or "Error" in line]
        return lines[-1][:200] if lines else ""


def run_all(cases, jobs, progress):
    """{case: (outcome, observed)} and {case: seconds}."""
    pending, results, seconds = queue.Queue(), {}, {}
    for case in cases:
        pending.put(case)

    def serve():
        w = Worker()
        while True:
            try:
                case = pending.get_nowait()
            except queue.Empty:
                break
            start = time.monotonic()
            results[case] = tuple(w.run(case))
            seconds[case] = time.monotonic() - start
            progress(len(results), len(cases))
        if w.process is not None:
            w.process.stdin.close()
            w.process.wait()

    threads = [threading.Thread(target=serve) for _ in range(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results, seconds


# ---- lists ------------------------------------------------------------------------------------------------------------


def recorded_torch():
    """The minor version of torch that the lists are of."""
    return (OUTCOMES / "torch").read_text().strip()


def this_torch():
    import torch

    return ".".join(torch.__version__.split(".")[:2])


class Explanations:
    """The sentences for what cannot pass: of the rows for a torch, the first whose three expressions match a case explains it."""

    def __init__(self, path=EXPLANATIONS, torch=None):
        torch = torch or this_torch()
        with open(path, newline="") as f:
            self.rows = [(r, [re.compile(r[c]) for c in ("kind", "name", "dtype")]) for r in csv.DictReader(f)
                         if not r["torch"] or re.fullmatch(r["torch"], torch)]
        self.used = set()

    def find(self, *case):
        for i, (row, patterns) in enumerate(self.rows):
            if all(p.fullmatch(v) for p, v in zip(patterns, case)):
                self.used.add(i)
                return row["reason"]
        return None

    def unused(self):
        return [row for i, (row, _) in enumerate(self.rows) if i not in self.used]

    def unused_here(self, existing, ran):
        """The rows for this torch alone that explain none of their cases, where all of these ran, or that have none."""
        return [row for i, (row, patterns) in enumerate(self.rows) if row["torch"] and i not in self.used and all(
            case in ran for case in existing if all(p.fullmatch(v) for p, v in zip(patterns, case)))]


def load(kind):
    """{(name, dtype): (outcome, reason, observed)} of what is not native, or None where nothing is recorded yet."""
    path = OUTCOMES / f"{kind}.csv"
    if not path.exists():
        return None
    with open(path, newline="") as f:
        return {(r["name"], r["dtype"]): (r["outcome"], r["reason"], r["observed"]) for r in csv.DictReader(f)}


def save(kind, outcomes):
    OUTCOMES.mkdir(exist_ok=True)
    with open(OUTCOMES / f"{kind}.csv", "w", newline="") as f:
        out = csv.writer(f, lineterminator="\n")
        out.writerow(COLUMNS)
        out.writerows([n, d, *o] for (n, d), o in sorted(outcomes.items()) if o[0] != "native")


def entry(explanations, case, outcome, observed):
    """What the list says of an outcome."""
    if outcome in EXPLAINED:
        return outcome, explanations.find(*case) or "", observed
    return outcome, observed, ""


def select(args):
    from tests.opinfo import engine

    wanted = re.compile(args.select)
    chosen = [(kind, name, dtype) for kind in args.kinds for name, dtype in engine.cases(kind) if wanted.search(name)]
    if args.dtype:
        chosen = [c for c in chosen if c[2] in args.dtype]
    if args.micro:
        chosen = [c for c in chosen if zlib.crc32("/".join(c).encode()) % MICRO == 0]
    return chosen


def stale(explanations):
    """Complaints about the lists themselves: entries without a case or reason, explanations that explain nothing."""
    from tests.opinfo import engine

    complaints = []
    recorded = True
    for kind in engine.KINDS:
        listed = load(kind)
        if listed is None:
            recorded = False
            continue
        existing = set(engine.cases(kind))
        for (name, dtype), (outcome, reason, observed) in sorted(listed.items()):
            if (name, dtype) not in existing:
                complaints.append(f"{kind} {name} {dtype}: listed, but there is no such case")
            elif outcome in EXPLAINED:
                current = explanations.find(kind, name, dtype)
                if current is None:
                    complaints.append(f"{kind} {name} {dtype}: {outcome} without an explanation: {observed}")
                elif current != reason:
                    complaints.append(f"{kind} {name} {dtype}: the list's reason is not the explanation's; record it anew")
    if recorded:
        complaints += map(explains_nothing, explanations.unused())
    return complaints


def explains_nothing(row):
    return "explains nothing: " + ",".join(row.values())


def stale_elsewhere(explanations, results):
    """Complaints about the explanations that hold for a torch other than the lists'."""
    from tests.opinfo import engine

    kinds = [kind for kind in engine.KINDS if any(row["torch"] and patterns[0].fullmatch(kind) for row, patterns in explanations.rows)]
    existing = [(kind, *case) for kind in kinds for case in engine.cases(kind)]
    return [explains_nothing(row) for row in explanations.unused_here(existing, results)]


def verdict(case, outcome, observed, listed, explanations, elsewhere):
    """(whether that is a failure, what is to be said of it) of an outcome that was asked for as `listed`."""
    if elsewhere:
        failed = outcome in EXPLAINED and (explanations.find(*case) is None or observed.startswith(("crash:", "hang:")))
    else:
        failed = outcome != listed
    if not failed and outcome == listed:
        return failed, ""
    better = WORST_FIRST.index(outcome) > WORST_FIRST.index(listed)
    if elsewhere:
        change = "without an explanation" if failed else "better" if better else "worse"
    else:
        change = "stale entry, it is better now" if better else "regression"
    return failed, f"{' '.join(case)}: {outcome} instead of {listed} ({change}): {observed}"


def command_run(args):
    elsewhere = this_torch() != recorded_torch()
    if elsewhere and args.update:
        sys.exit(wrong_torch())
    cases = select(args)
    start = time.monotonic()

    def progress(done, total):
        if done % 200 == 0 or done == total:
            print(f"  {done}/{total}  {time.monotonic() - start:.0f} s", flush=True)

    results, seconds = run_all(cases, args.jobs, progress)
    explanations = Explanations()
    failed = known = 0
    for kind in args.kinds:
        listed = load(kind) or {}
        for case, (outcome, observed) in sorted(results.items()):
            if case[0] != kind:
                continue
            if args.update:
                listed[case[1:]] = entry(explanations, case, outcome, observed)
            # Of a fallback or a failure the detail may vary with the samples drawn; what counts is the outcome.
            expected = listed.get(case[1:], ("native", "", ""))[0]
            bad, sentence = verdict(case, outcome, observed, expected, explanations, elsewhere)
            failed += bad
            known += not bad and outcome in EXPLAINED
            if sentence:
                print(sentence)
        if args.update:
            save(kind, listed)
    if args.output:
        with open(args.output, "w") as f:
            f.writelines(f"{k} {n} {d} {o} {text}\n" for (k, n, d), (o, text) in sorted(results.items()) if o != "native")
    for case, s in sorted(seconds.items(), key=lambda item: -item[1])[:args.slow]:
        print(f"{s:8.2f} s  {' '.join(case)}")
    complaints = stale_elsewhere(explanations, results) if elsewhere else stale(explanations)
    print("\n".join(complaints), end="\n" if complaints else "")
    print_totals(results)
    if elsewhere:
        print(f"This is torch {this_torch()}; the lists are of {recorded_torch()}, so that what differs from them is only named.")
    print(f"{len(results) - known - failed} passed, {known} expected to fail, {failed} failed, {len(complaints)} complaints about the lists, "
          f"{time.monotonic() - start:.0f} s")
    return 1 if failed or complaints else 0


def print_totals(results):
    totals = collections.defaultdict(collections.Counter)
    for (kind, _, _), (outcome, _) in results.items():
        totals[kind][outcome] += 1
    for kind, counts in totals.items():
        print(f"{kind:<10} {sum(counts.values()):>6}  " + "  ".join(f"{o} {n}" for o, n in sorted(counts.items())))


def share(part, whole):
    return f"{part} of {whole} ({100 * part / whole:.1f} %)" if whole else "none"


def wrong_torch():
    return f"error: the lists are of torch {recorded_torch()} (outcomes/torch), this is {this_torch()}"


def command_report(args):
    from tests.opinfo import engine

    if this_torch() != recorded_torch():
        sys.exit(wrong_torch())
    summary = []
    for kind in engine.KINDS:
        listed = load(kind)
        if listed is None:
            print(f"\n{kind:<12}nothing recorded")
            continue
        by_dtype = collections.defaultdict(collections.Counter)
        for name, dtype in engine.cases(kind):
            outcome, reason, observed = listed.get((name, dtype), ("native", "", ""))
            documented = not engine.undocumented(reason + observed)
            for key in (dtype, "all"):
                by_dtype[key][outcome] += 1
                by_dtype[key]["documented"] += documented
        columns = ("native", "fallback", "unsupported", "fail", "documented")
        print(f"\n{kind:<16}{'cases':>7}" + "".join(f"{c:>13}" for c in columns))
        for dtype, counts in sorted(by_dtype.items()):
            cases = sum(counts[c] for c in columns[:4])
            print(f"{dtype:<16}{cases:>7}" + "".join(f"{counts[c]:>13}" for c in columns))
        total = by_dtype["all"]
        cases = sum(total[c] for c in columns[:4])
        summary.append(f"{kind:<10} pass {share(total['native'] + total['fallback'], cases)}; "
                       f"of the pairs whose dtype CANN documents, native {share(total['native'], total['documented'])}")
    print("\n" + "\n".join(summary))
    return 0


def main():
    from tests.opinfo import engine

    parser = argparse.ArgumentParser(prog="python -m tests.opinfo", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--kinds", nargs="+", choices=engine.KINDS, default=list(engine.KINDS))
    run.add_argument("--select", default="", help="regular expression over names")
    run.add_argument("--dtype", nargs="+", help="only these dtypes")
    run.add_argument("--micro", action="store_true", help=f"every {MICRO}th case")
    run.add_argument("--jobs", type=int, default=2)
    run.add_argument("--slow", type=int, default=0, metavar="N", help="print the N slowest cases")
    run.add_argument("--output", help="write what is not native to this file")
    run.add_argument("--update", action="store_true", help="write the lists anew")
    commands.add_parser("report")
    args = parser.parse_args()
    return {"run": command_run, "report": command_report}[args.command](args)


if __name__ == "__main__":
    sys.exit(worker() if sys.argv[1:] == ["worker"] else main())
