"""Write docs/support.md from ``abi/``, softcann's sources and the operator tables.

    python codegen/gen_support.py [--check]

``--check`` writes nothing and fails if the file is not current.
"""
import argparse
import sys
from pathlib import Path

import abi_model
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


def render():
    return "\n".join(["# What softcann supports", "", "Written by `python codegen/gen_support.py`; do not edit.", "",
                      *operators(), *runtime_libraries(), *absent_libraries()]).rstrip() + "\n"


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
