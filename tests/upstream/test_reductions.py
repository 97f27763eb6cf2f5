"""Reductions on npu over dimensions, keepdim, dtype, empty and 0-dim inputs, as on the CPU: values, shapes and errors."""

import itertools

import torch
from torch.testing import make_tensor
from torch.testing._internal.common_device_type import instantiate_device_type_tests
from torch.testing._internal.common_utils import parametrize, subtest

from comparing import ComparingTestCase

SHAPES = ((), (3,), (0,), (2, 3), (2, 0), (0, 2), (2, 3, 4), (1, 1), (2, 0, 3))
DIMS = (None, 0, -1, 1, (0,), (0, 1), (-1, 0), (), (0, 0), 5)
DTYPES = (torch.float32, torch.float16, torch.int64, torch.bool, torch.uint8)
#: takes one dimension, several, a dtype
OPERATORS = {
    "sum": (True, True), "prod": (False, True), "mean": (True, True), "amax": (True, False), "amin": (True, False),
    "all": (True, False), "any": (True, False), "argmax": (False, False), "argmin": (False, False), "std": (True, False),
    "var": (True, False), "nansum": (True, True), "nanmean": (True, True), "count_nonzero": (True, False), "logsumexp": (True, False),
    "median": (False, False), "nanmedian": (False, False), "mode": (False, False), "max": (False, False), "min": (False, False),
    "cumsum": (False, True), "cumprod": (False, True), "logcumsumexp": (False, False), "cummax": (False, False), "aminmax": (False, False),
    "var_mean": (True, False), "std_mean": (True, False), "softmax": (False, True), "log_softmax": (False, True), "sort": (False, False),
    "linalg.vector_norm": (True, True), "norm": (True, True), "quantile": (False, False),
}
NO_KEEPDIM = ("cumsum", "cumprod", "logcumsumexp", "cummax", "count_nonzero", "softmax", "log_softmax", "sort")
TOLERANCE = {"rtol": 1e-3, "atol": 1e-3}


def function(name):
    if name == "linalg.vector_norm":
        return lambda x, *a, **k: torch.linalg.vector_norm(x, 2, *a, **k)
    if name == "norm":
        return lambda x, *a, **k: torch.norm(x, 2, *a, **k)
    if name == "quantile":
        return lambda x, *a, **k: torch.quantile(x, 0.25, *a, **k)
    return getattr(torch, name)


def distinct(shape, dtype):
    """Without ties: of equal elements a reduction may name any."""
    count = torch.Size(shape).numel()
    values = torch.arange(count).mul(7).remainder(max(count, 1)) if count % 7 else torch.arange(count).flip(0)
    return values.reshape(shape).to(dtype) + (1 if dtype != torch.bool else False)


class TestReductions(ComparingTestCase):
    @parametrize("name", [subtest(name, name=name.replace(".", "_")) for name in OPERATORS])
    def test_dims(self, device, name):
        f, (several, _) = function(name), OPERATORS[name]
        for shape, dim, dtype in itertools.product(SHAPES, DIMS, DTYPES):
            if isinstance(dim, tuple) and not several:
                continue
            x = distinct(shape, dtype)
            for keepdim in (False,) if name in NO_KEEPDIM or dim is None else (False, True):
                kwargs = {} if dim is None else {"dim": dim}
                if keepdim:
                    kwargs["keepdim"] = True
                self.compare(f"{name} {shape} {dtype} {kwargs}", lambda: f(x.to(device), **kwargs), lambda: f(x, **kwargs), **TOLERANCE)

    @parametrize("name", [subtest(name, name=name.replace(".", "_")) for name, (_, dtype) in OPERATORS.items() if dtype])
    def test_dtype(self, device, name):
        f = function(name)
        for dtype, wanted in itertools.product(DTYPES, (torch.float64, torch.float32, torch.int32, torch.bfloat16, torch.bool, torch.complex64)):
            x = distinct((2, 3), dtype)
            self.compare(f"{name} {dtype} to {wanted}", lambda: f(x.to(device), dim=0, dtype=wanted), lambda: f(x, dim=0, dtype=wanted),
                         **{**TOLERANCE, "atol": 1e-2, "rtol": 1e-2})

    @parametrize("name", [subtest(name, name=name.replace(".", "_")) for name in OPERATORS])
    def test_strided_and_special(self, device, name):
        f = function(name)
        kwargs = {"dim": 1}
        x = make_tensor((6, 5, 4), dtype=torch.float32, device="cpu")
        y = x.to(device)
        for label, view in (("transposed", lambda t: t.transpose(0, 2)), ("stepped", lambda t: t[::2, 1:, ::3]), ("expanded", lambda t: t[:, :1].expand(6, 3, 4))):
            if label == "expanded" and name in ("argmax", "argmin", "median", "nanmedian", "mode", "max", "min", "cummax", "sort"):
                continue
            self.compare(f"{name} {label}", lambda: f(view(y), **kwargs), lambda: f(view(x), **kwargs))
        for values in ([[float("nan"), 1, 2]], [[float("inf"), 1, -2]], [[float("-inf"), float("inf"), 3]], [[0.0, -0.0, 1]]):
            z = torch.tensor(values)
            if name in ("argmax", "argmin") and 0.0 in values[0]:
                continue
            self.compare(f"{name} {values}", lambda: f(z.to(device), **kwargs), lambda: f(z, **kwargs))

    @parametrize("name", ("sum", "mean", "amax", "prod", "var", "logsumexp", "cumsum", "any"))
    def test_out(self, device, name):
        f = function(name)
        x = distinct((3, 4), torch.float32)
        for shape, dtype in itertools.product(((3,), (0,), (5,)), (torch.float32, torch.float64, torch.int64, torch.bool)):
            self.compare(f"{name} out={shape} {dtype}", lambda: f(x.to(device), 1, out=torch.empty(shape, dtype=dtype, device=device)),
                         lambda: f(x, 1, out=torch.empty(shape, dtype=dtype)))

    def test_large(self, device):
        x = torch.arange(1 << 18, dtype=torch.float32).reshape(512, 512).remainder(97)
        y = x.to(device)
        for f in (torch.sum, torch.mean, torch.amax, torch.argmax, torch.std):
            self.compare(f.__name__, lambda: f(y), lambda: f(x))
            self.compare(f"{f.__name__} by row", lambda: f(y, 1), lambda: f(x, 1))


instantiate_device_type_tests(TestReductions, globals())
