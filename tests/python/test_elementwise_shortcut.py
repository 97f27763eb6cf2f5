"""Elementwise operators ask ATen's meta function once per dtype and then not again for operands that are alike: each call here is
made several times, between calls that are not alike, and has to do what the CPU does."""

import itertools

import pytest
import torch
import torch_npu  # noqa: F401

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

FLOATS = (torch.float32, torch.float16, torch.float64, torch.bfloat16)


def operands(dtype):
    base = torch.arange(1, 25).reshape(4, 6).to(dtype)
    return {
        "plain": base,
        "other": base.flip(0).contiguous(),
        "transposed": base.reshape(6, 4).t(),
        "row": base[0],
        "half": base[:, ::2].repeat_interleave(2, 1)[:, ::1],
        "image": base.reshape(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
        "empty": base[:0],
        "number": base[0, 0],
        "bool": base > 7,
        "long": base.long(),
    }


def same(function):
    """What `function(device)` returns, as the CPU and the npu say it: (dtype, shape, strides, values) or the error's type."""
    answers = []
    for device in ("cpu", "npu"):
        try:
            t = function(device)
            answers.append((t.dtype, t.shape, t.stride(), t.cpu().double().nan_to_num().tolist()))
        except Exception as e:
            answers.append((type(e), str(e).split("\n")[0].replace("npu", "cpu")))
    assert answers[0] == answers[1], answers


FUNCTIONS = {
    "add": lambda x, y: x + y,
    "add alpha": lambda x, y: torch.add(x, y, alpha=2),
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "lt": lambda x, y: x < y,
    "maximum": lambda x, y: torch.maximum(x, y),
    "number": lambda x, y: x * 2.5,
    "number first": lambda x, y: 3 - x,
    "neg": lambda x, y: -x,
    "clamp": lambda x, y: x.clamp(2, 9),
    "complex number": lambda x, y: x * 2j,
    "bool number": lambda x, y: x + True,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functional(name):
    function = FUNCTIONS[name]
    for _ in range(2):
        for dtype in (torch.float32, torch.float64):
            cpu = operands(dtype)
            npu = {k: v.npu() if k != "transposed" else v.t().contiguous().npu().t() for k, v in cpu.items()}
            npu["image"] = cpu["image"].npu().contiguous(memory_format=torch.channels_last)
            for a, b in (("plain", "other"), ("plain", "row"), ("transposed", "plain"), ("transposed", "transposed"), ("plain", "plain"),
                         ("image", "image"), ("empty", "empty"), ("plain", "number"), ("number", "number"), ("plain", "long")):
                same(lambda d: function(*((cpu if d == "cpu" else npu)[k] for k in (a, b))))


def test_dtypes_alternate():
    for first, second in itertools.product(FLOATS[:3], FLOATS[:3]):
        for _ in range(2):
            same(lambda d: torch.ones(3, dtype=first).to(d) + torch.ones(3, dtype=second).to(d))
            same(lambda d: torch.ones(3, dtype=first).to(d) + torch.ones(3, dtype=first).to(d))


def test_in_place():
    def run(device, dtype, make):
        x = torch.arange(6.0, dtype=torch.float64).to(device).to(dtype)
        return make(x)

    cases = [
        lambda x: x.add_(x),
        lambda x: x.add_(torch.ones_like(x)),
        lambda x: x.lt_(torch.ones_like(x)),
        lambda x: x[1:].add_(x[:-1]),                      # partly overlapping: an error
        lambda x: x[:3].add_(x[3:]),                       # one storage, but apart
        lambda x: x.add_(torch.ones(2, 6, dtype=x.dtype, device=x.device)),
        lambda x: x.add_(torch.ones(6, dtype=torch.float64, device=x.device)),
        lambda x: x.expand(2, 6).add_(1),
        lambda x: x.mul_(2),
        lambda x: x.mul_(2j),
        lambda x: x.add_(1, alpha=True),
    ]
    for make in cases * 2:
        for dtype in (torch.float32, torch.float16):
            same(lambda d: run(d, dtype, make))


def test_out():
    def run(device, shape, dtype, make=None):
        x, y = torch.arange(6.0).to(device), torch.ones(6, device=device)
        out = torch.zeros(shape, dtype=dtype, device=device) if make is None else make(x)
        result = torch.add(x, y, out=out)
        assert result is out
        return out

    for _ in range(2):
        same(lambda d: run(d, (6,), torch.float32))
        same(lambda d: run(d, (6,), torch.float64))
        same(lambda d: run(d, (6,), torch.float32))
        same(lambda d: run(d, (0,), torch.float32))
        same(lambda d: run(d, (6,), torch.int64))
        same(lambda d: run(d, None, None, lambda x: x))
        same(lambda d: run(d, None, None, lambda x: torch.zeros(12, device=x.device)[::2]))
        same(lambda d: torch.lt(torch.ones(3, device=d), torch.zeros(3, device=d), out=torch.ones(3, device=d)))
        same(lambda d: torch.lt(torch.ones(3, device=d), torch.zeros(3, device=d), out=torch.ones(3, dtype=torch.bool, device=d)))


def test_mixed_devices_still_raise():
    x = torch.ones(3, device="npu")
    x + x
    with pytest.raises(RuntimeError, match="same device"):
        x + torch.ones(3)
