"""softcann's tree as an SDK: every function under the right library, headers that compile, tables and documents that agree."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "codegen"))

import abi_model  # noqa: E402
from torch_npu import softcann  # noqa: E402
from pairs import strict_zip  # noqa: E402

SHIPPED = [lib for lib in abi_model.libraries().values() if lib.shipped]


@pytest.fixture(scope="module")
def tree():
    return softcann.prefix()


def exported(path):
    """Names that a library defines for others."""
    out = subprocess.run(["nm", "-D", "--defined-only", str(path)], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


@pytest.mark.parametrize("library", SHIPPED, ids=lambda lib: lib.name)
def test_functions_are_exported_by_their_library(tree, library):
    wanted = {f.name for f in abi_model.functions_of(library.name)}
    assert wanted - exported(tree / "lib64" / library.name) == set()


def test_operators_are_exported(tree):
    wanted = set()
    for op in abi_model.aclnn_ops().values():
        wanted |= {op.name, op.name + "GetWorkspaceSize"} | ({op.name + "GetMaxWorkspaceSize"} if op.max_workspace else set())
    assert wanted - exported(tree / "lib64" / "libopapi.so") == set()


@pytest.mark.parametrize("library", [lib for lib in abi_model.libraries().values() if not lib.shipped], ids=lambda lib: lib.name)
def test_libraries_that_would_promise_too_much_are_absent(tree, library):
    assert library.reason
    assert not (tree / "lib64" / library.name).exists()


def test_no_library_needs_torch_but_the_kernels(tree):
    for path in (tree / "lib64").glob("*.so"):
        out = subprocess.run(["readelf", "-d", str(path)], check=True, capture_output=True, text=True).stdout
        needed = re.findall(r"NEEDED.*\[(.*)\]", out)
        if path.name != "libsoftcann_kernels.so":
            assert not [n for n in needed if "torch" in n or "c10" in n], path.name
        assert not re.search(r"R(UN)?PATH.*\[/", out), f"{path.name} has an absolute search path"


COMPILERS = [("cc", "c", "c11"), ("c++", "cpp", "c++11"), ("c++", "cpp", "c++20")]


@pytest.mark.parametrize("compiler,suffix,standard", COMPILERS, ids=[c[2] for c in COMPILERS])
def test_every_header_compiles_alone_and_together(tree, tmp_path, compiler, suffix, standard):
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    headers = sorted(str(p.relative_to(tree / "include")) for p in (tree / "include").rglob("*.h"))
    assert len(headers) > 1000

    def check(name, text):
        source = tmp_path / f"{name}.{suffix}"
        source.write_text(text)
        done = subprocess.run([compiler, f"-std={standard}", "-Wall", "-Werror", "-fsyntax-only", f"-I{tree}/include", str(source)],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    check("together", "".join(f'#include "{h}"\n' for h in headers))
    for header in headers:
        if not header.startswith("aclnnop/") or header in ("aclnnop/aclnn_add.h", "aclnnop/aclnn_npu_format_cast.h"):
            check("alone", f'#include "{header}"\n')


def test_environment_is_what_set_env_exports(tree):
    names = list(softcann.environment())
    base = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": "/opt/lib"}
    script = f'. "{tree}/set_env.sh"; . "{tree}/set_env.sh"; ' + "".join(f'printf "%s\\n" "${n}";' for n in names)
    out = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True, env=base).stdout.splitlines()
    assert dict(strict_zip(names, out)) == softcann.environment(base)
    for name in ("ASCEND_HOME_PATH", "ASCEND_OPP_PATH"):
        assert pathlib.Path(softcann.environment(base)[name]).is_dir()


def test_version_files(tree):
    assert f"[{softcann.CANN_VERSION}:" in (tree / "version.cfg").read_text()
    for package in ("compiler", "runtime", "opp"):
        assert f"Version={softcann.CANN_VERSION}\n" in (tree / package / "version.info").read_text()
    (info,) = tree.glob("*/ascend_toolkit_install.info")
    assert f"version={softcann.CANN_VERSION}\n" in info.read_text()


def test_command(tree):
    def run(argument):
        return subprocess.run([sys.executable, "-m", "torch_npu.softcann", argument], check=True, capture_output=True, text=True).stdout

    assert run("--prefix").strip() == str(tree)
    assert softcann.CANN_VERSION in run("--version")
    assert f"export ASCEND_HOME_PATH={tree}" in run("--env")


def test_errors_are_explained_once():
    seen = set()
    for e in abi_model.errors():
        assert (e.family, e.code) not in seen
        seen.add((e.family, e.code))
        assert e.cause and (e.hint or e.code == 0), e


def run_client(tree, tmp_path, text, **environment):
    """Compiles a C++ client of the tree and returns what it prints, and what it writes to stderr."""
    source, program = tmp_path / "client.cpp", tmp_path / "client"
    source.write_text(text)
    subprocess.run(["c++", "-std=c++17", str(source), "-o", str(program), f"-I{tree}/include", f"-L{tree}/lib64", "-lascendcl"], check=True)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=60, check=True,
                          env={**softcann.environment({}), **environment})
    return done.stdout, done.stderr


def test_example_acl_add(tree, tmp_path):
    for path in (ROOT / "examples" / "acl_add").iterdir():
        if path.suffix in (".cpp", "") and path.is_file():
            shutil.copy(path, tmp_path)
    done = subprocess.run(["make", "run"], cwd=tmp_path, env={**os.environ, **softcann.environment()},
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-3:] == ["1 2 3 4", "6 7 8 9", "ok"]


# A function that softcann does not have and that needs no device.
CLIENT = r"""
#include "acl/acl.h"
#include "acl/acl_tdt_queue.h"
#include "softcann/softcann.h"
#include <cstdio>
#include <cstring>

