"""Pointwise operators, reductions and scans that are composed on the npu, on hard values, and what wrong arguments answer."""
import math

import pytest
import torch
import torch_npu
from pairs import strict_zip

pytestmark = pytest.mark.skipif(not torch.npu.is_available(), reason="no npu")

FLOATS = [0.0, -0.0, 1.0, -1.0, 2.5, -3.75, 1e-40, -1e-40, 3e38, -3e38, math.inf, -math.inf, math.nan, 0.1, 1e-38]
PAIRS = torch.cartesian_prod(torch.tensor(FLOATS), torch.tensor(FLOATS))
INTS = torch.cartesian_prod(torch.arange(-6, 7), torch.arange(-6, 7))


def npu(value):
    if isinstance(value, torch.Tensor):
        return value.npu()
    return [npu(v) for v in value] if isinstance(value, list) else value


def same(f, *arguments, signs=False, **tolerance):
    torch_npu.reset_fallbacks()
    actual, expected = f(*npu(list(arguments))), f(*arguments)
    assert not torch_npu.fallbacks()
    if isinstance(expected, torch.Tensor):
        actual, expected = (actual,), (expected,)
    for a, e in strict_zip(actual, expected):
        torch.testing.assert_close(a.cpu(), e, equal_nan=True, **tolerance)
        if signs:  # also of zeros
            assert torch.equal(a.cpu().signbit()[~e.isnan()], e.signbit()[~e.isnan()])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", ["nextafter", "copysign", "fmin", "fmax", "hypot", "heaviside"])
def test_pairs_of_floats(name, dtype):
    x, y = PAIRS.to(dtype).unbind(1)
    if name == "hypot" and dtype == torch.bfloat16:
        x, y = x[x.abs() > 1e-30], y[x.abs() > 1e-30]  # the CPU flushes some subnormal numbers
    same(getattr(torch, name), x, y, signs=name in ("nextafter", "copysign"))


@pytest.mark.parametrize("name", ["lcm", "fmin", "fmax", "copysign", "heaviside", "gcd"])
def test_pairs_of_ints(name):
    same(getattr(torch, name), *INTS.unbind(1))
    same(getattr(torch, name), INTS.int()[:, 0], INTS.int()[:, 1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_frexp(dtype):
    same(torch.frexp, torch.tensor(FLOATS + [1e-45, 5e-324, 6e-8, 65504.0, 0.75, -12.0], dtype=torch.float64).to(dtype))


def test_angle():
    same(torch.angle, torch.tensor(FLOATS))
    same(torch.angle, torch.tensor(FLOATS).double())
    same(torch.angle, torch.arange(-3, 4))
    same(torch.angle, torch.complex(*PAIRS.unbind(1)))
    same(torch.angle, torch.complex(*PAIRS.double().unbind(1)))


def test_shifts():
    x, by = INTS.abs().unbind(1)
    for f in (torch.Tensor.__lshift__, torch.Tensor.__rshift__):
        same(f, x, by)
        same(f, x.int(), 3)
    a = x.npu()
    a <<= 2
    a >>= 1
    assert torch.equal(a.cpu(), x * 2)


def test_mode():
    same(torch.mode, torch.tensor([[1, 2, 2, 1, 3.0], [math.nan, math.nan, 1, 1, 5]]))
    same(torch.mode, torch.randint(0, 4, (5, 9, 3), generator=torch.Generator().manual_seed(0)), 1, True)
    same(torch.mode, torch.tensor(3.0))
    same(torch.mode, torch.empty(0, 3), 1)
    same(torch.mode, torch.tensor([[7]]))


def test_hash_tensor():
    for x in (torch.tensor([1.5, 2, -3]), torch.ones(3, 5, dtype=torch.half), torch.tensor([1, -2], dtype=torch.int8), torch.tensor([True, False])):
        same(torch.hash_tensor, x)
    same(lambda x: torch.hash_tensor(x, 1, keepdim=True), torch.arange(2 * 7 * 3).view(2, 7, 3))


def test_logcumsumexp_over_a_wide_range():
    x = torch.tensor([-1000.0, -1e4, 0, 500, 900, -math.inf, 3])
    same(torch.logcumsumexp, x, 0)
    same(torch.logcumsumexp, x.view(7, 1).expand(7, 3).contiguous(), 0)
    same(torch.logcumsumexp, torch.tensor(1.0), 0)
    same(torch.logcumsumexp, torch.empty(0), 0)


def test_masked_softmax():
    x = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    same(torch._masked_softmax, x, torch.tensor([[1, 0, 1], [0, 1, 0]]).bool(), 3, 1)
    same(torch._masked_softmax, x, torch.tensor([[0, 0, 1], [0, 1, 0], [1, 1, 0]]).bool(), 3, 0)
    same(torch._masked_softmax, x, x > 0.5, 3, 2)
    same(torch.ops.aten._masked_softmax_backward, x, x.softmax(-1), x > 0.5, 3)


def test_glu_derivatives():
    g = torch.Generator().manual_seed(0)
    x, dx, grad, dgrad = torch.randn(3, 4, generator=g), torch.randn(3, 4, generator=g), torch.randn(3, 2, generator=g), torch.randn(3, 2, generator=g)
    same(torch.ops.aten.glu_jvp, torch.nn.functional.glu(x), x, dx, 1)
    same(torch.ops.aten.glu_backward_jvp, torch.ops.aten.glu_backward(grad, x, 1), grad, x, dgrad, dx, 1)


def test_mean_without_nan():
    x = torch.tensor([[1, math.nan, 4], [math.nan, math.nan, math.nan]])
    same(torch.nanmean, x, 1)
    out = torch.empty(0, device="npu")
    assert torch.nanmean(x.npu(), 0, keepdim=True, out=out) is out
    torch.testing.assert_close(out.cpu(), torch.tensor([[1, math.nan, 4]]), equal_nan=True)


variance_dtypes = pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.float16])


