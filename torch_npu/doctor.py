"""What is installed, whether it fits together, and what to do if not.

    python -m torch_npu.doctor [--json]

Exit code 0: an npu can be used. 1: it cannot. Also works when the adapter's library cannot be loaded: then it looks at files
alone.
"""

import argparse
import csv
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

import torch

import torch_npu
from torch_npu import _compat, _library

# Without these no operator runs; each may also come in the parts that newer CANN versions have.
REQUIRED_LIBRARIES = {
    "libascendcl.so": ["libascendcl.so"],
    "libnnopbase.so": ["libnnopbase.so"],
    "libopapi.so": ["libopapi.so", "libopapi_*.so", "libaclnn_*.so"],
}
OLDEST_CANN = "7.0.0"
DEFAULT_LOCATIONS = [
    "/usr/local/Ascend/cann",
    "/usr/local/Ascend/ascend-toolkit/latest",
    "~/Ascend/cann",
    "~/Ascend/ascend-toolkit/latest",
]
VARIABLES = [
    "ASCEND_HOME_PATH",
    "ASCEND_TOOLKIT_HOME",
    "ASCEND_OPP_PATH",
    "LD_LIBRARY_PATH",
    "TORCH_DEVICE_BACKEND_AUTOLOAD",
    "ASCEND_RT_VISIBLE_DEVICES",
    "ASCEND_LAUNCH_BLOCKING",
    "TASK_QUEUE_ENABLE",
]
PREFIXES = ("TORCH_NPU_", "SOFTCANN_", "PYTORCH_NPU_")
REINSTALL = "Install the wheel again: bash ci/build.sh writes it to dist/"
SMALL_PROGRAM = """
import sys, torch, torch_npu
try:
    x = torch.ones(2, device="npu")
    if (x + x).tolist() != [2.0, 2.0]:
        sys.exit("1 + 1 is not 2")
except Exception as e:
    sys.exit(str(e))
"""


def version_table():
    """Rows of the table of versions that were released together: CANN, torch, vendor's adapter, Pythons."""
    package = pathlib.Path(torch_npu.__path__[0])
    for path in (package / "versions.csv", package.parent / "abi" / "versions.csv"):
        if path.exists():
            with open(path, newline="") as f:
                return list(csv.DictReader(f))
    return []


def _release(version):
    """CANN's version as something to compare: 8.0.RC1 < 8.0.RC2 < 8.0.0 < 8.1.RC1."""
    numbers = [int(n) for n in re.findall(r"\d+", version)]
    if "RC" in version.upper():
        return (*numbers[:2], -1, *numbers[2:])
    return tuple(numbers)


def judge_cann(version, table):
    """(fits, sentence) for a CANN version."""
    known = sorted({row["cann"] for row in table}, key=_release)
    if not version:
        return None, "its version is not written where CANN writes it"
    pairs = [row["torch"] for row in table if row["cann"] == version]
    if _release(version) < _release(OLDEST_CANN):
        return False, f"too old: {OLDEST_CANN} or newer is needed"
    if pairs:
        return True, f"known; its vendor released adapters for torch {', '.join(pairs)} with it"
    if known and _release(version) > _release(known[-1]):
        return None, f"newer than the newest version known here, {known[-1]}"
    return None, "not in the table of known versions"


# Where an installation states its version, in this order; packages have versions of their own, so the first one counts.
VERSION_FILES = [
    ("version.cfg", "version"),
    ("toolkit/version.info", "version"),
    ("*-linux/ascend_toolkit_install.info", "version"),
    ("version.cfg", "toolkit_running_version"),
    ("runtime/version.info", "version"),
    ("compiler/version.info", "version"),
    ("opp/version.info", "version"),
]


