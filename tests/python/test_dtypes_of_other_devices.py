"""Data types that PyTorch's operator database lists for CUDA and not for the CPU: programs written for a GPU use them. npu either computes them, as
the CPU does in a wider type, or refuses them in the call; they never break the device."""
import pytest
import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.utils._pytree import tree_map

WIDER = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.bool: torch.int64, torch.int8: torch.float64, torch.uint8: torch.float64,
         torch.int16: torch.float64, torch.int32: torch.float64, torch.int64: torch.float64}
RANDOM = {"nn.functional.rrelu"}
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 2e-2}
CASES = [(op, dtype) for op in op_db for dtype in sorted(set(op.dtypesIfCUDA) - set(op.dtypes), key=str)
         if not str(dtype).startswith(("torch.float8", "torch.float4"))]


def with_tensors(f, sample):
    return tree_map(lambda x: f(x) if isinstance(x, torch.Tensor) else x, ((sample.input, *sample.args), sample.kwargs))


@pytest.mark.parametrize("op, dtype", CASES, ids=[f"{op.full_name}-{str(dtype)[6:]}" for op, dtype in CASES])
def test_computed_or_refused(op, dtype, monkeypatch):
    monkeypatch.setenv("TORCH_NPU_FALLBACK", "silent")
    for sample in list(op.sample_inputs("cpu", dtype, requires_grad=False))[:5]:
        arguments, named = with_tensors(lambda t: t.npu(), sample)
        got = None
        try:
            got = op(*arguments, **named)
        except Exception as refused:
            assert "507" not in str(refused)  # the device's own errors
        torch.npu.synchronize()
        if not isinstance(got, torch.Tensor) or dtype not in WIDER or op.full_name in RANDOM:
            continue
        arguments, named = with_tensors(lambda t: t.to(WIDER[dtype]) if t.dtype == dtype else t, sample)
        tolerance = TOLERANCE.get(dtype, 0)
        torch.testing.assert_close(got.cpu(), op(*arguments, **named).to(got.dtype), atol=tolerance, rtol=tolerance, equal_nan=True)
