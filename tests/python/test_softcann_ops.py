"""softcann's operators through CANN's C interface, compared with torch on the CPU. No adapter is involved."""
import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

sys.path.insert(0, str(Path(__file__).parent))
from aclnn_client import AclError, Call, Client, Out, Ref, Scalar  # noqa: E402
from softcann_cases import CASES, DRAWS, OUT, Changed, Space  # noqa: E402
from pairs import strict_zip  # noqa: E402

ROWS = Path(__file__).resolve().parents[2] / "softcann" / "ops"


def lib64():
    if "SOFTCANN_LIB64" in os.environ:
        return os.environ["SOFTCANN_LIB64"]
    out = subprocess.run([sys.executable, "-m", "torch_npu.softcann", "--prefix"], capture_output=True, text=True, cwd="/")
    if out.returncode != 0:
        pytest.skip("no softcann: install torch_npu or set SOFTCANN_LIB64 to a tree's lib64")
    return str(Path(out.stdout.strip()) / "lib64")


@pytest.fixture(scope="session")
def client():
    return Client(lib64())


def resolve(argument, wanted):
    """The client's argument for one of a case."""
    if argument is OUT:
        like = next(wanted)
        return Out(torch.full(like.shape, 77, dtype=torch.float32).to(like.dtype))
    if isinstance(argument, Space):
        next(wanted)
        return Out(argument.tensor.clone())
    if isinstance(argument, Changed):
        next(wanted)
        t = argument.tensor
        return Ref(torch.empty_strided(t.shape, t.stride(), dtype=t.dtype).copy_(t))
    if isinstance(argument, list) and any(a is OUT or isinstance(a, Changed) for a in argument):
        return Out([resolve(a, wanted).tensor for a in argument])
    return argument


@pytest.mark.parametrize("name,arguments,want,tolerance", CASES, ids=[f"{n}-{i}" for i, (n, *_) in enumerate(CASES)])
def test_row(client, name, arguments, want, tolerance):
    wanted = iter(want)
    got = client.run(name, *[resolve(a, wanted) for a in arguments])
    assert next(wanted, None) is None, "more expectations than outputs"
    got = got if isinstance(got, tuple) else (got,)
    for result, expected in strict_zip(got, want):
        expected = expected.detach()
        close = {} if tolerance is None else {"rtol": tolerance, "atol": tolerance}
        torch.testing.assert_close(result, expected, equal_nan=True, **close)


def test_every_row_has_a_case():
    rows = {name for path in ROWS.glob("*.yaml") for name in yaml.safe_load(path.read_text())}
    assert sorted(rows - {c[0] for c in (*CASES, *DRAWS)}) == []


# ---- random ---------------------------------------------------------------------------------------------------------
def draw(client, name, *arguments):
    return client.run(name, *arguments)


SEEDS = [("aclnnInplaceUniform", (2.0, 3.0)), ("aclnnInplaceNormal", (2.0, 3.0)), ("aclnnInplaceRandom", (3, 9)), ("aclnnInplaceRandomWithoutFromTo", ()),
         ("aclnnInplaceBernoulli", (Scalar(0.3),)), ("aclnnInplaceBernoulliTensor", (torch.full((1000,), 0.3),)), ("aclnnSimThreadExponential", (1000, 2.0))]
TENSORS = [("aclnnInplaceUniformTensor", (2.0, 3.0)), ("aclnnInplaceNormalTensor", (2.0, 3.0)), ("aclnnInplaceRandomTensor", (3, 9)),
           ("aclnnInplaceRandomWithoutFromToTensor", ())]
MOMENTS = {"Uniform": (2.5, 12 ** -0.5), "Normal": (2.0, 3.0), "Random": (5.5, (35 / 12) ** 0.5), "Bernoulli": (0.3, 0.21 ** 0.5), "Exponential": (0.5, 0.5)}


@pytest.mark.parametrize("name,parameters", SEEDS)
def test_equal_seed_and_offset_give_equal_numbers(client, name, parameters):
    def numbers(seed, offset):
        return client.run(name, Ref(torch.zeros(1000)), *parameters, seed, offset)
    first = numbers(7, 4)
    assert torch.equal(first, numbers(7, 4))
    assert not torch.equal(first, numbers(7, 8)) and not torch.equal(first, numbers(8, 4))
    moments = next((m for key, m in MOMENTS.items() if key in name and "Without" not in name), None)
    if moments:
        assert abs(first.mean() - moments[0]) < 5 * moments[1] / 1000 ** 0.5
        assert abs(first.std() / moments[1] - 1) < 0.15


