"""Write docs/support.md from ``abi/``, softcann's sources and the operator tables.

    python codegen/gen_support.py [--check]

``--check`` writes nothing and fails if the file is not current.
"""
import argparse
import csv
import re
import sys
from pathlib import Path

import abi_model
import coverage
import layouts
import yaml
from gen_exports import definitions
from output import write_if_changed

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "support.md"


def table(header, rows):
    return ["| " + " | ".join(header) + " |", "|" + "|".join("---" for _ in header) + "|",
            *("| " + " | ".join(str(c) for c in row) + " |" for row in rows), ""]


def listing(names, width=118):
    """Names as a paragraph, wrapped."""
    lines, line = [], ""
    for word in (f"`{n}`" for n in sorted(names)):
        if line and len(line) + len(word) + 1 > width:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return [*lines, line, ""]


def runtime_libraries():
    done = definitions()
    rows, details = [], []
    for library in abi_model.libraries().values():
        functions = [f.name for f in abi_model.functions_of(library.name)]
        if not library.shipped or not functions:
            continue
        have = [n for n in functions if n in done]
        lack = [n for n in functions if n not in done]
        rows.append((f"`{library.name}`", len(functions), len(have), len(lack)))
        details += [f"### {library.name}", ""]
        if have:
            details += ["Implemented:", "", *listing(have)]
        if lack:
            details += ["Exported, answers \"not supported\":", "", *listing(lack)]
    return [
        "## Functions", "",
        "An implemented function behaves as CANN documents it. The others exist under CANN's name, answer CANN's code for \"not",
        "supported\" and name themselves through `aclGetRecentErrMsg`.", "",
        *table(("library", "functions", "implemented", "not supported"), rows), *details,
    ]


def absent_libraries():
    rows = [(f"`{lib.name}`", lib.reason) for lib in abi_model.libraries().values() if not lib.shipped]
    return ["## Libraries that are not shipped", "", *table(("library", "reason"), rows)]


def rows_of(directory):
    """{row name: row} of the operator tables in one directory."""
    rows = {}
    for path in sorted((ROOT / directory).glob("*.yaml")):
        rows.update(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    rows.pop("include", None)
    return rows


def operators():
    """Operators: what softcann computes (``softcann/ops/*.yaml``), what the adapter calls (``csrc/ops/*.yaml``)."""
    known = abi_model.aclnn_ops()
    computed = sorted(n for n in rows_of("softcann/ops") if n in known)
    lines = ["## Operators", "",
             f"CANN's operator library has {len(known)} two-phase functions; softcann exports all of them and computes {len(computed)}.", ""]
    if computed:
        lines += ["Computed by softcann:", "", *listing(computed)]
    return lines


WAYS = {
    "native": "native: a kernel that calls aclnn functions, or only changes sizes, strides and storage",
    "composed": "composed: a kernel made of other operators of npu",
    "fallback": "CPU fallback, or a clear error where no copy can stand in",
    "vendor": "of another vendor's library or hardware, or PyTorch's own test",
}


def quoted(names):
    return " ".join(f"`{n}`" for n in names)


def adapter_operators():
    """Every ATen function without composite implementation: how it runs."""
    functions = coverage.functions()
    kinds = (("dense", "ordinary tensors"), ("layout", "only sparse, nested, quantized tensors"), ("other", "others"), (None, "all"))
    totals = {kind: coverage.totals(kind) for kind, _ in kinds}
    summary = [(text, *(f"{totals[kind][way][0]:,} ({totals[kind][way][1]})" for kind, _ in kinds)) for way, text in WAYS.items()]
    summary.append(("sum", *("{:,} ({})".format(*(sum(v) for v in zip(*totals[kind].values()))) for kind, _ in kinds)))
    by_hand = coverage.hand_written()
    lines = ["## ATen operators of the adapter", "",
             "PyTorch implements the others of its functions by these, which have no composite implementation. Functions, and in brackets",
             "base operators (a base operator counts as its best function does); the columns say which tensors ATen has kernels for.", "",
             *table(("", *(heading for _, heading in kinds)), summary),
             "What falls back is said once per operator, counted by `torch_npu.fallbacks()` and refused under `TORCH_NPU_FALLBACK=error`.", "",
             f"{len(coverage.kernels()) - len(by_hand)} functions come from {len(rows_of('csrc/ops'))} rows, {len(by_hand)} are written by hand; "
             "rows also serve functions that have", "a composite implementation.", ""]
    for way, heading in (("native", "Native"), ("composed", "Composed of other operators"), ("fallback", "On the CPU, with the reason"),
                         ("vendor", "Not for this device")):
        groups = {}
        for f in functions:
            if f.way == way:
                groups.setdefault((f.base, f.detail), []).append(f.name)
        if way in ("fallback", "vendor"):
            by_reason = {}
            for (_, reason), names in groups.items():
                by_reason.setdefault(reason, []).extend(names)
            lines += [f"### {heading}", "", *table(("reason", "functions"), ((r, quoted(n)) for r, n in by_reason.items()))]
        elif way == "composed":
            lines += [f"### {heading}", "", *listing([n for names in groups.values() for n in names])]
        else:
            lines += [f"### {heading}", "", *table(("functions", "aclnn functions"), (
                (quoted(names), quoted(detail.split()) or "none needed") for (base, detail), names in groups.items()))]
    lines += ["### ATen's own kernels for sparse and nested tensors", "",
              "ATen writes them as calls of other operators, so they serve every device (`codegen/layouts.py`).", "",
              *listing({str(f.func.name) for functions in layouts.registrations().values() for f, _ in functions})]
    lines += ["### Written by hand", "", "Each file's first comment says why a row could not do.", "",
              *table(("file", "functions"), ((f"`csrc/ops/{source}`", quoted(n for n, k in by_hand if k.source == source))
                                             for source in sorted({k.source for _, k in by_hand})))]
    return lines


def custom_operators():
    """Operators of the namespace npu, from the schemas in csrc/ops."""
    defined = sorted(name for path in (ROOT / "csrc" / "ops").rglob("*.cpp")
                     for name in re.findall(r'm\.def\(\s*"(npu_\w+)\(', path.read_text(encoding="utf-8")))
    return ["## Operators that torch has not", "",
            f"In `torch.ops.npu`: {quoted(defined)}. The other custom operators of the vendor's adapter are not there yet.", ""]


def python_names():
    """Names of the vendor's adapter that are not there, by reason."""
    tests = ROOT / "tests" / "python"
    known = len(list(csv.DictReader((tests / "public_api.csv").read_text().splitlines())))
    by_reason = {}
    for row in csv.DictReader((tests / "public_api_absent.csv").read_text().splitlines()):
        by_reason.setdefault(row["reason"], []).append(row["name"])
    return ["## Python names that are not there", "",
            f"Of the {known} public names of the vendor's adapter that are about devices, streams, memory, random numbers, mixed precision and",
            "helpers, these are missing, with all that their `.*` stands for:", "",
            *table(("reason", "names"), ((reason, quoted(names)) for reason, names in sorted(by_reason.items())))]


def render():
    return "\n".join(["# What works, and what does not", "", "Written by `python codegen/gen_support.py`; do not edit.", "",
                      *operators(), *adapter_operators(), *custom_operators(), *python_names(), *runtime_libraries(), *absent_libraries()]).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != render():
            sys.exit("docs/support.md is not current: run python codegen/gen_support.py and commit it")
        return
    write_if_changed(PAGE, render())


if __name__ == "__main__":
    main()