int main() {
  acltdtBuf buffer = nullptr;
  for (int i = 0; i < 3; ++i) {
    const int code = acltdtAllocBuf(64, 0, &buffer);
    std::printf("%d|%s\n", code, aclGetRecentErrMsg());
  }
  std::printf("%zu|%llu\n", strlen(aclGetRecentErrMsg()), (unsigned long long)softcannUnsupportedCalls("acltdtAllocBuf"));
}
"""


def test_unsupported_function_names_itself_and_is_counted(tree, tmp_path):
    out, _ = run_client(tree, tmp_path, CLIENT)
    lines = out.splitlines()
    assert all(line.startswith("207000|acltdtAllocBuf: ") for line in lines[:3])
    assert lines[3] == "0|3"  # the message is gone once it was read


def test_fault_injection(tree, tmp_path):
    out, _ = run_client(tree, tmp_path, CLIENT, SOFTCANN_FAULT="acltdtAllocBuf:2:207001")
    assert [line.split("|")[0] for line in out.splitlines()[:3]] == ["207000", "207001", "207000"]
    assert out.splitlines()[1] == "207001|acltdtAllocBuf: call 2 failed on request of SOFTCANN_FAULT"
    out, _ = run_client(tree, tmp_path, CLIENT, SOFTCANN_FAULT="acltdt*:2+")
    assert [line.split("|")[0] for line in out.splitlines()[:3]] == ["207000", "500000", "500000"]


def test_malformed_fault_is_said(tree, tmp_path):
    _, err = run_client(tree, tmp_path, CLIENT, SOFTCANN_FAULT="acltdtAllocBuf")
    assert 'SOFTCANN_FAULT: "acltdtAllocBuf" is not function:n' in err


def test_trace(tree, tmp_path):
    log = tmp_path / "calls.log"
    run_client(tree, tmp_path, CLIENT, SOFTCANN_TRACE=str(log))
    calls = [line for line in log.read_text().splitlines() if " acltdtAllocBuf(" in line]
    assert len(calls) == 3
    assert re.fullmatch(r"softcann \d+\.\d+ tid \d+ acltdtAllocBuf\(size=64, type=0, buf=0x[0-9a-f]+\) = "
                        r'ACL_ERROR_RT_FEATURE_NOT_SUPPORT \(207000\) "acltdtAllocBuf: .*", [\d.]+ us', calls[0])


def test_support_page_is_current():
    subprocess.run([sys.executable, str(ROOT / "codegen" / "gen_support.py"), "--check"], check=True)