@pytest.mark.parametrize("name,parameters", TENSORS)
def test_seed_in_tensors(client, name, parameters):
    plain = re.sub("Tensor$", "", name)
    seed, offset = torch.tensor([7]), torch.tensor([4])
    assert torch.equal(client.run(name, Ref(torch.zeros(50)), *parameters, seed, offset, 8),
                       client.run(plain, Ref(torch.zeros(50)), *parameters, 7, 12))


def test_normal_of_tensors(client):
    mean, std = torch.arange(1000.0), torch.linspace(0.5, 2, 1000)
    for name, a, b in (("FloatFloat", 2.0, 3.0), ("FloatTensor", 2.0, std), ("TensorFloat", mean, 3.0), ("TensorTensor", mean, std)):
        out = client.run("aclnnNormal" + name, a, b, 3, 0, Out(torch.empty(1000)))
        z = (out - torch.as_tensor(a)) / torch.as_tensor(b)
        assert abs(z.mean()) < 0.15 and abs(z.std() - 1) < 0.15


def test_bernoulli_out_of_place(client):
    x = torch.zeros(1000)
    assert 200 < client.run("aclnnBernoulli", x, 0.3, 1, 0, Out(torch.empty(1000))).sum() < 400
    assert 200 < client.run("aclnnBernoulliTensor", x, torch.full((1000,), 0.3), 1, 0, Out(torch.empty(1000))).sum() < 400


def test_randperm_and_multinomial(client):
    perm = client.run("aclnnRandperm", 50, 3, 0, Out(torch.empty(50, dtype=torch.int64)))
    assert torch.equal(perm.sort()[0], torch.arange(50)) and not torch.equal(perm, torch.arange(50))
    weights = torch.tensor([0.0, 1.0, 0.0, 3.0])
    drawn = client.run("aclnnMultinomial", weights, 400, True, 3, 0, Out(torch.empty(400, dtype=torch.int64)))
    assert set(drawn.tolist()) == {1, 3} and 240 < (drawn == 3).sum() < 360
    again = client.run("aclnnMultinomialTensor", weights, 400, True, torch.tensor([3]), torch.tensor([0]), 0, Out(torch.empty(400, dtype=torch.int64)))
    assert torch.equal(drawn, again)


