"""Type promotion on npu: every pair of dtypes, as tensors, 0-dim tensors of either device and Python numbers, as on the CPU."""

import itertools

import torch
from torch.testing._internal.common_device_type import instantiate_device_type_tests
from torch.testing._internal.common_utils import parametrize, subtest

from comparing import ComparingTestCase

DTYPES = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16, torch.bfloat16, torch.float32,
          torch.float64, torch.complex64, torch.complex128)
OPERATORS = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "floor_divide": torch.floor_divide,
    "remainder": torch.remainder, "fmod": torch.fmod, "pow": torch.pow, "eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "ge": torch.ge,
    "maximum": torch.maximum, "minimum": torch.minimum, "fmax": torch.fmax, "logical_and": torch.logical_and,
    "bitwise_and": torch.bitwise_and, "bitwise_xor": torch.bitwise_xor, "atan2": torch.atan2, "hypot": torch.hypot,
    "copysign": torch.copysign, "xlogy": torch.xlogy, "true_divide": torch.true_divide,
    "where": lambda a, b: torch.where(torch.tensor([True, False, True], device=b.device if b.dim() else a.device), a, b),
    "cat": lambda a, b: torch.cat([a.reshape(-1), b.reshape(-1)]), "add_alpha": lambda a, b: torch.add(a, b, alpha=1),
    "lerp": lambda a, b: torch.lerp(a, b, 0.5), "result_type": torch.result_type, "isclose": torch.isclose,
}
SCALARS = (True, 3, 2.5, 1 + 2j)


def values(dtype):
    return torch.tensor([1, 2, 3] if dtype != torch.bool else [True, False, True]).to(dtype)


#: of results of few digits
COARSE = {"rtol": 1e-3, "atol": 1e-3}


class TestTypePromotion(ComparingTestCase):
    @parametrize("name", [subtest(name, name=name) for name in OPERATORS])
    def test_binary(self, device, name):
        f = OPERATORS[name]
        for left, right in itertools.product(DTYPES, DTYPES):
            a, b = values(left), values(right)
            label = f"{name} {left} {right}"
            self.compare(label, lambda: f(a.to(device), b.to(device)), lambda: f(a, b), **COARSE)
            zero = b[0]
            self.compare(f"{label} 0-dim", lambda: f(a.to(device), zero.to(device)), lambda: f(a, zero), **COARSE)
            if name not in ("cat", "isclose"):  # they want one device
                self.compare(f"{label} 0-dim on the CPU", lambda: f(a.to(device), zero), lambda: f(a, zero), **COARSE)

    @parametrize("name", [subtest(name, name=name) for name in OPERATORS
                          if name not in ("where", "cat", "maximum", "minimum", "fmax", "logical_and", "atan2", "hypot", "lerp", "isclose")])
    def test_number(self, device, name):
        f = OPERATORS[name]
        for dtype, number in itertools.product(DTYPES, SCALARS):
            a = values(dtype)
            for default in (torch.float32, torch.float64):
                torch.set_default_dtype(default)
                try:
                    self.compare(f"{name} {dtype} {number} {default}", lambda: f(a.to(device), number), lambda: f(a, number), **COARSE)
                finally:
                    torch.set_default_dtype(torch.float32)

    @parametrize("name", ("add", "sub", "mul", "div", "remainder", "pow", "eq", "floor_divide", "bitwise_and"))
    def test_in_place_and_out(self, device, name):
        method, f = getattr(torch.Tensor, name + "_"), OPERATORS[name]
        for left, right in itertools.product(DTYPES, DTYPES):
            a, b = values(left), values(right)
            self.compare(f"{name}_ {left} {right}", lambda: method(a.to(device), b.to(device)), lambda: method(a.clone(), b), **COARSE)
        for left, out in itertools.product(DTYPES, DTYPES):
            a = values(left)
            self.compare(f"{name} {left} out={out}", lambda: f(a.to(device), a.to(device), out=torch.empty(3, dtype=out, device=device)),
                         lambda: f(a, a, out=torch.empty(3, dtype=out)), **COARSE)

    @parametrize("name", ("sqrt", "exp", "sigmoid", "sin", "abs", "neg", "square", "sign", "floor", "round", "reciprocal", "isnan",
                          "logical_not", "bitwise_not", "angle", "isfinite", "relu", "log1p", "tanh", "erf"))
    def test_unary(self, device, name):
        f = getattr(torch, name)
        for dtype in DTYPES:
            a = values(dtype)
            self.compare(f"{name} {dtype}", lambda: f(a.to(device)), lambda: f(a), **COARSE)

    @parametrize("name", ("sum", "prod", "mean", "cumsum", "cumprod", "any", "all", "max", "argmax", "std", "nansum", "logsumexp", "norm"))
    def test_reduction(self, device, name):
        f = getattr(torch, name)
        arguments = (0,) if name in ("cumsum", "cumprod", "logsumexp") else ()
        for dtype in DTYPES:
            a = values(dtype)
            self.compare(f"{name} {dtype}", lambda: f(a.to(device), *arguments), lambda: f(a, *arguments), **COARSE)

    def test_conversions(self, device):
        for left, right in itertools.product(DTYPES, DTYPES):
            a = values(left)
            self.compare(f"{left} to {right}", lambda: a.to(device).to(right), lambda: a.to(right), **COARSE)
            self.compare(f"{left} copied into {right}", lambda: torch.empty(3, dtype=right, device=device).copy_(a),
                         lambda: torch.empty(3, dtype=right).copy_(a), **COARSE)

    def test_devices_do_not_mix(self, device):
        x = torch.ones(3, device=device)
        for f in (torch.add, torch.mul, torch.maximum, torch.eq):
            with self.assertRaisesRegex(RuntimeError, "Expected all tensors to be on the same device"):
                f(x, torch.ones(3))
        self.assertEqual(torch.add(torch.tensor(2.0), x).device, x.device)


instantiate_device_type_tests(TestTypePromotion, globals())
