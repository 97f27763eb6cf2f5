"""Special functions composed of native operators: special values, branch boundaries, dtypes and variants as on the CPU."""
import math

import pytest
import torch
import torch_npu

inf, nan = math.inf, math.nan
UNARY = """entr erfcx log_ndtr ndtri airy_ai spherical_bessel_j0 bessel_j0 bessel_j1 bessel_y0 bessel_y1 i0 i0e i1 i1e modified_bessel_i0
modified_bessel_i1 modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1""".split()
POLYNOMIALS = [f"{p}chebyshev_polynomial_{k}" for p in ("", "shifted_") for k in "tuvw"] + [
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"]
DTYPES = [torch.float32, torch.float64]


def points(dtype):
    edges = [0.0, -0.0, inf, -inf, nan, 1, -1, 0.5, -0.5, 2, -2, 5, -5, 8, -8, 2.09, -2.09, 8.32, 50, 51, -26, -27.5, 1e-6, -1e-6,
             1e-30, 5e7, 6e7, 103.8, 103.9, math.exp(-2), 1 - math.exp(-2), 1 - 1e-7]
    return torch.cat([torch.tensor(edges, dtype=torch.float64), torch.linspace(-30, 30, 241, dtype=torch.float64),
                      torch.linspace(0, 1, 41, dtype=torch.float64), torch.logspace(-10, 10, 41, dtype=torch.float64)]).to(dtype)


@pytest.fixture(autouse=True)
def native():
    torch_npu.reset_fallbacks()
    yield
    fallen = {f.operator for f in torch_npu.fallbacks()}
    assert not fallen, f"computed on the CPU: {fallen}"


def same(actual, expected, **tolerance):
    assert actual.device.type == "npu"
    torch.testing.assert_close(actual.cpu(), expected, equal_nan=True, **tolerance)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY)
def test_one_argument(name, dtype):
    f, x = getattr(torch.special, name), points(dtype)
    same(f(x.npu()), f(x), **({"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", range(1, 6))
def test_polygamma(n, dtype):
    x = points(dtype)
    # Close to a pole the CPU's own sums lose as many digits.
    x = x[~((x < 0) & ((x - x.round()).abs() < 1e-3) & (x != x.round()))]
    same(torch.polygamma(n, x.npu()), torch.polygamma(n, x), **({"rtol": 2e-5, "atol": 1e-5} if dtype == torch.float32 else {}))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["zeta", "xlog1py"])
def test_two_arguments(name, dtype):
    f = getattr(torch.special, name)
    a = torch.tensor([1, 0.5, 1.5, 2, 3, 4, 10, 30, 100, -1, nan, inf], dtype=dtype)[:, None]
    b = torch.tensor([0, 1, -1, 0.5, -0.5, -1.5, -2.25, -7.75, 2, 10, 100, 1e6, inf, nan], dtype=dtype)
    if name == "zeta":
        a = a[:-1]  # for an infinite exponent ATen's CPU kernel gives NaN where all terms are 0
    same(f(a.npu(), b.npu()), f(a, b))
    same(f(a.npu(), 2.5), f(a, 2.5))
    same(f(3.0, b.npu()), f(3.0, b))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name, dtype):
    f = getattr(torch.special, name)
    x = torch.tensor([0, 1, -1, 0.5, 1 - 1e-7, -1 + 1e-7, 1e-9, 2, -2, -0.3, 0.99, 1.25, -1.5], dtype=dtype)[:, None]
    n = torch.tensor([-2, -1, 0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 12, -0.5, 2.7], dtype=dtype)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {}
    same(f(x.npu(), n.npu()), f(x, n), **tolerance)
    same(f(x.npu(), n.long().npu()), f(x, n.long()), **tolerance)
    for degree in (-1, 0, 1, 4, 11):
        same(f(x.npu(), degree), f(x, degree), **tolerance)
    same(f(0.25, n.npu()), f(0.25, n), **tolerance)
    if name.startswith("hermite"):
        assert f(x.npu(), 600).isnan().all()


def test_degrees_that_are_no_numbers():
    x = torch.tensor([0.5, 2.0]).npu()
    assert torch.special.chebyshev_polynomial_t(x, torch.tensor([nan, inf]).npu()).cpu().tolist() == [0, 0]
    assert torch.special.legendre_polynomial_p(x[:0], x[:0]).shape == (0,)


def test_variants():
    x = torch.tensor([[0.5, 2.0], [3.0, -9.0]])
    out = torch.empty(0).npu()
    assert torch.i0(x.npu(), out=out) is out
    same(out, torch.i0(x))
    wide = torch.empty(2, 2, dtype=torch.float64).npu()
    same(torch.special.i1(x.npu(), out=wide), torch.special.i1(x, out=torch.empty(2, 2, dtype=torch.float64)))
    same(x.npu().i0_(), x.clone().i0_())
    same(x.npu().t().polygamma_(2), x.clone().t().polygamma_(2), rtol=1e-5, atol=1e-5)
    ints = torch.arange(4)
    same(torch.special.entr(ints.npu()), torch.special.entr(ints))
    same(torch.special.i1e(ints.npu()), torch.special.i1e(ints))
    same(torch.special.chebyshev_polynomial_u(ints.npu(), ints.npu()), torch.special.chebyshev_polynomial_u(ints, ints))
    for dtype in (torch.float16, torch.bfloat16):
        same(torch.special.i0e(x.to(dtype).npu()), torch.special.i0e(x.to(dtype)))
    strided = torch.randn(4, 3).t()
    same(torch.special.erfcx(strided.npu()), torch.special.erfcx(strided))
    assert torch.special.erfcx(strided.npu()).stride() == torch.special.erfcx(strided).stride()
    with pytest.raises(RuntimeError, match="can't be cast"):
        torch.special.i1(x.npu(), out=torch.empty(2, 2, dtype=torch.int64).npu())
    with pytest.raises(RuntimeError, match="negative"):
        torch.polygamma(-1, x.npu())
