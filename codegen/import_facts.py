"""Rewrite ``abi/*.csv`` from a directory of CANN fact tables.

    python codegen/import_facts.py --facts DIR

``abi/`` is the source the build reads; this script is only run when the facts are refreshed.  It keeps what the project
needs, under the project's own column names, and normalises spelling (``type *`` -> ``type*``, one entry per parameter).
Kept by hand and never touched here: ``*_manual.csv`` (rows the facts do not have), ``libraries.csv`` and ``errors.csv``.
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
    table = _read(facts / "aclnn_functions.csv")
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
            "dtypes": re.sub(r"\s+", " ", r["documented_dtypes"]).strip(),
            "used_by_adapter": r["used_by_torch_npu"], "since": r["first_seen"],
            "max_workspace": "yes" if r["op"] in max_workspace else "",
        })
    rows.sort(key=lambda r: r["op"])
    _write("aclnn.csv", list(rows[0]), rows)


#: function tables that the SDK and softcann are made from, and how their library column is spelled here
LIBRARY = {
    "libhccl.so (implemented in libhcomm.so)": "libhccl.so", "libhcomm.so (torch_npu looks it up there)": "libhccl.so",
    "libprofapi.so (reached through libascendcl.so/libge_runner.so)": "libprofapi.so",
}

#: types that headers use and no table defines: handles and codes of the driver layer
EXTRA_TYPEDEFS = {
    "rtError_t": "int32_t", "rtStream_t": "void*", "drvError_t": "int32_t", "char_t": "char", "ThreadHandle": "uint64_t",
    "HcclMemHandle": "void*",
}


def functions(facts):
    rows = []
    for table in ("acl_functions.csv", "hccl_functions.csv", "aux_functions.csv"):
        for r in _read(facts / table):
            library = LIBRARY.get(r["library"], r["library"])
            if not library.startswith("lib") or any(x["name"] == r["name"] for x in rows):
                continue
            how = r.get("how_used", "") + r.get("requirement", "")
            if r["return_type"].strip() in ("", "?") or "?" in r["parameters"]:
                continue
            rows.append({
                "name": r["name"], "library": library, "return": _type(r["return_type"]),
                "parameters": _function_parameters(r["parameters"]),
                "header": r["header"] if r["header"].endswith(".h") and " " not in r["header"] else "",
                "requirement": "optional" if "optional" in how or "probe" in how else "required",
                "used_by_adapter": "yes" if r.get("used_by_torch_npu", r.get("in_wheel")) == "yes" else "no",
                "since": r.get("first_seen", ""),
            })
    rows.sort(key=lambda r: (r["library"], r["name"]))
    _write("functions.csv", list(rows[0]), rows)


def _function_parameters(text):
    parts = [p for p in (p.strip() for p in text.split(";")) if p and p != "void"]
    out = []
    for i, part in enumerate(parts):
        if part == "...":
            out.append("...")
            continue
        m = re.match(r"^(?P<type>.*?[\s*&])(?P<name>\w+)(?P<array>\[\w*\])?$", part)
        if not m:
            m = re.match(r"^(?P<type>.+)$", part)
            out.append(f"{_type(m['type'])} arg{i}")
        else:
            out.append(f"{_type(m['type'])}{'*' if m['array'] else ''} {m['name']}")
    return "; ".join(out)


def constants(facts):
    rows, seen = [], set()
    for r in _read(facts / "acl_enums.csv"):
        if r["constant"] not in seen:  # the first source is the newest
            seen.add(r["constant"])
            rows.append({"enum": r["enum"], "constant": r["constant"], "value": r["value"], "header": r["header"], "area": r["area"]})
    _write("constants.csv", list(rows[0]), rows)


def structs(facts):
    rows, source = [], {}
    for r in _read(facts / "acl_structs.csv"):
        if source.setdefault(r["name"], r["source_repo"]) != r["source_repo"]:
            continue
        rows.append({k: r[c] for k, c in (("kind", "kind"), ("name", "name"), ("size", "size_bytes"), ("field", "field"),
                                          ("type", "type"), ("offset", "offset_bytes"), ("header", "header"), ("area", "area"))})
    rows += [{"kind": "typedef", "name": n, "size": "", "field": "", "type": t, "offset": "", "header": "", "area": "extra"}
             for n, t in EXTRA_TYPEDEFS.items() if n not in source]
    _write("structs.csv", list(rows[0]), rows)


def small_tables(facts):
    for name, target in (("soc_names.csv", "soc_names.csv"), ("versions.csv", "versions.csv")):
        rows = _read(facts / name)
        _write(target, list(rows[0]), rows)


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
    rows, seen = [], set()

    def add(name, library, result, parameters, header, since):
        if name in seen or not library.startswith("lib"):
            return
        seen.add(name)
        rows.append({
            "name": name, "library": library, "return": result, "parameters": parameters,
            "header": "" if UNPUBLISHED.search(header) else header, "since": since,
            "requirement": "required" if name in REQUIRED else "optional",
        })

    for table in ("acl_functions.csv", "hccl_functions.csv"):
        for r in _read(facts / table):
            if r["return_type"]:
                add(r["name"], _library(r["library"]), _type(r["return_type"]), _named(r["parameters"]), r["header"],
                    r["first_seen"])
    for r in _read(facts / "aux_functions.csv"):
        if r["return_type"]:
            add(r["name"], _library(r["library"]), _type(r["return_type"]), _named(r["parameters"]), r["header"], "")
        elif r["caller_pointer_type"]:
            result, parameters = _pointer_signature(r["caller_pointer_type"])
            add(r["name"], _library(r["library"]), result, parameters, "", "")
    for r in _read(facts / "aclnn_functions.csv"):
        if r["function"] == "(direct call)" and r["parameters"] and r["source_path"].endswith(".h"):
            add(r["op"], "libopapi.so", "aclnnStatus", re.sub(r" \[\w+\]", "", _named(r["parameters"])),
                "aclnnop/" + r["source_path"].rsplit("/", 1)[-1], r["first_seen"])
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
