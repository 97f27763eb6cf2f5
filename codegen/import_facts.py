"""Rewrite ``abi/*.csv`` from a directory of CANN fact tables.

    python codegen/import_facts.py --facts DIR

``abi/`` is the source the build reads; this script is only run when the facts are refreshed.  It keeps what the project
needs, under the project's own column names, and normalises spelling (``type *`` -> ``type*``, one entry per parameter).
Kept by hand and never touched here: ``*_manual.csv`` (what the facts do not have), ``libraries.csv`` and ``errors.csv``. Of these,
``since_manual.csv`` and ``dtypes_manual.csv`` are merged into what is written.
"""
import argparse
import csv
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import abi_model  # noqa: E402

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
        out.append((ctype, m["name"], m["dir"]))
    # Sources mark some inputs as outputs for their name ("output" of a backward function): what cannot be written to is
    # none beside an output that can.
    writable = any(d == "out" and t == "aclTensor*" for t, _, d in out)
    spell = lambda t, n, d: f"{t} {n}" + (f" [{'in' if writable and d == 'out' and t == 'const aclTensor*' else d}]" if d else "")
    return "; ".join(spell(*p) for p in out)


def aclnn(facts):
    """Two-phase operators.  Rows without a public signature are left out: nothing can be exported for them."""
    rows, seen = [], set()
    table = _read(facts / "aclnn_functions.csv")
    since = Since(facts)
    dtypes = {r["op"]: r["dtypes"] for r in _read(ABI / "dtypes_manual.csv")}
    max_workspace = {r["op"] for r in table if r["function"].endswith("GetMaxWorkspaceSize")}
    for r in table:
        text = r["parameters"]
        if not text.strip() or "?" in text or "aclOpExecutor**" not in text.replace(" ", ""):
            continue
        if r["function"] != r["op"] + "GetWorkspaceSize" or r["op"] in seen:
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
            "dtypes": dtypes.get(r["op"]) or re.sub(r"\s+", " ", r["documented_dtypes"]).strip(),
            "used_by_adapter": r["used_by_torch_npu"], "since": since(r["op"], r),
            "max_workspace": "yes" if r["op"] in max_workspace else "",
        })
    rows.sort(key=lambda r: r["op"])
    _write("aclnn.csv", list(rows[0]), rows)


class Since:
    """The first release with a function: ``8.5.0`` where it came with that release, ``<=8.1.RC1`` where that is the oldest one it
    is recorded in, and older ones are not known.  Headers are at hand from 8.1.RC1 on (``first_seen``); ``since_manual.csv`` has
    what clients of older releases use."""

    def __init__(self, facts):
        self.known = {r["name"]: r["release"] for r in _read(ABI / "since_manual.csv")}

    def __call__(self, name, row):
        seen = row["first_seen"]
        if not seen and row.get("sig_8_1_RC1") == "absent" and UNPUBLISHED.search(row["header"]) is None:
            seen = "master"
        known = self.known.get(name)
        if known and (not seen or abi_model.RELEASES.index(known) < abi_model.RELEASES.index(seen.removeprefix("<="))):
            return "<=" + known
        return seen


#: What the adapter cannot work without, in every CANN it supports; the rest is asked for with ``available()``.
REQUIRED = frozenset("""
    aclInit aclFinalize aclGetRecentErrMsg aclrtSetDevice aclrtResetDevice aclrtGetDevice aclrtGetDeviceCount aclrtGetSocName
    aclrtSynchronizeDevice aclrtCreateContext aclrtDestroyContext aclrtGetCurrentContext aclrtSetCurrentContext
    aclrtCreateStreamWithConfig aclrtDestroyStream aclrtSynchronizeStream aclrtStreamQuery aclrtStreamWaitEvent
    aclrtCreateEventWithFlag aclrtDestroyEvent aclrtRecordEvent aclrtSynchronizeEvent aclrtEventElapsedTime
    aclrtMalloc aclrtFree aclrtMallocHost aclrtFreeHost aclrtMemcpy aclrtMemcpyAsync aclrtMemset aclrtMemsetAsync
    aclrtGetMemInfo aclCreateTensor aclDestroyTensor aclCreateScalar aclDestroyScalar aclCreateIntArray
    aclDestroyIntArray aclCreateBoolArray aclDestroyBoolArray aclCreateFloatArray aclDestroyFloatArray aclCreateTensorList
    aclDestroyTensorList aclCreateScalarList aclDestroyScalarList aclGetViewShape
""".split())

