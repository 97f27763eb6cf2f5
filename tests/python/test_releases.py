"""One wheel, any CANN: the adapter on softcann as each CANN release, with the functions that the release lacks taken away."""
import ast
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest
from torch_npu import softcann
from torch_npu.softcann import release as releases

RELEASES = ["7.0.0", "8.0.0", "8.1.RC1", "8.5.0", "9.0.0", "9.1.0"]
DIGITS = pathlib.Path(__file__).resolve().parents[2] / "examples" / "train_digits.py"
NO_CANN = {"ASCEND_HOME_PATH": None, "ASCEND_TOOLKIT_HOME": None, "ASCEND_OPP_PATH": None, "LD_LIBRARY_PATH": None,
           "TORCH_NPU_BACKEND": None, "TORCH_NPU_FALLBACK": None, "SOFTCANN_DEVICE_COUNT": None, "PYTORCH_NPU_ALLOC_CONF": None}

PROGRAM = """
import copy, importlib.util, io, json, sys, warnings
import torch, torch_npu
from torch import nn
import torch.multiprocessing
from multiprocessing.reduction import ForkingPickler
from torch_npu import _library, doctor

warnings.simplefilter("ignore")
out = {"installation": _library.bindings().installation()}
torch.manual_seed(0)


def difference(a, b):
    return ((a.cpu().double() - b.double()).abs().max() / b.double().abs().max().clamp_min(1)).item()


def both(f, *tensors):  # the largest difference of results and gradients between npu and CPU
    results = []
    for device in ("npu", "cpu"):
        inputs = [t.detach().to(device).requires_grad_() for t in tensors]
        y = f(device, *inputs)
        y.square().sum().backward()
        results.append([y.detach().cpu(), *(i.grad.cpu() for i in inputs)])
    return max(difference(a, b) for a, b in zip(*results))


x, y = torch.randn(2, 2), torch.randn(2, 2)
out["quick verification"] = difference(x.npu().mm(y.npu()), x.mm(y))
out["gelu"] = max(both(lambda d, t: nn.functional.gelu(t, approximate=a), torch.randn(257)) for a in ("none", "tanh"))
planes = torch.randn(2, 3, 9, 7)
out["max_pool2d"] = max(both(lambda d, t: nn.functional.max_pool2d(t, *a), planes) for a in ((2,), ((3, 2), (2, 1), 1, (1, 2), True)))
_, npu = nn.functional.max_pool2d(planes.npu(), 3, 2, 1, return_indices=True)
_, cpu = nn.functional.max_pool2d(planes, 3, 2, 1, return_indices=True)
out["indices"] = difference(npu, cpu)
encoder = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, activation="gelu", batch_first=True)
lstm = nn.LSTM(32, 16, batch_first=True)
modules = {d: (copy.deepcopy(encoder).to(d), copy.deepcopy(lstm).to(d)) for d in ("npu", "cpu")}
out["transformer"] = both(lambda d, t: modules[d][0](t), torch.randn(2, 5, 32))
out["lstm"] = both(lambda d, t: modules[d][1](t)[0], torch.randn(2, 5, 32))

spec = importlib.util.spec_from_file_location("train_digits", sys.argv[1])
digits = importlib.util.module_from_spec(spec)
spec.loader.exec_module(digits)
(images, labels), _ = digits.digits()
curves = []
for device in ("npu", "cpu"):
    torch.manual_seed(0)
    model = digits.DigitNet().to(device)
    optimizer, curve = torch.optim.AdamW(model.parameters(), lr=0.01), []
    for step in range(6):
        batch = slice(64 * step, 64 * step + 64)
        loss = nn.functional.cross_entropy(model(images[batch].to(device)), labels[batch].to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(loss.item())
    curves.append(torch.tensor(curve))
out["digits"], out["learns"] = difference(*curves), (curves[0][0] - curves[0][-1]).item()

stream, begin, end = torch.npu.Stream(), torch.npu.Event(enable_timing=True), torch.npu.Event(enable_timing=True)
before = torch.npu.memory_allocated()
with torch.npu.stream(stream):
    begin.record()
    big = torch.ones(1 << 20, device="npu")
    big += 1
    end.record()
torch.npu.current_stream().wait_event(end)
big.record_stream(torch.npu.current_stream())
out["sum"] = big.sum().item()
out["elapsed"] = begin.elapsed_time(end)
out["allocated"] = torch.npu.memory_allocated() - before
pinned = torch.arange(1000.).pin_memory()
out["pinned"] = pinned.is_pinned() and torch.equal(pinned.to("npu", non_blocking=True).cpu(), pinned)
del big
torch.npu.empty_cache()

out["ordinary fallbacks"] = [f.operator for f in torch_npu.fallbacks()]
points = torch.randn(4, 3)
out["cdist"] = difference(torch.cdist(points.npu(), points.npu()), torch.cdist(points, points))
out["fallbacks"] = {f.operator: f.reason for f in torch_npu.fallbacks()}
try:
    ForkingPickler(io.BytesIO()).dump(torch.ones(2, device="npu"))
    out["sharing"] = ""
except RuntimeError as e:
    out["sharing"] = str(e)
out["executors"] = _library.bindings().executor_stats(0)
out["doctor"] = doctor.examine(compute=False)
print(json.dumps(out))
"""


