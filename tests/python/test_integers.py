"""Integers are computed exactly: every pair of widths, with values that no floating-point dtype between would hold."""
import functools
import itertools

import pytest
import torch

DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

BINARY = {
    **{name: getattr(torch, name) for name in (
        "add", "sub", "mul", "remainder", "fmod", "floor_divide", "maximum", "minimum", "fmax", "fmin", "gcd", "lcm", "eq", "lt", "ge",
        "bitwise_and", "bitwise_or", "bitwise_xor", "clamp_max", "clamp_min", "pow", "rsub")},
    **{f"div {mode}": functools.partial(torch.div, rounding_mode=mode) for mode in ("trunc", "floor")},
    "where": lambda a, b: torch.where(a > 0, a, b),
    "addcmul": lambda a, b: torch.addcmul(a, b, b),
}

UNARY = {
    **{name: getattr(torch, name) for name in (
        "abs", "neg", "sign", "sgn", "floor", "ceil", "round", "trunc", "square", "bitwise_not", "max", "min", "amax", "amin", "sum", "prod",
        "argmax", "unique", "median", "diff", "nansum", "count_nonzero", "relu")},
    "clamp": lambda x: torch.clamp(x, -5, 2**40),
    "sort": lambda x: x.sort()[0],
    "argsort": lambda x: x.argsort(),
    "topk": lambda x: x.topk(1)[0],
    "mode": lambda x: x.mode()[0],
    "kthvalue": lambda x: x.kthvalue(1)[0],
    "cumsum": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(0),
    "cummax": lambda x: x.cummax(0)[0],
    "by numbers": lambda x: (x + 1, x * 3, x - 7, x // 3, x % 7, torch.fmod(x, 7), 3 - x, 100 // x, 100 % x, x**2, x == 2**40 + 1, x & 3, x << 1, x >> 1),
    "search": lambda x: torch.searchsorted(x.sort()[0], x),
    "products": lambda x: (torch.outer(x, x), x.view(1, -1) @ x.view(-1, 1), torch.dot(x, x)),
    "scatter": lambda x: (x.index_add(0, torch.tensor([0, 0], device=x.device), x[:2]), x.scatter_add(0, torch.tensor([0, 0], device=x.device), x[:2]),
                          x.scatter_reduce(0, torch.tensor([0, 0], device=x.device), x[:2], "amax")),
    "isin": lambda x: torch.isin(x, x[:1]),
}


def values(dtype):
    if dtype == torch.bool:
        return torch.tensor([True, True, True])
    largest = torch.iinfo(dtype).max
    return torch.tensor([largest, largest - 2, min(largest, 2**40 + 1)], dtype=dtype)


def check(label, f, *tensors):
    """The CPU's result, unless the CPU refuses the arguments."""
    try:
        expected = f(*tensors)
    except RuntimeError:
        return
    torch.testing.assert_close(f(*(t.npu() for t in tensors)), expected, rtol=0, atol=0, check_device=False, msg=lambda m: f"{label}\n{m}")


@pytest.mark.parametrize("name", BINARY)
def test_two_operands(name):
    for left, right in itertools.product(DTYPES, DTYPES):
        a = values(left)
        for b in (torch.tensor([3, 3, 3], dtype=right), values(right), torch.tensor(3, dtype=right)):
            check(f"{left}, {b}", BINARY[name], a, b)
            check(f"{b}, {left}", BINARY[name], b, a)


@pytest.mark.parametrize("name", UNARY)
def test_one_operand(name):
    for dtype in DTYPES:
        check(str(dtype), UNARY[name], values(dtype))


@pytest.mark.parametrize("dtype", (torch.int8, torch.int16, torch.bool))
def test_division_by_zero_is_an_error_for_every_width(dtype):
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        torch.remainder(torch.tensor([3, 4]).npu(), torch.tensor([0, 1], dtype=dtype).npu()).cpu()
    assert torch.ones(2).npu().sum().item() == 2