def cann_version(home):
    """The version that a CANN installation states about itself, or ``None``."""
    for pattern, key in VERSION_FILES:
        for path in sorted(home.glob(pattern)):
            match = re.search(rf"^\s*{key}\s*=(.*)$", path.read_text(errors="replace"), re.I | re.M)
            # "[7.7.0.1.238:8.1.RC1]": the running version is behind the colon.
            version = match and re.sub(r'[\[\]"\s]', "", match[1]).rpartition(":")[2]
            if version:
                return version
    return None


def _library_directory(home):
    for name in ("lib64", f"{platform.machine()}-linux/lib64", "runtime/lib64"):
        if (home / name).is_dir():
            return home / name
    return None


def find_cann():
    """Every CANN that the environment or the usual places offer, in the order in which the adapter looks."""
    places = [(f"${name}", os.environ[name]) for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME") if os.environ.get(name)]
    for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if entry and (pathlib.Path(entry) / "libascendcl.so").exists():
            places.append(("$LD_LIBRARY_PATH", str(pathlib.Path(entry).parent)))
    places += [("not in the environment", place) for place in DEFAULT_LOCATIONS if pathlib.Path(place).expanduser().is_dir()]
    found, seen, table = [], set(), version_table()
    for found_by, place in places:
        home = pathlib.Path(place).expanduser()
        if home.resolve() in seen:
            continue
        seen.add(home.resolve())
        libraries = _library_directory(home)
        missing = [
            library
            for library, spellings in REQUIRED_LIBRARIES.items()
            if libraries is None or not any(any(libraries.glob(s)) for s in spellings)
        ]
        version = cann_version(home) if home.is_dir() else None
        fits, remark = judge_cann(version, table)
        found.append({
            "path": str(home), "found_by": found_by, "exists": home.is_dir(), "version": version, "fits": fits, "remark": remark,
            "missing_libraries": missing,
        })  # fmt: skip
    return found


def _devices():
    devices = []
    for i in range(torch_npu.npu.device_count()):
        properties = torch_npu.npu.get_device_properties(i)
        devices.append({"index": i, "name": properties.name, "total_memory": properties.total_memory})
    return devices


def _lacks():
    """What the CANN in use lacks of what the adapter can use, as sentences."""
    lacks = _library.bindings().lacks()
    sentences = [f"{what} ({why})" for what, why in lacks["features"]]
    if lacks["functions"]:
        by_release = {}
        for name, since in lacks["functions"]:
            by_release.setdefault(since.replace("<=", "") or "unknown", []).append(name)
        order = sorted(by_release, key=lambda r: _release(r) if r[0].isdigit() else (99,))
        counts = ", ".join(f"{len(by_release[r])} of {r}" for r in order)
        sentences.append(
            f"{len(lacks['functions'])} of the {lacks['of']} operator functions that are used ({counts}); what needs them is composed of "
            "others or runs on the CPU (torch_npu.fallbacks() counts)")
    return sentences, {r: by_release[r] for r in order} if lacks["functions"] else {}


def _compute():
    """Runs a small program on the npu in a process of its own; the reason why it failed, or ``None``."""
    try:
        done = subprocess.run([sys.executable, "-c", SMALL_PROGRAM], capture_output=True, text=True, timeout=300, cwd="/")
    except subprocess.TimeoutExpired:
        return "it did not end within 300 seconds"
    if done.returncode == 0:
        return None
    return done.stderr.strip() or f"it ended with code {done.returncode}"


def _next_step(report):
    """What the user should do, or ``None``."""
    if report["healthy"]:
        return None
    mismatch = _compat.torch_mismatch()
    if mismatch:
        return f"pip install '{_compat.wanted_torch()}'"
    if not report["adapter"]["loaded"]:
        return REINSTALL
    if report["in_use"]["backend"] == "softcann" and report["in_use"]["problem"]:
        return REINSTALL
    in_use = [c for c in report["cann"] if c["found_by"] != "not in the environment"]
    for c in in_use:
        if not c["exists"]:
            return f"{c['found_by']} names {c['path']}, which does not exist: correct or unset it"
        if c["missing_libraries"]:
            return (f"Complete the CANN installation in {c['path']} (missing: {', '.join(c['missing_libraries'])}), or set "
                    "TORCH_NPU_BACKEND=softcann to use the software device")
        if c["fits"] is False:
            return f"Install a newer CANN than {c['version']} ({c['remark']})"
    if in_use:
        return "Check driver and firmware with npu-smi info; to use the software device instead, set TORCH_NPU_BACKEND=softcann"
    return "Set TORCH_NPU_BACKEND=softcann to use the software device, or install CANN and source its set_env.sh"


def examine(compute=True):
    """The whole report as a dict; ``compute`` runs a small program on the device as well."""
    report = {
        "python": {"version": platform.python_version(), "executable": sys.executable, "platform": platform.platform()},
        "torch": {"version": _compat.VERSION, "path": os.path.dirname(torch.__file__), "fits": _compat.torch_mismatch() is None},
        "adapter": {"version": torch_npu.__version__, "path": torch_npu.__path__[0], "loaded": _library.loaded()},
        "environment": {k: v for k, v in sorted(os.environ.items()) if k in VARIABLES or k.startswith(PREFIXES)},
        "cann": find_cann(),
        "in_use": _library.bindings().installation() if _library.loaded() else None,
        "lacks": [],
        "missing_functions": {},
        "devices": [],
    }
    reason = torch_npu.unavailable_reason()
    if reason is None:
        try:
            report["lacks"], report["missing_functions"] = _lacks()
            report["devices"] = _devices()
        except Exception as e:
            reason = str(e)
    if reason is None and compute:
        failed = _compute()
        reason = failed and f"A small program failed on npu:0: {failed}"
    report["healthy"] = reason is None
    report["verdict"] = reason or f"{len(report['devices'])} npu{'s' if len(report['devices']) != 1 else ''} can be used"
    report["next_step"] = _next_step(report)
    return report


def _print(report):
    def row(title, text, sign=" "):
        print(f"{sign} {title:<12} {text}")

    row("Python", f"{report['python']['version']}  {report['python']['executable']}")
    row("torch", f"{report['torch']['version']}  {report['torch']['path']}", " " if report["torch"]["fits"] else "!")
    loaded = "" if report["adapter"]["loaded"] else "  (its library cannot be loaded)"
    row("torch_npu", f"{report['adapter']['version']}  {report['adapter']['path']}{loaded}", " " if not loaded else "!")
    for c in report["cann"]:
        text = f"{c['version'] or 'version unknown'}  {c['path']}  ({c['found_by']})"
        row("CANN", text, "!" if c["missing_libraries"] or c["fits"] is False else " ")
        row("", c["remark"] if c["exists"] else "does not exist")
        if c["exists"] and c["missing_libraries"]:
            row("", f"missing: {', '.join(c['missing_libraries'])}", "!")
    if not report["cann"]:
        row("CANN", "none found: the software device (softcann) takes its place")
    if report["in_use"]:
        used = report["in_use"]
        what = f"softcann {used['softcann']}" if used["backend"] == "softcann" else f"CANN {used['version']}"
        if used["backend"] == "cann" and used["softcann"]:
            what += f" as softcann {used['softcann']} has it"
        row("in use", f"{what}  {used['home']}  ({used['reason']})")
    for sentence in report["lacks"]:
        row("lacks", sentence)
    for name, value in report["environment"].items():
        row("variable", f"{name}={value}")
    for d in report["devices"]:
        row(f"npu:{d['index']}", f"{d['name']}, {d['total_memory'] / 2**30:.1f} GiB")
    print()
    print(f"{'Healthy' if report['healthy'] else 'Not healthy'}: {report['verdict']}")
    if report["next_step"]:
        print(f"Next step: {report['next_step']}")


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m torch_npu.doctor", description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    report = examine()
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    return 0 if report["healthy"] else 1


if __name__ == "__main__":
    sys.exit(main())