def order(release):
    return releases.releases().index(release)


@pytest.fixture(scope="module", params=RELEASES)
def release(request):
    return request.param


@pytest.fixture(scope="module")
def tree(release, tmp_path_factory):
    return releases.make(release, tmp_path_factory.mktemp("cann") / release)


def environment(tree, **more):
    changes = {**NO_CANN, "ASCEND_HOME_PATH": str(tree), **more}
    return {**{k: v for k, v in os.environ.items() if k not in changes}, **{k: v for k, v in changes.items() if v is not None}}


@pytest.fixture(scope="module")
def answers(tree, tmp_path_factory):
    """What one program found out on this release."""
    directory = tmp_path_factory.mktemp("run")
    (directory / "program.py").write_text(PROGRAM)
    done = subprocess.run([sys.executable, "program.py", str(DIGITS)], env=environment(tree), cwd=directory, capture_output=True,
                          text=True, timeout=300)
    if done.returncode != 0:
        pytest.fail(f"exit code {done.returncode}\n{done.stderr[-4000:]}", pytrace=False)
    return json.loads(done.stdout.splitlines()[-1])


def test_it_says_that_it_is_this_release(answers, tree, release):
    used = answers["installation"]
    assert used["version"] == release and used["home"] == str(tree) and used["backend"] == "cann"
    assert used["softcann"] == softcann.__version__


def test_the_libraries_export_what_the_release_has(tree, release):
    missing = releases.missing(release)
    assert ("aclnnCdist" in missing) == (order(release) < order("9.0.0"))
    assert ("aclrtDeviceGetUuid" in missing) == (order(release) < order("8.5.0"))
    present = {"aclnnAdd", "aclnnAddGetWorkspaceSize", "aclrtMalloc", "aclCreateTensor", "softcannVersion"}
    assert not present & missing
    names = missing | present | {m + "GetWorkspaceSize" for m in missing}
    # In a process of its own: here softcann's original libraries may be loaded under the same names.
    probe = "import ctypes, sys; print([n for n in sys.argv[2:] if hasattr(ctypes.CDLL(sys.argv[1]), n)])"
    found = set()
    for path in (tree / "lib64").glob("*.so"):
        if path.name != releases.KERNELS:
            done = subprocess.run([sys.executable, "-c", probe, path, *names], check=True, capture_output=True, text=True)
            found |= set(ast.literal_eval(done.stdout))
    assert found == present


@pytest.mark.parametrize("what", ["quick verification", "gelu", "max_pool2d", "indices", "transformer", "lstm", "digits", "cdist"])
def test_it_computes_what_the_cpu_does(answers, what):
    assert answers[what] < 1e-3


def test_streams_events_and_memory(answers):
    assert answers["sum"] == 2 << 20 and answers["elapsed"] >= 0 and answers["allocated"] == 4 << 20 and answers["pinned"]
    assert answers["learns"] > 0.5


def test_common_networks_stay_on_the_npu(answers):
    assert answers["ordinary fallbacks"] == []


def test_executors_are_reused_where_cann_can(answers, release):
    assert (answers["executors"]["hits"] > 0) == ("aclSetAclOpExecutorRepeatable" not in releases.missing(release))


def test_an_operator_that_is_missing_says_which_release_brings_it(answers, tree, release):
    if order(release) < order("9.0.0"):
        assert answers["fallbacks"] == {
            "aten::_cdist_forward": f"aclnnCdist is not in CANN {release} at {tree}: it came with CANN 9.0.0"}
    else:
        assert answers["fallbacks"] == {}


def test_a_runtime_function_that_is_missing_says_which_release_brings_it(answers, tree, release):
    if order(release) < order("8.3.RC1"):
        assert answers["sharing"].splitlines()[0] == (
            f"aclrtIpcMemGetExportKey is not in CANN {release} at {tree}: CANN 8.3.RC1 and newer have it.")
    else:
        assert answers["sharing"] == ""


