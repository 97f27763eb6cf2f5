"""Run both adapters on softcann and hold the differences between their aclnn calls against the lists under version control.

    python -m tests.clients.witness run [--select REGEX] [--samples 4]
    python -m tests.clients.witness run ... --update     # write the lists anew
    python -m tests.clients.witness report

``differences.csv`` holds every difference in an argument of a function that both call for an operator, with the reason that
``explained.yaml`` gives for it; a difference without reason fails the run, and so does one that the list does not have, or has and is gone.
``vendor.csv`` holds the operators that the vendor's adapter gets wrong here and ours does not.
"""
import argparse
import collections
import csv
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import yaml

from tests.clients.test_vendor_adapter import ROOT, build_environment
from tests.clients.witness import trace

HERE = Path(__file__).resolve().parent
OPERATOR_SECONDS = 90
FIELDS = {"differences": ["operator", "function", "parameter", "ours", "vendor", "reason"], "vendor": ["operator", "vendor"]}


class Adapter:
    """A process that runs samples with one adapter; replaced when it dies or hangs."""

    def __init__(self, name, python, prefix):
        self.name, self.python, self.prefix, self.process = name, python, prefix, None
        self.directory = tempfile.TemporaryDirectory(prefix="witness-")
        self.trace = Path(self.directory.name) / "trace"

    def start(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("TORCH_NPU", "SOFTCANN", "ASCEND", "PYTHON"))}
        # One thread for all calls: the trace is in the order of the program. Dtypes that CANN does not document are no matter here.
        env.update(TASK_QUEUE_ENABLE="0", SOFTCANN_TRACE=str(self.trace), PYTHONNOUSERSITE="1", OMP_NUM_THREADS="1")
        self.process = subprocess.Popen(
            ["bash", "-c", f'. "{self.prefix}/set_env.sh" && exec "{self.python}" "{HERE / "program.py"}"'], env=env, cwd="/", text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.executors = {}
        self.process.stdout.readline()  # loading may take long on a busy machine

    def run(self, operator, samples):
        """Outcome of each sample, and its aclnn calls."""
        if self.process is None:
            self.trace.write_text("")
            self.start()
        timer = threading.Timer(OPERATOR_SECONDS, self.process.kill)
        timer.start()
        outcomes = None
        try:
            self.process.stdin.write(json.dumps([operator, samples]) + "\n")
            self.process.stdin.flush()
            while line := self.process.stdout.readline():
                if line.startswith('{"samples"'):
                    outcomes = json.loads(line)["samples"]
                    break
        except BrokenPipeError:
            pass
        finally:
            timer.cancel()
        if outcomes is None:
            self.process.kill()
            self.process.wait()
            self.process = None
        with open(self.trace, errors="replace") as lines:
            made = trace.calls(lines, self.executors).get(operator, {})
        self.trace.write_text("")
        return outcomes, made

    def close(self):
        if self.process is not None:
            self.process.stdin.close()
            self.process.wait(30)
        self.directory.cleanup()


def adapters():
    ours = Path(sys.executable)
    prefix = subprocess.run([ours, "-m", "torch_npu.softcann", "--prefix"], check=True, capture_output=True, text=True, cwd="/").stdout.strip()
    vendor = build_environment(Path(os.environ.get("VENDOR_ENV", ROOT / ".venv-vendor")))
    return Adapter("ours", ours, prefix), Adapter("vendor", vendor, prefix)


def operators(select):
    """Operators of the database with float32 samples, in its order."""
    program = ("import torch; from torch.testing._internal.common_methods_invocations import op_db\n"
               "for op in op_db:\n if torch.float32 in op.supported_dtypes('cpu'): print(op.full_name)")
    names = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd="/").stdout.split()
    return [n for n in names if re.search(select, n)]


# ---- comparing

def differences(operator, ours, vendor):
    """[(operator, function, parameter, ours, vendor)] without repetitions."""
    out = {}
    for sample in sorted(ours.keys() & vendor.keys()):
        pairs = collections.defaultdict(lambda: ([], []))
        for side, calls in enumerate((ours[sample], vendor[sample])):
            for function, arguments in calls:
                pairs[function][side].append(arguments)
        for function, (a, b) in pairs.items():
            if not a or not b:
                continue  # other functions: no statement about arguments
            if len(a) != len(b):
                out[operator, function, "number of calls", str(len(a)), str(len(b))] = None
                continue
            for x, y in zip(a, b):
                out.update({(operator, function, name, x[name], y[name]): None for name in x if name in y and x[name] != y[name]})
    return list(out)


class Explanations:
    """Rows of explained.yaml: regular expressions for what they match, and a reason. Each must match something in a full run."""

    def __init__(self):
        self.rows = yaml.safe_load((HERE / "explained.yaml").read_text()) or []
        self.used = set()

    def reason(self, operator, function, parameter, ours, vendor):
        values = {"operator": operator, "function": function, "parameter": parameter, "ours": ours, "vendor": vendor}
        for i, row in enumerate(self.rows):
            if "same" in row and not SAME[row["same"]](ours, vendor):
                continue
            if all(re.fullmatch(row[key], value) for key, value in values.items() if key in row):
                self.used.add(i)
                return row["reason"]
        return ""


