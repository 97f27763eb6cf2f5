"""Conversions between all dtypes, also those that aclnnInplaceCopy does not take."""
import pytest
import torch

import torch_npu

COMMON = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8,
          torch.uint16, torch.uint32, torch.uint64, torch.bool, torch.complex64, torch.complex128]
RARE = [torch.float8_e4m3fn, torch.float8_e5m2, torch.complex32]
WITHOUT_CAST = [torch.float8_e8m0fnu, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz]


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