@variance_dtypes
@pytest.mark.parametrize("correction", [0, 1, 5, 7])
def test_variance(dtype, correction):
    x = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    if dtype == torch.complex64:
        x = x + 1j * x.roll(1, 0)
    for f in (torch.var, torch.std, torch.var_mean, torch.std_mean):
        same(lambda t: f(t, 0, correction=correction, keepdim=True), x)
        out = torch.empty(4, device="npu", dtype=x.real.dtype)
        if f in (torch.var, torch.std):
            f(x.npu(), 0, correction=correction, out=out)
            torch.testing.assert_close(out.cpu(), f(x, 0, correction=correction), equal_nan=True)


@variance_dtypes
def test_variance_with_a_fraction_as_correction(dtype):
    test_variance(dtype, 1.3)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64, torch.float16, torch.float64, torch.complex64])
def test_sequences(dtype):
    def made(**options):
        made = [torch.linspace(1, 9, 5, **options), torch.linspace(0, 10, 4, **options), torch.logspace(0, 2, 5, **options),
                torch.linspace(3, 3, 1, **options), torch.eye(3, 4, **options), torch.eye(2, **options)]
        if dtype != torch.complex64:
            made += [torch.arange(1, 9, 3, **options), torch.logspace(0, 3, 4, base=2, **options)]
        if dtype not in (torch.complex64, torch.float16):
            made += [torch.range(0, 7, 2, **options), torch.arange(0.7, 9.9, 3.5, **options)]
        return made

    wide = torch.float32 if dtype == torch.float16 else dtype  # the CPU of older versions of torch has no logspace in half precision
    for a, e in strict_zip(made(dtype=dtype, device="npu"), made(dtype=wide)):
        torch.testing.assert_close(a.cpu(), e.to(dtype))


def test_conjugate():
    x = torch.tensor([1 + 2j, -3 - 1j])
    same(lambda t: t.conj().resolve_conj(), x)
    assert torch.equal(x.npu().conj().cpu(), x.conj().resolve_conj())
    same(lambda t: t.conj() * t, x)


