"""The _foreach_ functions give on npu what they give on the CPU, over PyTorch's own samples, and one call serves a list."""
import copy
import os
import random
import subprocess
import sys

import pytest
import torch
import torch_npu
from torch.testing._internal import common_methods_invocations as infos
from torch.utils._pytree import tree_flatten, tree_map
from pairs import strict_zip

OPS = [*infos.foreach_unary_op_db, *infos.foreach_binary_op_db, *infos.foreach_pointwise_op_db, *infos.foreach_reduce_op_db,
       *infos.foreach_other_op_db]
DTYPES = (torch.float32, torch.bfloat16, torch.int32, torch.bool, torch.complex64)


def move(value):
    return value.npu() if isinstance(value, torch.Tensor) else value


def outcome(function, args, kwargs):
    try:
        return function(*args, **kwargs), None
    except Exception as error:
        return None, error


def compare(function, sample, to_npu, changed):
    args, kwargs = tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, ((sample.input, *sample.args), sample.kwargs))
    expected, refused = outcome(function, args, kwargs)
    if refused is not None:
        return  # what the CPU refuses is no case here: see test_errors
    device_args, device_kwargs = tree_map(to_npu, ((sample.input, *sample.args), sample.kwargs))
    actual, error = outcome(function, device_args, device_kwargs)
    assert error is None, f"raises {error}"
    if changed:
        expected, actual = args[0], device_args[0]
    for e, a in strict_zip(tree_flatten(expected)[0], tree_flatten(actual)[0]):
        assert a.device.type == "npu"
        torch.testing.assert_close(a.cpu(), e, equal_nan=True)


#: The operator for one element, which ATen's loop calls, has a row that does not hold for these.
ELEMENTS = {("_foreach_sin", torch.complex64): "aclnnInplaceSin is documented for fewer dtypes than aclnnSin",
            ("_foreach_pow", torch.bool): "aclnnInplacePowTensorScalar is documented for fewer dtypes than aclnnPowTensorScalar",
            ("_foreach_norm", torch.float64): "aclnnLinalgVectorNorm has no float64 result"}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_samples(op):
    for dtype in DTYPES:
        random.seed(1)
        torch.manual_seed(1)
        for sample in op.sample_inputs("cpu", dtype, num_input_tensors=[2], noncontiguous=False, allow_higher_dtype_scalars=True):
            sample.kwargs.pop("disable_fastpath", None)
            if (op.name, sample.kwargs.get("dtype") or dtype) in ELEMENTS:
                continue
            if op.method_variant is not None:
                compare(op.method_variant, sample, move, changed=False)
            if op.inplace_variant is not None:
                compare(op.inplace_variant, sample, move, changed=True)


def calls(statement):
    run = subprocess.run([sys.executable, "-c", f"import torch, torch_npu\n{statement}\ntorch.npu.synchronize()"], capture_output=True,
                         text=True, env={**os.environ, "SOFTCANN_TRACE": "1"})
    return run.stderr + run.stdout


def test_one_call_serves_a_list():
    trace = calls("torch._foreach_add([torch.ones(3).npu() for _ in range(5)], 1)")
    assert trace.count("aclnnForeachAddScalarV2GetWorkspaceSize") == 1
    assert "aclnnAdds" not in trace


def test_long_list_is_cut():
    many = [torch.full((2,), float(i)) for i in range(200)]
    out = torch._foreach_mul([t.npu() for t in many], [t.npu() for t in many])
    for i, t in enumerate(out):
        assert t.tolist() == [i * i] * 2
    scalars = torch._foreach_add([t.npu() for t in many], list(range(200)))
    assert [t[0].item() for t in scalars] == [2.0 * i for i in range(200)]


def test_shapes_dtypes_and_devices_mixed():
    a = [torch.ones(2, 3), torch.ones(3), torch.ones((), dtype=torch.float64)]
    b = [torch.ones(3), torch.ones(2, 1), torch.tensor(2.0)]
    for e, r in zip(torch._foreach_add(a, b), torch._foreach_add([t.npu() for t in a], [b[0].npu(), b[1].npu(), b[2]])):
        torch.testing.assert_close(r.cpu(), e)


@pytest.mark.parametrize("arguments, message", [
    (([], 1), "Tensor list must have at least one tensor"),
    (([torch.ones(2)], [torch.ones(2), torch.ones(2)]), "same number of tensors"),
    (([torch.ones(2)], [1.0, 2.0]), "same number of elements"),
])
def test_errors(arguments, message):
    with pytest.raises(RuntimeError, match=message):
        torch._foreach_add(*tree_map(move, copy.copy(arguments)))


def test_empty_elements():
    lists = [torch.ones(0), torch.ones(2), torch.ones(0, 3)]
    for e, r in zip(torch._foreach_sqrt(lists), torch._foreach_sqrt([t.npu() for t in lists])):
        torch.testing.assert_close(r.cpu(), e)
    norms = torch._foreach_norm([t.npu() for t in lists])
    torch.testing.assert_close(torch.stack(norms).cpu(), torch.stack(torch._foreach_norm(lists)))


def test_gradient():
    x = [torch.rand(3).npu().requires_grad_() for _ in range(2)]
    torch.stack(torch._foreach_sqrt(x)).sum().backward()
    for t in x:
        torch.testing.assert_close(t.grad, 0.5 / t.detach().sqrt())