#: Headers that only the vendor's own builds see: their functions are exported, but no header of the SDK declares them.
UNPUBLISHED = re.compile(r"nnopbase internal|loader declaration|^$")


def _pointer_signature(text):
    """Return type and parameters from ``ret (*)(a, b)``, for functions that only a caller declares."""
    m = re.fullmatch(r"(.*?)\s*\(\*\)\((.*)\)", text)
    types = [t.strip() for t in m[2].split(",") if t.strip() not in ("", "void")]
    return _type(m[1]), "; ".join(f"{_type(t)} arg{i}" for i, t in enumerate(types))


def _named(text):
    """Parameters of one table row; the unnamed ones get a number."""
    parts = [p.strip() for p in text.split(";") if p.strip()]
    return "; ".join(
        p if p == "..." else _parameters(p) if re.search(r"[\s*]\w+(\[\d*\])?(\s*\[\w+\])?$", p) and not p.endswith("*")
        else f"{_type(p)} arg{i}" for i, p in enumerate(parts))


def _library(text):
    """``libhccl.so (implemented in libhcomm.so)`` -> ``libhccl.so``"""
    return text.split()[0]


def functions(facts):
    rows, seen, since = [], set(), Since(facts)

    def add(name, library, result, parameters, header, first):
        if name in seen or not library.startswith("lib"):
            return
        seen.add(name)
        rows.append({
            "name": name, "library": library, "return": result, "parameters": parameters,
            "header": "" if UNPUBLISHED.search(header) else header, "since": first,
            "requirement": "required" if name in REQUIRED else "optional",
        })

    for table in ("acl_functions.csv", "hccl_functions.csv"):
        for r in _read(facts / table):
            if r["return_type"]:
                add(r["name"], _library(r["library"]), _type(r["return_type"]), _named(r["parameters"]), r["header"],
                    since(r["name"], r))
    for r in _read(facts / "aux_functions.csv"):
        if r["return_type"]:
            add(r["name"], _library(r["library"]), _type(r["return_type"]), _named(r["parameters"]), r["header"], "")
        elif r["caller_pointer_type"]:
            result, parameters = _pointer_signature(r["caller_pointer_type"])
            add(r["name"], _library(r["library"]), result, parameters, "", "")
    for r in _read(facts / "aclnn_functions.csv"):
        if r["function"] == "(direct call)" and r["parameters"] and r["source_path"].endswith(".h"):
            add(r["op"], "libopapi.so", "aclnnStatus", re.sub(r" \[\w+\]", "", _named(r["parameters"])),
                "aclnnop/" + r["source_path"].rsplit("/", 1)[-1], since(r["op"], r))
    rows.sort(key=lambda r: (r["library"], r["name"]))
    _write("functions.csv", list(rows[0]), rows)


def constants(facts):
    """Enumerators (``type`` = the enum), ``static const`` (``type`` = C type) and ``#define`` values."""
    rows, seen = [], set()
    for r in _read(facts / "acl_enums.csv"):
        if r["constant"] not in seen:      # the first source is the newest one
            seen.add(r["constant"])
            rows.append({"name": r["constant"], "type": r["enum"], "value": r["value"], "header": r["header"]})
    _write("constants.csv", list(rows[0]), rows)


def structs(facts):
    """Fields in order; opaque handles and typedefs have one row without a field name."""
    rows, source = [], {}
    for r in _read(facts / "acl_structs.csv"):
        if source.setdefault(r["name"], r["source_repo"]) != r["source_repo"]:
            continue                       # an older layout of the same struct
        rows.append({"name": r["name"], "kind": r["kind"], "size": r["size_bytes"], "field": r["field"],
                     "type": r["type"], "offset": r["offset_bytes"], "header": r["header"]})
    _write("structs.csv", list(rows[0]), rows)


def soc(facts):
    rows = [{"name": r["soc_name"], "order": r["value"]} for r in _read(facts / "soc_names.csv")]
    _write("soc.csv", list(rows[0]), rows)


def versions(facts):
    rows = [{"cann": r["cann"], "torch": r["torch"], "vendor_adapter": r["vendor_adapter"], "python": r["python"]}
            for r in _read(facts / "versions.csv")]
    _write("versions.csv", list(rows[0]), rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=Path, required=True)
    args = parser.parse_args()
    ABI.mkdir(exist_ok=True)
    for table in (aclnn, functions, constants, structs, soc, versions):
        table(args.facts)


if __name__ == "__main__":
    main()