def test_dropout_masks(client):
    x, bytes_ = torch.randn(100, 11), (1100 + 127) // 128 * 16
    mask = client.run("aclnnDropoutGenMask", (100, 11), 0.25, 5, 0, Out(torch.empty(bytes_, dtype=torch.uint8)))
    assert torch.equal(mask, client.run("aclnnDropoutGenMaskV2", (100, 11), 0.25, 5, 0, torch.float32, Out(torch.empty(bytes_, dtype=torch.uint8))))
    assert torch.equal(mask, client.run("aclnnDropoutGenMaskV2Tensor", (100, 11), 0.25, torch.tensor([5]), torch.tensor([0]), 0, torch.float32,
                                        Out(torch.empty(bytes_, dtype=torch.uint8))))
    keep = (mask[torch.arange(1100) // 8] >> (torch.arange(1100) % 8) & 1).bool().reshape(100, 11)
    assert abs(keep.float().mean() - 0.75) < 0.05
    want = torch.where(keep, x / 0.75, torch.zeros(()))
    torch.testing.assert_close(client.run("aclnnDropoutDoMask", x, mask, 0.25, Out(torch.empty(100, 11))), want)
    torch.testing.assert_close(client.run("aclnnDropoutBackward", x, mask, 1 / 0.75, Out(torch.empty(100, 11))), want)
    got, drawn = client.run("aclnnDropout", x, 0.25, True, 5, 0, Out(torch.empty(100, 11)), Out(torch.empty(bytes_, dtype=torch.uint8)))
    assert torch.equal(drawn, mask)
    torch.testing.assert_close(got, want)
    got, drawn = client.run("aclnnDropoutV3", x, None, 0.25, 5, 0, Out(torch.empty(100, 11)), Out(torch.empty(bytes_, dtype=torch.uint8)))
    assert torch.equal(drawn, mask)
    torch.testing.assert_close(got, want)


# ---- what is refused ------------------------------------------------------------------------------------------------
A = torch.ones(3, 4)


@pytest.mark.parametrize("name,arguments,code,text", [
    ("aclnnAdd", (A, None, 1, Out(A.clone())), 161001, "aclnnAdd: other is null; it is required"),
    ("aclnnAdd", (A, torch.ones(5), 1, Out(A.clone())), 161002, "The size of tensor a (4) must match the size of tensor b (5)"),
    ("aclnnAdd", (A, A, 1, Out(torch.ones(3, 5))), 161002, "out has shape [3, 5] but the result has shape [3, 4]"),
    ("aclnnMm", (A, A, Out(torch.ones(3, 4)), 0), 161002, "cannot be multiplied (3x4 and 3x4)"),
    ("aclnnRelu", (A.to(torch.complex64), Out(A.to(torch.complex64))), 161002, "self has data type COMPLEX64; allowed are"),
    ("aclnnUpsampleNearest2d", (A, (2, 2), Out(A.clone())), 161002, "aclnnUpsampleNearest2d: "),
    ("aclnnDivMod", (A, A, 3, Out(A.clone())), 161002, "mode is 3; allowed are 0"),
    ("aclnnIndexSelect", (A, 0, torch.tensor([9]), Out(torch.ones(1, 4))), 507018, "index out of range"),
    ("aclnnAcosGrad", (A, A, Out(A.clone())), 561003, "aclnnAcosGrad: softcann has no implementation"),
])
def test_refused(client, name, arguments, code, text):
    with pytest.raises(AclError) as error:
        client.run(name, *arguments)
    assert text in str(error.value)
    assert error.value.code == code


def test_view_beyond_its_storage(client):
    class TooLong(Call):
        def tensor(self, tensor):
            handle = super().tensor(tensor)
            dims = (ctypes.c_int64 * 1)(100)
            client.check("aclInitTensor", client.op.aclInitTensor(ctypes.c_void_p(handle), dims, ctypes.c_uint64(1), 0, None, ctypes.c_int64(0), 2,
                                                                  (ctypes.c_int64 * 1)(4), ctypes.c_uint64(1), ctypes.c_void_p(self.address_of(tensor))))
            return handle

    with TooLong(client, "aclnnAbs", (torch.ones(4), Out(torch.ones(4)))) as call, pytest.raises(AclError) as error:
        call.prepare()
    assert error.value.code == 161002 and "self FLOAT[100] with offset 0 reaches element 99 of a storage of 4" in error.value.message


# ---- settings, and the torch that computes ----------------------------------------------------------------------------
PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
import torch
from aclnn_client import Client, Out
print(Client({lib64!r}).run("aclnnRelu", torch.ones(2).to(torch.{dtype}), Out(torch.empty(2, dtype=torch.{dtype}))).tolist())
"""


def run_program(dtype="float32", program=PROGRAM, **env):
    text = program.format(tests=str(Path(__file__).parent), lib64=lib64(), dtype=dtype)
    return subprocess.run([sys.executable, "-c", text], env={**os.environ, **env}, capture_output=True, text=True, cwd="/", timeout=120)


def test_dtypes_any():
    assert "self has data type DOUBLE" in run_program("float64").stderr
    assert run_program("float64", SOFTCANN_DTYPES="any").stdout == "[1.0, 1.0]\n"


def test_trace_shows_arguments():
    log = run_program(SOFTCANN_TRACE="stderr").stderr
    assert 'aclnnReluGetWorkspaceSize(self="FLOAT[2]", out="FLOAT[2]") = ' in log
    assert "aclnnRelu(workspace=null, workspaceSize=0, executor=0x" in log


def test_injected_faults():
    for fault in ("aclnnReluGetWorkspaceSize:1:161002", "aclnnRelu:1:161002"):
        out = run_program(SOFTCANN_FAULT=fault)
        assert f"AclError: {fault.split(':')[0]}: 161002:" in out.stderr and "SOFTCANN_FAULT" in out.stderr


def test_another_torch_is_refused_in_one_sentence(tmp_path):
    # A library that says it is torch 2.12, in a process that has no other.
    source, library = tmp_path / "torch.c", tmp_path / "libtorch_cpu.so"
    source.write_text("unsigned long long aoti_torch_abi_version() { return 2ull << 56 | 12ull << 48; }\n")
    subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", library, source], check=True)
    program = """
import ctypes
ctypes.CDLL({library!r}, mode=ctypes.RTLD_GLOBAL)
acl, op = ctypes.CDLL({lib64!r} + "/libascendcl.so", mode=ctypes.RTLD_GLOBAL), ctypes.CDLL({lib64!r} + "/libopapi.so")
acl.aclGetRecentErrMsg.restype = ctypes.c_char_p
assert acl.aclInit(None) == 0 and acl.aclrtSetDevice(0) == 0
op.aclCreateTensor.restype = ctypes.c_void_p
t = ctypes.c_void_p(op.aclCreateTensor(None, ctypes.c_uint64(0), 0, None, ctypes.c_int64(0), 2, None, ctypes.c_uint64(0), None))
size, executor = ctypes.c_uint64(), ctypes.c_void_p()
print(op.aclnnReluGetWorkspaceSize(t, t, ctypes.byref(size), ctypes.byref(executor)), acl.aclGetRecentErrMsg().decode())
""".replace("{library!r}", repr(str(library)))
    out = run_program(program=program)
    assert out.stdout.startswith("561112 softcann computes with the kernels of torch 2."), out.stderr
    assert "but this process has torch 2.12; install torch" in out.stdout
