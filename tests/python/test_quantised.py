"""Fake quantisation and products of quantised matrices against the CPU's, or against what they stand for where torch has only CUDA's."""
import pytest
import torch
import torch_npu
from pairs import strict_zip

G = torch.Generator().manual_seed(5)


def rand(*size):
    return torch.randn(size, generator=G)


def both(function, *args):
    expected = function(*args)
    actual = function(*(a.npu() if isinstance(a, torch.Tensor) else a for a in args))
    for e, a in strict_zip(expected if isinstance(expected, tuple) else (expected,), actual if isinstance(actual, tuple) else (actual,)):
        torch.testing.assert_close(a.cpu(), e)


@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2)])
def test_fake_quantize_per_tensor(shape):
    both(torch.fake_quantize_per_tensor_affine, rand(*shape), 0.1, 3, -8, 7)
    both(torch.ops.aten.fake_quantize_per_tensor_affine_cachemask, rand(*shape), 0.1, 3, -8, 7)
    both(torch.fake_quantize_per_tensor_affine, rand(*shape), torch.tensor(0.1), torch.tensor(3, dtype=torch.int32), -8, 7)


@pytest.mark.parametrize("axis", [0, 1])
def test_fake_quantize_per_channel(axis):
    x = rand(3, 3)
    both(torch.fake_quantize_per_channel_affine, x, torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0, 1, 2], dtype=torch.int32), axis, -8, 7)


def test_fake_quantize_gradient():
    grads = []
    for device in ("cpu", "npu"):
        x = torch.linspace(-2, 2, 9).to(device).requires_grad_()
        torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -8, 7).sum().backward()
        grads.append(x.grad.cpu())
    torch.testing.assert_close(*grads)


@pytest.mark.parametrize("zero", [0.0, 1.4, -1.7])
def test_learnable(zero):
    for channel in (False, True):
        outs = []
        for device in ("cpu", "npu"):
            x = torch.linspace(-2, 2, 12).view(3, 4).to(device).requires_grad_()
            n = 3 if channel else 1
            scale = torch.full((n,), 0.13, device=device, requires_grad=True)
            point = torch.full((n,), zero, device=device, requires_grad=True)
            if channel:
                y = torch._fake_quantize_learnable_per_channel_affine(x, scale, point, 0, -8, 7, 0.5)
            else:
                y = torch._fake_quantize_learnable_per_tensor_affine(x, scale, point, -8, 7, 0.5)
            y.pow(2).sum().backward()
            outs.append([t.detach().cpu() for t in (y, x.grad, scale.grad, point.grad)])
        for e, a in strict_zip(*outs):
            torch.testing.assert_close(a, e)


def test_fake_quantize_errors():
    for args, message in (((rand(2).npu(), 0.1, 9, -8, 7), "zero_point"), ((rand(2).npu(), 0.1, 0, 8, 7), "quant_min")):
        with pytest.raises(RuntimeError, match=message):
            torch.fake_quantize_per_tensor_affine(*args)


def test_int_mm():
    a = torch.randint(-128, 128, (17, 8), generator=G).to(torch.int8)
    b = torch.randint(-128, 128, (8, 16), generator=G).to(torch.int8)
    both(torch._int_mm, a, b)
    both(torch._int_mm, a, b.t().contiguous().t())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_weight_int8pack_mm(dtype):
    w = torch.randint(-128, 128, (16, 8), generator=G).to(torch.int8)
    x, scales = rand(4, 8).to(dtype), rand(16).abs().to(dtype)
    want = (x.float() @ (w.float() * scales.float()[:, None]).t()).to(dtype)
    got = torch._weight_int8pack_mm(x.npu(), w.npu(), scales.npu())
    torch.testing.assert_close(got.cpu(), want, atol=0.2 if dtype != torch.float32 else 1e-3, rtol=2e-2)


@pytest.mark.parametrize("out_dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("rows", [False, True])
def test_scaled_mm(rows, out_dtype):
    a, b = rand(16, 32).to(torch.float8_e4m3fn), rand(16, 32).to(torch.float8_e4m3fn).t()
    sa, sb = (rand(16, 1).abs(), rand(1, 16).abs()) if rows else (torch.tensor(0.5), torch.tensor(2.0))
    want = ((a.float() @ b.float()) * sa * sb).to(out_dtype)
    got = torch._scaled_mm(a.npu(), b.npu(), sa.npu(), sb.npu(), out_dtype=out_dtype)
    assert got.dtype == out_dtype
    torch.testing.assert_close(got.cpu().float(), want.float(), atol=1e-3, rtol=0.13 if out_dtype == torch.float8_e4m3fn else 1e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [False, True])
def test_scaled_addmm(rows, dtype):
    a, b = rand(16, 32).to(torch.float8_e4m3fn), rand(16, 32).to(torch.float8_e4m3fn).t()
    scales = (rand(16, 1).abs(), rand(1, 16).abs()) if rows else (torch.tensor(0.5), torch.tensor(2.0))
    product = (a.float() @ b.float()) * scales[0] * scales[1]
    recipe = [int(rows)]
    added, factors = rand(16, 16).to(dtype), dict(beta=0.5, alpha=-2.0)
    args = (a.npu(), b.npu(), [scales[0].npu()], recipe, [0], [scales[1].npu()], recipe, [0])
    want = (0.5 * added.float() - 2 * product).to(dtype)
    same = dict(atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(torch._scaled_addmm(added.npu(), *args, **factors).cpu(), want, **same)
    in_place, out = added.npu(), torch.empty(16, 16, dtype=dtype, device="npu")
    assert torch.ops.aten._scaled_addmm_(in_place, *args, **factors) is in_place
    torch.ops.aten._scaled_addmm.out(added.npu(), *args, **factors, out=out)
    torch.testing.assert_close(in_place.cpu(), want, **same)
    torch.testing.assert_close(out.cpu(), want, **same)
    dropped = torch._scaled_addmm(torch.full((16, 16), float("nan"), dtype=dtype, device="npu"), *args, beta=0)
    torch.testing.assert_close(dropped.cpu(), product.to(dtype), **same)


def test_grouped_mm():
    x, w = rand(10, 8).bfloat16(), rand(3, 8, 16).bfloat16()
    ends = torch.tensor([4, 4, 10], dtype=torch.int32)
    want = torch.cat([x[:4] @ w[0], x[4:] @ w[2]])
    got = torch._grouped_mm(x.npu(), w.npu(), offs=ends.npu())
    torch.testing.assert_close(got.cpu(), want, atol=2e-2, rtol=2e-2)


def test_scaled_grouped_mm():
    x, w = rand(10, 16).to(torch.float8_e4m3fn), rand(2, 16, 16).to(torch.float8_e4m3fn)
    sx, sw = rand(10).abs(), rand(2, 16).abs()
    ends = torch.tensor([4, 10], dtype=torch.int32)
    want = torch.cat([(x[s:e].float() @ w[i].float()) * sx[s:e, None] * sw[i] for i, (s, e) in enumerate(((0, 4), (4, 10)))]).bfloat16()
    got = torch._scaled_grouped_mm(x.npu(), w.npu(), sx.npu(), sw.npu(), offs=ends.npu())
    torch.testing.assert_close(got.cpu(), want, atol=2e-2, rtol=2e-2)


def test_wide_products():
    a, b = rand(4, 5).half().npu(), rand(5, 6).half().npu()
    got = torch.mm(a, b, out_dtype=torch.float32)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.cpu(), a.cpu().float() @ b.cpu().float())
