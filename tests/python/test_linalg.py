"""Factorisations, solvers and Fourier transforms on npu against the CPU: what the operator database leaves out."""
import pytest
import torch
import torch_npu
from pairs import strict_zip

G = torch.Generator().manual_seed(3)


def matrix(*size, dtype=torch.float32):
    return torch.randn(size, generator=G, dtype=dtype)


def same(function, *args, **kwargs):
    expected = function(*args, **kwargs)
    actual = function(*(a.npu() if isinstance(a, torch.Tensor) else a for a in args), **kwargs)
    if isinstance(expected, torch.Tensor):
        expected, actual = (expected,), (actual,)
    for e, a in strict_zip(expected, actual):
        torch.testing.assert_close(a.cpu().resolve_conj(), e.resolve_conj(), atol=1e-4, rtol=1e-4)


def native(function):
    torch_npu.reset_fallbacks()
    function()
    assert not torch_npu.fallbacks()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 4, 4), (6, 3), (3, 6), (0, 0), (2, 0, 3)])
def test_lu(shape, dtype):
    same(torch.linalg.lu_factor_ex, matrix(*shape, dtype=dtype))
    same(torch.linalg.lu, matrix(*shape, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("shape", [(5, 5), (2, 3, 4, 4), (6, 3), (0, 0), (2, 3, 0)])
def test_polar(shape, dtype):
    a = matrix(*shape, dtype=dtype)
    same(torch.linalg.polar, a)
    if dtype == torch.float32:
        native(lambda: torch.linalg.polar(a.npu()))
    with pytest.raises(RuntimeError, match="linalg.polar"):
        torch.linalg.polar(matrix(2, 3, dtype=dtype).npu())


def test_lu_of_a_large_matrix():
    a = matrix(120, 120)
    p, l, u = torch.linalg.lu(a.npu())
    torch.testing.assert_close((p.cpu() @ l.cpu() @ u.cpu()), a, atol=1e-4, rtol=1e-4)


def test_singular():
    a = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [1.0, 1.0, 1.0]])
    assert torch.linalg.inv_ex(a.npu()).info.item() == torch.linalg.inv_ex(a).info.item() != 0
    for function in (torch.linalg.inv, lambda m: torch.linalg.solve(m, m)):
        with pytest.raises(torch.linalg.LinAlgError, match="singular"):
            function(a.npu())
    assert torch.linalg.det(a.npu()).item() == 0
    same(torch.linalg.slogdet, a)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("adjoint", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
def test_lu_solve(left, adjoint, dtype):
    lu, pivots, _ = torch.linalg.lu_factor_ex(matrix(2, 4, 4, dtype=dtype))
    b = matrix(3, 1, 4, 4, dtype=dtype)
    same(torch.linalg.lu_solve, lu, pivots, b, left=left, adjoint=adjoint)


def test_not_positive_definite():
    a = torch.tensor([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]])
    assert torch.linalg.cholesky_ex(a.npu()).info.item() == torch.linalg.cholesky_ex(a).info.item() == 2
    with pytest.raises(torch.linalg.LinAlgError, match="leading minor of order 2 is not positive-definite"):
        torch.linalg.cholesky(a.npu())
    assert torch.ones(1).npu().item() == 1  # the device is usable


@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 4), (3, 5)])
def test_householder(shape):
    a, tau = torch.geqrf(matrix(*shape))
    same(torch.geqrf, matrix(*shape))
    if shape[-2] >= shape[-1]:
        same(torch.linalg.householder_product, a, tau)
    for left in (True, False):
        for transpose in (True, False):
            c = matrix(*shape[:-2], shape[-2], 4) if left else matrix(*shape[:-2], 4, shape[-2])
            same(torch.ormqr, a, tau, c, left=left, transpose=transpose)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64, torch.complex128])
def test_eigvals(dtype):
    """The order of eigenvalues is not defined, so they are sorted; with a gradient to compute and without."""
    def values(a):
        return torch.stack(sorted(torch.linalg.eigvals(a).cpu(), key=lambda v: (v.real.item(), v.imag.item())))

    triangle = matrix(4, 4, dtype=dtype).triu(1) + torch.diag(torch.arange(1, 5).to(dtype))
    same(values, triangle)
    actual, expected = triangle.npu().requires_grad_(), triangle.clone().requires_grad_()
    for a in (actual, expected):
        torch.linalg.eigvals(a).abs().sum().backward()
    torch.testing.assert_close(actual.grad.cpu(), expected.grad, atol=1e-4, rtol=1e-4)
    out = torch.empty(0, dtype=torch.complex128 if dtype in (torch.float64, torch.complex128) else torch.complex64, device="npu")
    assert torch.linalg.eigvals(triangle.npu(), out=out) is out
    torch.testing.assert_close(out.cpu().real.sort().values, torch.arange(1, 5).to(out.real.dtype), atol=1e-4, rtol=1e-4)


def test_errors():
    for function, args in ((torch.linalg.inv, (matrix(2, 3),)), (torch.linalg.det, (matrix(2, 3),)), (torch.linalg.solve, (matrix(2, 2), matrix(3, 1))),
                           (torch.linalg.cholesky, (matrix(2, 3),)), (torch.linalg.householder_product, (matrix(2, 3), matrix(2)))):
        with pytest.raises(RuntimeError) as expected:
            function(*args)
        with pytest.raises(type(expected.value)) as actual:
            function(*(a.npu() for a in args))
        assert str(actual.value).splitlines()[0] == str(expected.value).splitlines()[0]


@pytest.mark.parametrize("n", [1, 2, 7, 30, 257, 360, 1024, 1999])
@pytest.mark.parametrize("norm", ["backward", "ortho", "forward"])
def test_fft(n, norm):
    x, c = matrix(3, n), matrix(2, n, dtype=torch.complex64)
    same(torch.fft.fft, c, norm=norm)
    same(torch.fft.ifft, c, norm=norm)
    same(torch.fft.rfft, x, norm=norm)
    same(torch.fft.irfft, c, n=n, norm=norm)


def test_fft_is_native():
    x = matrix(4, 6).npu()
    native(lambda: torch.fft.ifft2(torch.fft.fft2(x)))
    native(lambda: torch.fft.irfft(torch.fft.rfft(x)))


def test_fft_dimensions_and_out():
    c = matrix(3, 4, 5, dtype=torch.complex64)
    same(torch.fft.fftn, c, dim=(0, 2))
    same(torch.fft.rfftn, matrix(3, 4, 5), dim=(2, 0))
    same(torch.fft.irfftn, c, dim=(0, 1))
    same(torch.fft.hfft, c)
    out = torch.empty(0, dtype=torch.complex64, device="npu")
    torch.fft.fft(c.npu(), out=out)
    torch.testing.assert_close(out.cpu(), torch.fft.fft(c), atol=1e-4, rtol=1e-4)
