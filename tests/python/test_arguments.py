"""Arguments that operators are rarely given, with which they once went wrong."""

import math

import pytest
import torch

A = torch.ops.aten


def expanded(d, n=4):
    return torch.tensor([0.5], device=d).expand(n)


#: name -> a function of the device whose result is the CPU's
RIGHT = {
    "tanh_backward, expanded output": lambda d: A.tanh_backward(torch.ones(4, device=d), expanded(d)),
    "sigmoid_backward, expanded output": lambda d: A.sigmoid_backward(torch.ones(4, device=d), expanded(d)),
    "softmax_backward, expanded output": lambda d: A._softmax_backward_data(torch.ones(4, device=d), expanded(d), 0, torch.float32),
    "shift by a truth value": lambda d: torch.tensor([1, 2], dtype=torch.int16, device=d) << True,
    "shift in place by a wider integer": lambda d: A.__ilshift__.Tensor(torch.tensor([1], dtype=torch.int8, device=d), torch.tensor([2], dtype=torch.int16, device=d)),
    "median of no integers": lambda d: torch.empty(0, dtype=torch.int64, device=d).nanmedian(),
    "weighted bincount of nothing": lambda d: torch.empty(0, dtype=torch.int64, device=d).bincount(torch.empty(0, device=d)),
    "cholesky of nothing": lambda d: A.cholesky(torch.empty(3, 1, 0, device=d)),
    "repeat_interleave of nothing": lambda d: torch.repeat_interleave(torch.empty(0, dtype=torch.int64, device=d), output_size=6),
    "triangle without a dtype": lambda d: torch.tril_indices(2, 2, dtype=None, device=d),
    "variance, infinite correction": lambda d: torch.arange(3.0, device=d).var(correction=-math.inf),
    "matrix_exp of infinity": lambda d: torch.tensor([[0.0, 0.0], [math.inf, 0.0]], device=d).matrix_exp().isfinite().all(),
    "lu_unpack, more pivots than columns": lambda d: A.lu_unpack(torch.ones(4, 1, device=d), torch.tensor([1, 2, 4, 4], dtype=torch.int32, device=d))[0],
    "embedding_bag's gradient without the bag of each index": lambda d: A._embedding_bag_per_sample_weights_backward(
        torch.ones(2, 2, device=d), torch.ones(3, 2, device=d), torch.tensor([0, 1, 2], device=d), torch.tensor([0, 1], device=d),
        torch.empty(0, dtype=torch.int64, device=d), 0),
    "logaddexp into complex": lambda d: torch.logaddexp(torch.ones(2, device=d), torch.zeros(2, device=d), out=torch.empty(2, dtype=torch.complex64, device=d)),
}

#: name -> a function of the device that raises what it does on the CPU
WRONG = {
    "norm of integers": lambda d: A.norm.ScalarOpt_dim_dtype(torch.empty(0, dtype=torch.uint8, device=d), None, [0], False, dtype=torch.float32),
    "norm in a narrower dtype": lambda d: A.norm.ScalarOpt_dim_dtype(torch.ones(2, device=d), None, [0], False, dtype=torch.float16),
    "shift in place of another shape": lambda d: A.__ilshift__.Tensor(torch.tensor(1, device=d), torch.ones(3, dtype=torch.int64, device=d)),
    "relu of truth values": lambda d: torch.ones(2, dtype=torch.bool, device=d).relu(),
    "median along nothing": lambda d: torch.empty(2, 0, device=d).median(1),
    "nanmedian along nothing": lambda d: torch.empty(2, 0, device=d).nanmedian(1),
    "margin loss's gradient of nothing": lambda d: A.multilabel_margin_loss_backward(
        torch.ones((), device=d), torch.empty(6, 0, device=d), torch.empty(6, 0, dtype=torch.int64, device=d), 1, torch.empty(6, 0, device=d)),
}


@pytest.mark.parametrize("name", RIGHT)
def test_as_on_the_cpu(name):
    expected, actual = RIGHT[name]("cpu"), RIGHT[name]("npu")
    assert actual.device.type == "npu"
    torch.testing.assert_close(actual.cpu(), expected, equal_nan=True)


@pytest.mark.parametrize("name", WRONG)
def test_refused_as_on_the_cpu(name, same_error):
    same_error(WRONG[name])


@pytest.mark.parametrize("call", [
    lambda t, i: t.index_fill_(0, i, 1.0),
    lambda t, i: t.masked_scatter_(torch.ones(3, dtype=torch.bool, device="npu"), torch.ones(3, device="npu")),
], ids=["index_fill_", "masked_scatter_"])
def test_a_cpu_tensor_is_not_written_into(call):
    for t in (torch.zeros(()), torch.zeros(3)):
        with pytest.raises(RuntimeError, match="npu|same device"):
            call(t, torch.zeros(1, dtype=torch.int64, device="npu"))
        assert not t.any()


def test_out_that_overlaps_itself_is_refused():
    out = torch.zeros(1, device="npu").expand(3, 3)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        A._softmax.out(torch.ones(3, 3, device="npu"), 1, False, out=out)
    assert torch.ones(2, device="npu").sum().item() == 2