def _without_strides(text):
    return re.sub(r" strides \[[^\]]*\]", "", text)


def _number(text):
    match = re.fullmatch(r"(?:[A-Z]+\d* )?(-?[\d.]+(?:e[+-]?\d+)?|-?inf|nan|true|false)", text)
    return float({"true": "1", "false": "0"}.get(match[1], match[1])) if match else None


def _close(a, b):
    a, b = _number(a), _number(b)
    return a is not None and b is not None and (a == b or abs(a - b) <= 1e-6 * max(abs(a), abs(b)))


#: Differences that are none in meaning: what a row's key "same" asks for.
SAME = {
    "but for strides": lambda a, b: _without_strides(a) == _without_strides(b),
    "number": _close,
}


def good(outcome):
    return outcome in ("equal", "random") or outcome.startswith("refused")


def vendor_trouble(ours, vendor):
    """What the vendor's adapter gets wrong where ours does not, in words; "" if nothing."""
    if ours is None:
        return ""
    if vendor is None:
        return "crash or hang"
    for a, b in zip(ours, vendor):
        if good(a) and not good(b):
            return re.sub(r"0x[0-9a-f]+|\[?PID.*", "", b)[:120]
    return ""


# ---- commands

def read(name):
    path = HERE / f"{name}.csv"
    if not path.exists():
        return []
    with open(path, newline="") as f:
        return [tuple(row[field] for field in FIELDS[name]) for row in csv.DictReader(f)]


def write(name, rows):
    with open(HERE / f"{name}.csv", "w", newline="") as f:
        writer = csv.writer(f, lineterminator="\n")
        writer.writerow(FIELDS[name])
        writer.writerows(rows)


def collect(names, samples, progress=print):
    """Rows of both lists for the operators, and the operators of which ours is wrong."""
    explanations, found, trouble, ours_wrong, other = Explanations(), [], [], [], []
    pair = adapters()
    try:
        for operator in names:
            (ours, our_calls), (vendor, vendor_calls) = (a.run(operator, samples) for a in pair)
            examples = {}
            for row in differences(operator, our_calls, vendor_calls):
                reason = explanations.reason(*row)
                examples.setdefault((*row[:3], reason), (*row, reason))
            found += examples.values()
            if text := vendor_trouble(ours, vendor):
                trouble.append((operator, text))
            if ours is None or not all(map(good, ours)):
                ours_wrong.append((operator, "crash or hang" if ours is None else next(o for o in ours if not good(o))))
            used = [sorted({f for sample in calls.values() for f, _ in sample}) for calls in (our_calls, vendor_calls)]
            if used[0] != used[1]:
                other.append((operator, " ".join(used[0]), " ".join(used[1])))
            progress(f"{operator}: {ours and collections.Counter(map(good, ours))[True]} / {vendor and collections.Counter(map(good, vendor))[True]}")
    finally:
        for adapter in pair:
            adapter.close()
    return found, trouble, ours_wrong, other, explanations


def verdict(names, found, trouble):
    """Sentences about what the lists do not say."""
    problems = [f"{' '.join(row[:3])}: ours {row[3]}, the vendor's {row[4]}: no reason given" for row in found if not row[5]]
    # Examples differ with the samples and messages with the moment, the rest must be as listed.
    keys = {"differences": lambda row: (*row[:3], row[5]), "vendor": lambda row: row[:1]}
    for name, rows in (("differences", found), ("vendor", trouble)):
        now = set(map(keys[name], rows))
        listed = {keys[name](row) for row in read(name) if row[0] in set(names)}
        problems += [f"{name}.csv does not have: {', '.join(r)}" for r in sorted(now - listed)]
        problems += [f"{name}.csv is stale: {', '.join(r)}" for r in sorted(listed - now)]
    return problems


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.clients.witness", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run")
    run.add_argument("--select", default="")
    run.add_argument("--samples", type=int, default=4)
    run.add_argument("--update", action="store_true")
    run.add_argument("--functions", action="store_true", help="also print where the two call different functions")
    commands.add_parser("report")
    args = parser.parse_args()
    if args.command == "report":
        for reason, n in collections.Counter(r[5] or "(no reason)" for r in read("differences")).most_common():
            print(f"{n:5} {reason}")
        print(f"{len(read('vendor')):5} operators that the vendor's adapter gets wrong on softcann and ours does not")
        return 0
    names = operators(args.select)
    found, trouble, ours_wrong, other, explanations = collect(names, args.samples)
    for operator, text in ours_wrong:
        print(f"ours: {operator}: {text}")
    if args.functions:
        for row in other:
            print("functions: {}: ours {} | vendor {}".format(*row))
    if args.update:
        chosen = set(names)
        write("differences", sorted([r for r in read("differences") if r[0] not in chosen] + found))
        write("vendor", sorted([r for r in read("vendor") if r[0] not in chosen] + trouble))
    problems = verdict(names, found, trouble)
    if not args.select:
        problems += [f"explained.yaml: row {i + 1} explains nothing" for i in range(len(explanations.rows)) if i not in explanations.used]
    print("\n".join(problems))
    print(f"{len(names)} operators, {len(found)} differences, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
