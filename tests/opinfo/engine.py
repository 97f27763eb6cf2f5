"""PyTorch's own operator database run on npu, each case compared with the CPU.

A case is (kind, name, dtype): ``forward``, ``backward`` (gradients), ``reference`` (python references), ``module`` and
``optimizer``. Its outcome is one of

    native       equal to the CPU, every operator had an npu kernel
    fallback     equal to the CPU, the named operators ran on the CPU
    unsupported  refused with a clear error
    fail         another result or another error than on the CPU

Operators whose CPU result differs between two runs (random ones) are compared by shape, dtype and layout.
"""
import contextlib
import copy
import warnings

import torch
from torch.testing._internal.common_methods_invocations import op_db, python_ref_db
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.common_optimizers import optim_db
from torch.utils._pytree import tree_flatten, tree_map

DEVICE = "npu"


def dtype_name(dtype):
    return str(dtype).removeprefix("torch.")


def _forward_dtypes(op):
    return op.supported_dtypes("cpu")


def _backward_dtypes(op):
    return op.supported_backward_dtypes("cpu") if op.supports_autograd else ()


_KINDS = {
    "forward": (op_db, lambda op: op.full_name, _forward_dtypes),
    "backward": (op_db, lambda op: op.full_name, _backward_dtypes),
    "reference": (python_ref_db, lambda op: op.full_name, _forward_dtypes),
    "module": (module_db, lambda m: m.name, lambda m: (torch.float32,)),
    "optimizer": (optim_db, lambda o: o.optim_cls.__name__, lambda o: (torch.float32,)),
}
KINDS = tuple(_KINDS)


def cases(kind):
    """[(name, dtype name)] in a fixed order."""
    database, name, dtypes = _KINDS[kind]
    return sorted((name(entry), dtype_name(d)) for entry in database for d in dtypes(entry))


def _find(kind, wanted):
    database, name, _ = _KINDS[kind]
    return next(entry for entry in database if name(entry) == wanted)


def _to_device(value):
    if isinstance(value, torch.Tensor):
        moved = value.detach().to(DEVICE)
        return moved.requires_grad_(value.requires_grad) if value.requires_grad else moved
    if value == "cpu" if isinstance(value, str) else isinstance(value, torch.device) and value.type == "cpu":
        return torch.device(DEVICE)
    if isinstance(value, torch.Generator):
        return torch.Generator(DEVICE).manual_seed(value.initial_seed())
    return value


def _clone(value):
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value


def _call(op, sample, move):
    args = tree_map(move, (sample.input, sample.args))
    kwargs = tree_map(move, sample.kwargs)
    return op(args[0], *args[1], **kwargs), tree_flatten((args, kwargs))[0]


def _tensors(result):
    return [t for t in tree_flatten(result)[0] if isinstance(t, torch.Tensor)]


def _plain(result):
    return [v for v in tree_flatten(result)[0] if not isinstance(v, torch.Tensor)]


class Mismatch(AssertionError):
    pass


def _same_look(actual, expected):
    for a, e in zip(actual, expected, strict=True):
        if (a.shape, a.dtype, a.layout) != (e.shape, e.dtype, e.layout):
            raise Mismatch(f"{tuple(a.shape)} {a.dtype} instead of {tuple(e.shape)} {e.dtype}")


def _compare(actual, expected, random):
    _same_look(actual, expected)
    if random:
        return
    for a, e in zip(actual, expected):
        try:
            torch.testing.assert_close(a.detach().cpu().resolve_conj().resolve_neg(), e.detach().resolve_conj().resolve_neg(),
                                       equal_nan=True, check_stride=False)
        except AssertionError as error:
            raise Mismatch(str(error).splitlines()[0] + " " + " ".join(str(error).splitlines()[2:4])) from None


def _is_random(op, sample):
    first, _ = _call(op, sample, _clone)
    torch.manual_seed(99)
    second, _ = _call(op, sample, _clone)
    pairs = zip(_tensors(first), _tensors(second), strict=True)
    return any(a.shape == b.shape and not torch.equal(torch.nan_to_num(a.detach().to_dense()), torch.nan_to_num(b.detach().to_dense()))
               for a, b in pairs)


def _grads(outputs, leaves):
    outputs = [o for o in _tensors(outputs) if o.requires_grad]
    leaves = [t for t in leaves if isinstance(t, torch.Tensor) and t.requires_grad]
    if not outputs or not leaves:
        return []
    weights = [torch.ones_like(o) for o in outputs]
    found = torch.autograd.grad(outputs, leaves, weights, allow_unused=True)
    return [g for g in found if g is not None]