WRONG = {
    "frexp of ints": lambda d: torch.frexp(torch.ones(2, dtype=torch.int64, device=d)),
    "heaviside of two dtypes": lambda d: torch.heaviside(torch.ones(2, device=d), torch.ones(2, dtype=torch.int64, device=d)),
    "mode of nothing": lambda d: torch.mode(torch.empty(0, 3, device=d), 0),
    "hash of nothing": lambda d: torch.hash_tensor(torch.empty(0, device=d)),
    "hash mode": lambda d: torch.hash_tensor(torch.ones(2, device=d), mode=1),
    "linspace, steps": lambda d: torch.linspace(0, 1, -1, device=d),
    "logspace, steps": lambda d: torch.logspace(0, 1, -1, device=d),
    "range, step": lambda d: torch.range(0, 1, 0, device=d),
    "range, order": lambda d: torch.range(0, -1, device=d),
    "arange, order": lambda d: torch.arange(0, -1, device=d),
    "arange, infinite": lambda d: torch.arange(0, math.inf, device=d),
    "assertion": lambda d: torch._assert_async(torch.zeros((), device=d)),
    "assertion with text": lambda d: torch._assert_async(torch.zeros((), device=d), "not so"),
    "copysign out dtype": lambda d: torch.copysign(torch.ones(2, device=d), 1.0, out=torch.empty(2, dtype=torch.int64, device=d)),
    "fmax out dtype": lambda d: torch.fmax(torch.ones(2, device=d), torch.ones(2, device=d), out=torch.empty(2, dtype=torch.int64, device=d)),
    "acos into ints": lambda d: torch.ones(2, dtype=torch.int16, device=d).acos_(),
    "hypot of shapes": lambda d: torch.hypot(torch.ones(2, device=d), torch.ones(3, device=d)),
    "mask of floats": lambda d: torch._masked_softmax(torch.ones(2, 2, device=d), torch.ones(2, 2, device=d), 1, 2),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_the_cpus(name, same_error):
    same_error(WRONG[name])


def test_narrow_dtypes_are_computed_in_wider_ones():
    x = torch.arange(1, 5)
    for dtype in (torch.int8, torch.uint8, torch.int16, torch.bool, torch.bfloat16):
        for name in ("asinh", "cosh", "erf", "erfc", "exp", "expm1", "sigmoid", "lgamma", "digamma", "sinc"):
            f = getattr(torch, name)
            # The CPU of older versions of torch rounds to bfloat16 between the steps of sinc.
            same(lambda t: f(t.float()).to(dtype) if dtype == torch.bfloat16 and t.device.type == "cpu" else f(t), x.to(dtype))
        if dtype != torch.bool:
            same(torch.sign, x.to(dtype))
            same(torch.remainder, x.to(dtype), torch.tensor(3, dtype=dtype))
            same(lambda t: torch.remainder(t, 3), x.to(dtype))
            same(torch.floor_divide, x.to(dtype), torch.tensor(3, dtype=dtype))
            same(torch.neg, x.to(dtype))
            same(torch.round, x.to(dtype))
            same(torch.trunc, x.to(dtype))


def test_out_of_another_dtype():
    x = torch.arange(1, 5, dtype=torch.int16)
    out = torch.empty(0, dtype=torch.float64, device="npu")
    assert torch.erf(x.npu(), out=out) is out
    torch.testing.assert_close(out.cpu(), torch.erf(x).double(), atol=1e-6, rtol=1e-6)
    y = torch.ones(4, device="npu")
    assert torch.fmax(y, torch.full((4,), 2.0, device="npu"), out=y) is y and y.tolist() == [2.0] * 4
    assert y.copysign_(torch.tensor(-1.0)).tolist() == [-2.0] * 4
    assert y.nextafter_(y).tolist() == [-2.0] * 4


@pytest.mark.parametrize("p", [float("inf"), -float("inf")])
def test_gradient_of_the_extreme_norm_of_complex_numbers(p):
    torch.manual_seed(0)
    host = torch.randn(20, 7, dtype=torch.complex64).requires_grad_()
    device = host.detach().npu().requires_grad_()
    torch.linalg.vector_norm(host, p, dim=1).sum().backward()
    torch.linalg.vector_norm(device, p, dim=1).sum().backward()
    torch.testing.assert_close(device.grad.cpu(), host.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
@pytest.mark.parametrize("f", [lambda x: 0.1 - x, lambda x: x - 0.1, lambda x: torch.rsub(x, 0.7, alpha=0.3), lambda x: 0.1 / x], ids=["n-x", "x-n", "rsub", "n/x"])
def test_a_number_is_as_exact_as_the_tensor_beside_it(f, dtype):
    torch.manual_seed(0)
    x = torch.randn(50, dtype=dtype)
    digits = 1e-15 if dtype in (torch.float64, torch.complex128) else 1e-6
    same(f, x, rtol=digits, atol=digits)
