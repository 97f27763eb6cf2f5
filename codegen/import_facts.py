"""Rewrite ``abi/*.csv`` from a directory of CANN fact tables.

    python codegen/import_facts.py --facts DIR

``abi/`` is the source the build reads; this script is only run when the facts are refreshed.  It keeps what the project
needs, under the project's own column names, and normalises spelling (``type *`` -> ``type*``, one entry per parameter).
"""
import argparse
import csv
import re
from pathlib import Path

ABI = Path(__file__).resolve().parent.parent / "abi"


def _read(path):
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def _write(name, columns, rows):
    with open(ABI / name, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"abi/{name}: {len(rows)} rows")


def _type(text):
    text = re.sub(r"\s*\*\s*", "*", " ".join(text.split()))
    return re.sub(r"\*+$", lambda m: m.group(0), text)


def _parameters(text):
    """``type name [dir]; ...`` with one canonical spelling."""
    out = []
    for part in filter(None, (p.strip() for p in text.split(";"))):
        m = re.match(r"^(?P<type>.*?[\s*&])(?P<name>\w+(?:\[\d*\])?)(?:\s*\[(?P<dir>in|out|inout)\])?$", part)
        if not m:
            raise ValueError(f"cannot parse parameter {part!r}")
        ctype = _type(m["type"]).replace("onst acl", "const acl").replace("cconst", "const")
        out.append(f"{ctype} {m['name']}" + (f" [{m['dir']}]" if m["dir"] else ""))
    return "; ".join(out)


def aclnn(facts):
    """Two-phase operators.  Rows without a public signature are left out: nothing can be exported for them."""
    rows, seen = [], set()
    for r in _read(facts / "aclnn_functions.csv"):
        text = r["parameters"]
        if not text.strip() or "?" in text or "aclOpExecutor**" not in text.replace(" ", ""):
            continue
        if not r["function"].endswith("GetWorkspaceSize") or r["op"] in seen:
            continue
        parts = _parameters(text).split("; ")
        if "workspaceSize" not in parts[-2] or "xecutor" not in parts[-1]:
            continue
        seen.add(r["op"])
        source = r["source_path"].rsplit("/", 1)[-1]
        header = source if re.fullmatch(r"aclnn\w*\.h", source) else \
            "aclnn_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", r["op"].removeprefix("aclnn")).lower() + ".h"
        rows.append({
            "op": r["op"], "header": "aclnnop/" + header, "split_library": r["library"],
            "parameters": "; ".join(parts[:-2]),
            "dtypes": re.sub(r"\s+", " ", r["documented_dtypes"]).strip(),
            "used_by_adapter": r["used_by_torch_npu"], "since": r["first_seen"],
        })
    rows.sort(key=lambda r: r["op"])
    _write("aclnn.csv", list(rows[0]), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, required=True)
    args = parser.parse_args()
    ABI.mkdir(exist_ok=True)
    aclnn(args.facts)


if __name__ == "__main__":
    main()
