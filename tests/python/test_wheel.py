"""What is shipped: no link to CANN, nothing that needs the build tree, everything in the wheel."""

import csv
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
import torch_npu

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = Path(torch_npu.__path__[0])
ADAPTER_LIBRARIES = sorted([PACKAGE / "lib" / "libtorch_npu.so", *PACKAGE.glob("_C*.so")])
PROGRAM = """
import torch, torch_npu
x = torch.randn(2, 2)
assert torch.allclose(x.npu().mm(x.npu()).cpu(), x.mm(x))
print(torch_npu.__path__[0])
for line in open("/proc/self/maps"):
    if ".so" in line:
        print(line.split()[-1])
"""


def dynamic_section(library):
    text = subprocess.run(["readelf", "-d", library], check=True, capture_output=True, text=True).stdout
    return re.findall(r"\((NEEDED|RPATH|RUNPATH)\).*\[(.*)\]", text)


def cann_libraries():
    with open(ROOT / "abi" / "libraries.csv", newline="") as f:
        return {row["library"] for row in csv.DictReader(f)}


def test_there_are_libraries():
    assert len(ADAPTER_LIBRARIES) == 2


@pytest.mark.parametrize("library", ADAPTER_LIBRARIES, ids=lambda p: p.name)
def test_no_link_to_cann(library):
    needed = {name for tag, name in dynamic_section(library) if tag == "NEEDED"}
    assert "libascendcl.so" in cann_libraries()
    assert needed & cann_libraries() == set()
    assert not [n for n in needed if n.startswith(("libascend", "libacl", "libopapi", "libnnop", "libhccl", "libge_", "libsoftcann"))]


@pytest.mark.parametrize("library", sorted(PACKAGE.rglob("*.so*")), ids=lambda p: p.name)
def test_looks_for_libraries_only_beside_itself(library):
    paths = [p for tag, value in dynamic_section(library) if tag != "NEEDED" for p in value.split(":")]
    assert [p for p in paths if not p.startswith("$ORIGIN")] == []


# What the tag manylinux_2_28 promises to need no more than.
NEWEST_SYMBOLS = {"GLIBC": (2, 28), "GLIBCXX": (3, 4, 25), "CXXABI": (1, 3, 11), "GCC": (8, 0)}


@pytest.mark.parametrize("library", sorted(PACKAGE.rglob("*.so*")), ids=lambda p: p.name)
def test_runs_on_older_systems(library):
    text = subprocess.run(["readelf", "-W", "--version-info", library], check=True, capture_output=True, text=True).stdout
    needed = set(re.findall(r"Name: (GLIBC|GLIBCXX|CXXABI|GCC)_([0-9.]+) ", text.partition("Version needs section")[2]))
    assert needed
    assert {(n, v) for n, v in needed if tuple(map(int, v.split("."))) > NEWEST_SYMBOLS[n]} == set()


@pytest.mark.parametrize("library", sorted(PACKAGE.rglob("*.so*")), ids=lambda p: p.name)
def test_symbols_are_whole(library):
    done = subprocess.run(["readelf", "-W", "--dyn-syms", library], check=True, capture_output=True, text=True)
    assert done.stderr == "" and "<corrupt>" not in done.stdout


def wheel():
    if "TORCH_NPU_WHEEL" in os.environ:
        return Path(os.environ["TORCH_NPU_WHEEL"])
    tag = "cp{}{}".format(*sys.version_info)
    wheels = sorted((ROOT / "dist").glob(f"torch_npu-{torch_npu.__version__}-{tag}-*.whl"), key=lambda p: p.stat().st_mtime)
    if not wheels:
        pytest.skip("no wheel in dist/; bash ci/build.sh writes it")
    return wheels[-1]


def test_wheel_alone_is_enough(run_python, tmp_path):
    """The wheel's files, unpacked elsewhere, do without the build tree and without the installed package."""
    with zipfile.ZipFile(wheel()) as z:
        z.extractall(tmp_path / "site")
    lines = run_python(PROGRAM, PYTHONPATH=tmp_path / "site").stdout.splitlines()
    assert lines[0] == str(tmp_path / "site" / "torch_npu")
    assert any("libtorch_npu.so" in line for line in lines)
    # An environment for another torch lies in build/ itself.
    from_sources = [line for line in lines if line.startswith(f"{PACKAGE}/")
                    or line.startswith(f"{ROOT}/build/") and not line.startswith(f"{sys.prefix}/")]
    assert from_sources == []


def test_wheel_contents():
    with zipfile.ZipFile(wheel()) as z:
        names = set(z.namelist())
        metadata = z.read(f"torch_npu-{torch_npu.__version__}.dist-info/METADATA").decode()
        entry_points = z.read(f"torch_npu-{torch_npu.__version__}.dist-info/entry_points.txt").decode()
    assert {"torch_npu/lib/libtorch_npu.so", "torch_npu/versions.csv", "torch_npu/doctor.py"} <= names
    assert not [n for n in names if n.endswith((".cpp", ".o", ".pyc"))]
    # The version is torch's, as far as torch numbers its releases, and pins torch's minor version.
    release = re.match(r"\d+\.\d+\.\d+", torch.__version__)[0]
    assert re.fullmatch(rf"{re.escape(release)}(\.post\d+)?", torch_npu.__version__)
    minor = release.rpartition(".")[0]
    numpy = "numpy<2" if tuple(map(int, minor.split("."))) < (2, 3) else "numpy"
    assert {f"Requires-Dist: torch=={minor}.*", f"Requires-Dist: {numpy}", "Requires-Dist: pyyaml"} <= set(metadata.splitlines())
    assert "torch_npu:_autoload" in re.sub(" ", "", entry_points)