def test_the_doctor_shows_release_and_what_is_missing(answers, release):
    report = answers["doctor"]
    assert report["healthy"] and report["next_step"] is None
    assert [(c["version"], c["fits"]) for c in report["cann"]] == [(release, True)]
    assert any("UUID" in s for s in report["lacks"]) == (order(release) < order("8.5.0"))
    assert ("aclnnCdist" in report["missing_functions"].get("9.0.0", [])) == (order(release) < order("9.0.0"))
    assert all(order(release) < order(r) for r in report["missing_functions"])


# ---- one release is enough for these ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return releases.make("8.0", tmp_path_factory.mktemp("old") / "cann")


def test_missing_operators_are_errors_on_demand(run_python, old):
    done = run_python("""
import torch
x = torch.ones(2, 2, device="npu")
try:
    torch.cdist(x, x)
except NotImplementedError as e:
    print(e)
""", **{**NO_CANN, "ASCEND_HOME_PATH": old, "TORCH_NPU_FALLBACK": "error"})
    assert done.stdout.startswith(f"aten::_cdist_forward has no npu kernel with this CANN (aclnnCdist is not in CANN 8.0.0 at {old}: "
                                  "it came with CANN 9.0.0), and TORCH_NPU_FALLBACK=error forbids running it on the CPU.")


def test_a_kernel_without_fallback_raises_the_sentence(run_python, tmp_path):
    """Functions of the oldest release are not asked for beforehand: an installation that lacks one is broken, and says so."""
    tree = releases.make("9.1", tmp_path / "cann", without=["aclnnMul"])
    done = run_python("""
import torch, torch_npu
x = torch.ones(2, device="npu")
try:
    print((x * x).tolist())
except torch_npu.NPUNotSupportedError as e:
    print(str(e).splitlines()[0])
""", **{**NO_CANN, "ASCEND_HOME_PATH": tree})
    assert done.stdout.startswith(f"aclnnMulGetWorkspaceSize is not in CANN 9.1.0 at {tree}: CANN 7.0.0 has it, so this installation is "
                                  "not complete.")


def test_expandable_segments_without_virtual_memory(run_python, tmp_path):
    tree = releases.make("8.0", tmp_path / "cann", without=["aclrtMapMem"])
    done = run_python("""
import torch
x = torch.ones(1 << 20, device="npu")
print(x.sum().item(), any(s["is_expandable"] for s in torch.npu.memory_snapshot()))
""", **{**NO_CANN, "ASCEND_HOME_PATH": tree, "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"})
    assert done.stdout.split() == ["1048576.0", "False"]
    assert re.search(r"expandable_segments:True has no effect: aclrtMapMem is not in CANN 8\.0\.0 at .*\. Memory is taken in ordinary segments",
                     done.stderr)


def test_programs_do_not_link_with_what_is_missing(old, tmp_path):
    source = tmp_path / "program.cpp"
    source.write_text('#include "acl/acl.h"\nint main() { aclrtUuid u; return aclInit(nullptr) + aclrtDeviceGetUuid(0, &u); }\n')

    def link(tree):
        return subprocess.run(["g++", "-I", tree / "include", source, "-L", tree / "lib64", "-lascendcl", "-Wl,-rpath-link",
                               tree / "lib64", "-o", tmp_path / "program"], capture_output=True, text=True)  # fmt: skip

    assert link(softcann.prefix()).returncode == 0
    failed = link(old)
    assert failed.returncode != 0 and "aclrtDeviceGetUuid" in failed.stderr and "aclInit" not in failed.stderr


def test_command_line(run_module, tmp_path):
    done = run_module("torch_npu.softcann", "--release", "8.0", str(tmp_path / "cann"))
    assert done.stdout.strip() == str(tmp_path / "cann")
    again = run_module("torch_npu.softcann", "--release", "8.0", str(tmp_path / "cann"), check=False)
    assert again.returncode == 1 and again.stderr.strip() == f"{tmp_path / 'cann'} is not empty"
    other = run_module("torch_npu.softcann", "--release", "6.3", str(tmp_path / "other"), check=False)
    assert other.returncode == 1 and "softcann cannot be CANN 6.3: known are 7.0.0, 8.0.RC1" in other.stderr
    other = run_module("torch_npu.softcann", "--release", "8.0", str(tmp_path / "other"), "--without", "aclrtMaloc", check=False)
    assert other.returncode == 1 and "not a function of CANN: aclrtMaloc" in other.stderr
    assert not (tmp_path / "other").exists()


def test_the_doctor_prints_it(run_module, old):
    done = run_module("torch_npu.doctor", **{**NO_CANN, "ASCEND_HOME_PATH": old})
    assert re.search(r"in use +CANN 8\.0\.0 as softcann \S+ has it", done.stdout)
    assert re.search(r"lacks +\d+ of the \d+ operator functions that are used \(.*\d+ of 9\.0\.0", done.stdout)
