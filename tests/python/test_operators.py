"""Every row of operators.py gives on npu what it gives on the CPU, forward and backward, without CPU fallback."""
import pytest
import torch
import torch_npu

from operators import ROWS


class Make:
    """Inputs that are equal on every device: drawn on the CPU from one seed, then moved."""

    def __init__(self, device):
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(7)
        self.leaves = []

    def __call__(self, *size):
        t = torch.randn(size, generator=self.generator).to(self.device).requires_grad_()
        self.leaves.append(t)
        return t

    def ints(self, high, *size):
        return torch.randint(0, high, size, generator=self.generator).to(self.device)

    def bools(self, *size):
        return self.ints(2, *size).bool()

    def zeros(self, *size):
        return torch.zeros(size, device=self.device)

    def ones(self, *size):
        return torch.ones(size, device=self.device)


def evaluate(function, device):
    make = Make(device)
    result = function(make)
    outputs = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    differentiable = [o for o in outputs if o.requires_grad]
    grads = []
    if differentiable:
        weights = [torch.randn(o.shape, generator=make.generator).to(device) for o in differentiable]
        grads = torch.autograd.grad(differentiable, make.leaves, weights, allow_unused=True)
    return outputs, grads


@pytest.mark.parametrize("name", ROWS)
def test_operator_matches_cpu(name):
    expected, expected_grads = evaluate(ROWS[name], "cpu")
    torch_npu.reset_fallbacks()
    actual, grads = evaluate(ROWS[name], "npu")
    assert not torch_npu.fallbacks(), "computed on the CPU"
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected):
        assert a.device.type == "npu"
        torch.testing.assert_close(a.cpu(), e, equal_nan=True)
    for a, e in zip(grads, expected_grads):
        assert (a is None) == (e is None)
        if a is not None:
            torch.testing.assert_close(a.cpu(), e, equal_nan=True)