def _run_operator(kind, op, dtype):
    backward = kind == "backward"
    ran = 0
    for sample in op.sample_inputs("cpu", dtype, requires_grad=backward):
        torch.manual_seed(1)
        try:
            expected, leaves = _call(op, sample, _clone)
            expected_grads = _grads(expected, leaves) if backward else []
            random = _is_random(op, sample)
        except Exception:
            continue  # what the CPU refuses is no case
        ran += 1
        torch.manual_seed(1)
        actual, leaves = _call(op, sample, _to_device)
        _compare(_tensors(actual), _tensors(expected), random)
        if backward:
            _compare(_grads(actual, leaves), expected_grads, random)
        for a, e in zip(_plain(actual), _plain(expected), strict=True):
            if not random and not isinstance(a, (torch.device, str)) and a != e and a == a:
                raise Mismatch(f"{a!r} instead of {e!r}")
    return ran


def _run_module(info, dtype):
    ran = 0
    for training in (True, False):
        for sample in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=False, training=training):
            torch.manual_seed(1)
            args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
            module = info.module_cls(*copy.deepcopy(args), **copy.deepcopy(kwargs)).to(dtype).train(training)
            twin = copy.deepcopy(module).to(DEVICE)
            if sample.forward_input is None:
                continue
            inputs = (sample.forward_input.args, sample.forward_input.kwargs)
            with torch.set_grad_enabled(training):
                torch.manual_seed(2)
                a, k = tree_map(_clone, inputs)
                expected = module(*a, **k)
                torch.manual_seed(2)
                again = module(*tree_map(_clone, inputs[0]), **tree_map(_clone, inputs[1])) if "Dropout" in info.name else expected
                a, k = tree_map(_to_device, inputs)
                actual = twin(*a, **k)
            random = training and any(key in info.name for key in ("Dropout", "RReLU", "Fractional"))
            del again
            _compare(_tensors(actual), _tensors(expected), random)
            ran += 1
            if training and not random:
                for model, result in ((module, expected), (twin, actual)):
                    loss = sum(t.float().sum() for t in _tensors(result) if t.requires_grad and t.is_floating_point())
                    if isinstance(loss, torch.Tensor):
                        loss.backward()
                _compare([p.grad for p in twin.parameters() if p.grad is not None],
                         [p.grad for p in module.parameters() if p.grad is not None], False)
    return ran


def _run_optimizer(info, dtype):
    ran = 0
    for sample in info.optim_inputs_func(device="cpu"):
        for flags in ({}, {"foreach": True}, {"foreach": False}, {"fused": True}, {"capturable": True}):
            if any(f not in info.supported_impls and f != "capturable" for f in flags) or (
                    "capturable" in flags and not info.has_capturable_arg):
                continue
            if flags.get("fused") and "fused" not in info.supported_impls:
                continue
            results = []
            for device in ("cpu", DEVICE):
                torch.manual_seed(3)
                params = [torch.randn(4, 3).to(device).requires_grad_(), torch.randn(5).to(device).requires_grad_()]
                kwargs = {**copy.deepcopy(sample.kwargs), **({} if device == "cpu" else flags)}
                if kwargs.get("capturable") and device == "cpu":
                    kwargs.pop("capturable")
                optimizer = info.optim_cls(params, **kwargs)

                def closure():
                    optimizer.zero_grad()
                    loss = sum((p * p).sum() for p in params)
                    loss.backward()
                    if info.only_supports_sparse_on_metadata if hasattr(info, "only_supports_sparse_on_metadata") else False:
                        for p in params:
                            p.grad = p.grad.to_sparse()
                    return loss

                for _ in range(3):
                    optimizer.step(closure)
                results.append(params)
            _compare(results[1], results[0], False)
            ran += 1
    return ran


def run_case(kind, name, dtype):
    """(outcome, detail) of one case."""
    import torch_npu

    entry, dtype = _find(kind, name), getattr(torch, dtype)
    torch_npu.reset_fallbacks()
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind != "backward" and kind not in ("module", "optimizer"):
            stack.enter_context(torch.no_grad())
        try:
            run = {"module": _run_module, "optimizer": _run_optimizer}.get(kind)
            ran = run(entry, dtype) if run else _run_operator(kind, entry, dtype)
            torch.npu.synchronize()
        except Mismatch as e:
            return "fail", f"mismatch: {e}"
        except NotImplementedError as e:
            return "unsupported", _line(e)
        except Exception as e:
            with contextlib.suppress(Exception):
                torch.npu.synchronize()
            return "fail", f"{type(e).__name__}: {_line(e)}"
    fallen = sorted({f.operator.removeprefix("aten::") for f in torch_npu.fallbacks()})
    if fallen:
        return "fallback", " ".join(fallen)
    return "native", "" if ran else "no sample"


def _line(error):
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else ""
