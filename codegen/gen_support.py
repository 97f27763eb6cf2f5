"""Write docs/support.md from ``abi/``, softcann's sources and the operator tables.

    python codegen/gen_support.py [--check]

``--check`` writes nothing and fails if the file is not current.
"""
import argparse
import re
import sys
from pathlib import Path

import abi_model
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
             f"CANN's operator library has {len(known)} two-phase functions; softcann exports all of them and computes {len(computed)}.", "",
             f"The adapter has {len(rows_of('csrc/ops'))} operator rows; operators without a row run on the CPU (see", "`TORCH_NPU_FALLBACK`).", ""]
    if computed:
        lines += ["Computed by softcann:", "", *listing(computed)]
    return lines


def called(row):
    """The aclnn functions a row of the adapter calls, in order of appearance; none for a composed operator."""
    text = row if isinstance(row, str) else str([row.get(k) for k in ("aclnn", "cpu_scalar", "instead")])
    return list(dict.fromkeys(re.findall(r"\baclnn\w+", text)))


def adapter_operators():
    """ATen operators with a kernel: from a row, composed of others, or written by hand."""
    rows = rows_of("csrc/ops")
    native = {n: called(r) for n, r in rows.items() if called(r)}
    composed = [n for n in rows if n not in native]
    by_hand = {}
    for path in sorted((ROOT / "csrc/ops").glob("*.cpp")):
        for name in re.findall(r'm\.impl\("([\w.]+)"', path.read_text(encoding="utf-8")):
            by_hand[name] = path.name
    return ["## ATen operators of the adapter", "",
            "A row stands for all variants (functional, in-place, `out=`) of its operator. What is not here and has no composite",
            "implementation in PyTorch runs on the CPU: said once per operator, counted by `torch_npu.fallbacks()`, refused under",
            "`TORCH_NPU_FALLBACK=error`.", "",
            *table(("operator", "aclnn functions"), ((f"`{n}`", " ".join(f"`{c}`" for c in calls)) for n, calls in sorted(native.items()))),
            "Composed of native operators:", "", *listing(composed),
            "ATen's own kernels, which serve sparse and nested tensors on every device (`codegen/layouts.py`):", "",
            *listing({str(f.func.name) for functions in layouts.registrations().values() for f, _ in functions}),
            "Written by hand, each file says why:", "",
            *table(("operator", "file"), ((f"`{n}`", f"`csrc/ops/{f}`") for n, f in sorted(by_hand.items())))]


def render():
    return "\n".join(["# What works, and what does not", "", "Written by `python codegen/gen_support.py`; do not edit.", "",
                      *operators(), *adapter_operators(), *runtime_libraries(), *absent_libraries()]).rstrip() + "\n"


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
