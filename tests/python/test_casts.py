"""Conversions between all dtypes, also those that aclnnInplaceCopy does not take."""
import pytest
import torch

import torch_npu


def dtypes(*names):
    """Those that this torch has."""
    return [getattr(torch, name) for name in names if hasattr(torch, name)]


COMMON = dtypes("float32", "float16", "bfloat16", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
                "complex64", "complex128")
RARE = dtypes("float8_e4m3fn", "float8_e5m2", "complex32")
WITHOUT_CAST = dtypes("float8_e8m0fnu", "float8_e4m3fnuz", "float8_e5m2fnuz")


def values(dtype):
    return torch.tensor([[0.0, 1.0, 2.0], [4.0, 0.5, 8.0]]).to(dtype)


def bits(t):
    return t.cpu().contiguous().view(torch.uint8)


@pytest.mark.filterwarnings("ignore:.*ComplexHalf", "ignore:.*discards the imaginary")
@pytest.mark.parametrize("source", COMMON + RARE, ids=str)
def test_between_all_pairs(source):
    host = values(source)
    device = host.npu()
    torch_npu.reset_fallbacks()
    for target in COMMON + RARE:
        torch.testing.assert_close(bits(device.to(target)), bits(host.to(target)), msg=lambda m, t=target: f"to {t}: {m}")
    assert [f.operator for f in torch_npu.fallbacks()] == []


@pytest.mark.filterwarnings("ignore:.*ComplexHalf", "ignore:.*discards the imaginary")
@pytest.mark.parametrize("dtype", RARE + WITHOUT_CAST, ids=str)
def test_strided_copies_within_a_dtype(dtype):
    host = values(dtype)
    device = host.npu()
    assert torch.equal(bits(device.t().contiguous()), bits(host.t().contiguous()))
    target = torch.zeros(4, 4, dtype=dtype, device="npu")
    target[1:4, ::2].copy_(device.t())
    expected = torch.zeros(4, 4, dtype=dtype)
    expected[1:4, ::2].copy_(host.t())
    assert torch.equal(bits(target), bits(expected))


@pytest.mark.filterwarnings("ignore:aten..copy")
@pytest.mark.parametrize("dtype", WITHOUT_CAST, ids=str)
def test_a_conversion_that_cann_lacks_is_counted(dtype):
    host = values(torch.float32)
    torch_npu.reset_fallbacks()
    converted = host.npu().to(dtype)
    assert torch.equal(bits(converted), bits(host.to(dtype)))
    assert torch.equal(converted.float().cpu(), host.to(dtype).float())
    assert {f.operator for f in torch_npu.fallbacks()} == {"aten::copy"}
