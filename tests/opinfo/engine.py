"""PyTorch's own operator database run on npu, each case compared with the CPU.

A case is (kind, name, dtype):

    forward     an operator's samples, also non-contiguous; of the first samples the in-place variant and ``out=``
    backward    the gradients of all inputs, under weights that are not all one
    reference   a python reference, composed of operators
    error       what an operator must refuse, by the class and the text of the error
    module      forward, and gradients of parameters and inputs
    optimizer   three steps of each configuration: loop, foreach, fused, capturable

Its outcome is one of

    native       equal to the CPU, every operator had an npu kernel
    fallback     equal to the CPU, the named operators ran on the CPU
    unsupported  refused with a clear error
    fail         another result or another error than on the CPU

What draws from the generator is compared by shape, dtype and layout, and so is what is uninitialised.
"""
import contextlib
import copy
import functools
import re
import warnings

import torch
from torch.testing._internal import common_methods_invocations
from torch.testing._internal.common_device_type import precisionOverride, toleranceOverride
from torch.testing._internal.common_methods_invocations import op_db, python_ref_db
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.opinfo.core import DecorateInfo

try:
    from torch.testing._internal.common_optimizers import optim_db
except ImportError:  # an old torch, which has no such database
    optim_db = []

DEVICE = "npu"
# Its own restores the generator, which would hide that an operator draws; the engine seeds before each call.
common_methods_invocations.wrapper_set_seed = lambda op, *args, **kwargs: op(*args, **kwargs)
#: operators that want their further tensors on the CPU
_ON_CPU = ("tensor_split",)
#: samples whose in-place variant, ``out=`` and non-contiguous form are run as well
VARIANT_SAMPLES = 3
_UNINITIALISED = re.compile(r"(?:_refs\.)?(new_)?empty(?!_cache)|(?:_refs\.)?resize_")
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def dtype_name(dtype):
    return str(dtype).removeprefix("torch.")


def _forward_dtypes(op):
    return op.supported_dtypes("cpu")


def _backward_dtypes(op):
    return op.supported_backward_dtypes("cpu") if op.supports_autograd else ()


def _full_name(op):
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


def _float32(_):
    return (torch.float32,)


def _refused(op, wanted):
    """The error that the CPU answers an error input with, if it is the one the database wants; some are CUDA's only."""
    args, kwargs = _arguments(op, wanted.sample_input, _clone)
    _, error = _attempt(lambda: op(*args, **kwargs))
    return error if isinstance(error, wanted.error_type) and re.search(wanted.error_regex, str(error)) else None


def _refusing(op):
    """float32 for operators with error inputs on the CPU."""
    return (torch.float32,) if any(_refused(op, wanted) for wanted in op.error_inputs_func(op, "cpu")) else ()


_KINDS = {
    "forward": (op_db, _full_name, _forward_dtypes),
    "backward": (op_db, _full_name, _backward_dtypes),
    "reference": (python_ref_db, _full_name, _forward_dtypes),
    "error": ([op for op in op_db if op.error_inputs_func is not None], _full_name, _refusing),
    "module": (module_db, lambda m: m.name, _float32),
    "optimizer": (optim_db, lambda o: o.optim_cls.__name__, _float32),
}
KINDS = tuple(_KINDS)


def cases(kind):
    """[(name, dtype name)] in a fixed order."""
    database, name, dtypes = _KINDS[kind]
    return sorted((name(entry), dtype_name(d)) for entry in database for d in dtypes(entry))


@functools.cache
def _entries(kind):
    database, name, _ = _KINDS[kind]
    return {name(entry): entry for entry in database}


# ---- moving -----------------------------------------------------------------------------------------------------------


def _map(f, value):
    if isinstance(value, (torch.Tensor, str, int, float)):
        return f(value)
    if isinstance(value, tuple):
        mapped = [_map(f, v) for v in value]
        return type(value)(*mapped) if hasattr(value, "_fields") else tuple(mapped)
    if isinstance(value, list):
        return [_map(f, v) for v in value]
    if isinstance(value, dict):
        return {k: _map(f, v) for k, v in value.items()}
    return f(value)


def _leaves(value):
    if isinstance(value, (tuple, list)):
        return [leaf for v in value for leaf in _leaves(v)]
    if isinstance(value, dict):
        return [leaf for v in value.values() for leaf in _leaves(v)]
    return [value]


def _tensors(result):
    return [t for t in _leaves(result) if isinstance(t, torch.Tensor)]


def _plain(result):
    return [v for v in _leaves(result) if not isinstance(v, torch.Tensor)]


def _copy(tensor, device):
    """A copy of the same strides and offset, also where elements overlap."""
    with torch.no_grad():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or type(tensor) not in (
                torch.Tensor, torch.nn.Parameter):
            moved = tensor.detach().to(device) if device != "cpu" else tensor.detach().clone()
        elif tensor.is_contiguous() or tensor.numel() == 0 or tensor.is_conj() or tensor.is_neg() or tensor._is_zerotensor():
            moved = tensor.detach().to(device, copy=True)
        else:
            extent = tensor.untyped_storage().nbytes() // tensor.element_size()
            flat = tensor.detach().as_strided((extent,), (1,), 0)
            moved = flat.to(device, copy=True).as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
    return moved.requires_grad_(tensor.requires_grad)


def _to_device(value):
    if isinstance(value, torch.Tensor):
        return _copy(value, DEVICE)
    if (isinstance(value, str) and value == "cpu") or (isinstance(value, torch.device) and value.type == "cpu"):
        return torch.device(DEVICE)
    if isinstance(value, torch.Generator):
        return torch.Generator(DEVICE).manual_seed(value.initial_seed())
    return value


def _clone(value):
    if isinstance(value, torch.Tensor):
        return _copy(value, "cpu")
    if isinstance(value, torch.Generator):
        return torch.Generator().manual_seed(value.initial_seed())
    return value


def _arguments(op, sample, move):
    if op.name.removeprefix("_refs.") in _ON_CPU:
        return (move(sample.input), *sample.args), sample.kwargs
    return _map(move, (sample.input, *sample.args)), _map(move, sample.kwargs)


@functools.cache
def _device_generator():
    from torch_npu.npu.random import _get_generator

    return _get_generator(DEVICE)


def _seed(seed):
    """torch.manual_seed() without what it queues for devices that are not there."""
    torch.default_generator.manual_seed(seed)
    _device_generator().manual_seed(seed)


def _drew(before, sample):
    return not torch.equal(before, torch.default_generator.get_state()) or any(
        isinstance(v, torch.Generator) for v in _leaves((sample.args, sample.kwargs)))


# ---- judging ----------------------------------------------------------------------------------------------------------


class Mismatch(AssertionError):
    pass


def _look(t):
    return f"{dtype_name(t.dtype)}{list(t.shape)}" + ("" if t.layout == torch.strided else f" {t.layout}")


#: test_compare_cpu's, with which upstream holds other devices against the CPU
_HALF = {torch.float16: 1e-3, torch.bfloat16: 1e-3}
#: the upstream test class whose tolerances hold for a kind
_UPSTREAM = {"module": "TestModule", "optimizer": "TestOptimRenewed"}


@functools.cache
def _tolerance(kind, name, dtype):
    """What the database itself allows for this operator and dtype, where it says so; else assert_close's own."""
    entry, found = _entries(kind)[name], {}
    if dtype in _HALF:
        found = {"atol": _HALF[dtype], "rtol": torch.testing._comparison.default_tolerances(dtype)[0]}
    for decorator in getattr(entry, "decorators", None) or ():
        if isinstance(decorator, DecorateInfo):
            applies = decorator.cls_name in (None, _UPSTREAM.get(kind, "TestCommon")) and decorator.device_type in (None, "cpu", "cuda")
            decorators = decorator.decorators if applies else ()
        else:
            decorators = (decorator,)
        for d in decorators:
            if isinstance(d, toleranceOverride) and dtype in d.d:
                atol, rtol = d.d[dtype]
            elif isinstance(d, precisionOverride) and dtype in d.d:
                atol, rtol = d.d[dtype], 0
            else:
                continue
            default = torch.testing._comparison.default_tolerances(dtype)
            found["atol"] = max(found.get("atol", default[1]), atol)
            found["rtol"] = max(found.get("rtol", default[0]), rtol)
    return found


def _on_cpu(t):
    return t.detach().cpu().resolve_conj().resolve_neg()


def _bits(t):
    if t.is_complex():
        t = torch.view_as_real(t)
    return t.contiguous().view(_INTEGERS[t.element_size()])


class Judge:
    """Compares with the CPU under one case's tolerance."""

    def __init__(self, **tolerance):
        self.tolerance = tolerance

    def tensors(self, actual, expected, random=False):
        if len(actual) != len(expected):
            raise Mismatch(f"{len(actual)} tensors instead of {len(expected)}")
        for a, e in zip(actual, expected):
            if a is None and e is None:
                continue
            if a is None or e is None:
                raise Mismatch(f"{'no' if a is None else 'a'} gradient instead of {'none' if e is None else 'one'}")
            if (a.shape, a.dtype, a.layout) != (e.shape, e.dtype, e.layout):
                raise Mismatch(f"{_look(a)} instead of {_look(e)}")
        if random:
            return
        for a, e in zip(actual, expected):
            if a is not None:
                self._values(_on_cpu(a), _on_cpu(e))

    def _values(self, a, e):
        if a.layout == torch.strided and not a.is_quantized and not a.is_nested:
            if torch.equal(_bits(a), _bits(e)):
                return
            if a.dtype == torch.complex32:
                a, e = a.to(torch.complex64), e.to(torch.complex64)
        try:
            torch.testing.assert_close(a, e, equal_nan=True, check_stride=False, **self.tolerance)
        except AssertionError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise Mismatch(" ".join(lines[:3])) from None

    def results(self, actual, expected, random=False):
        self.tensors(_tensors(actual), _tensors(expected), random)
        a, e = _plain(actual), _plain(expected)
        if len(a) != len(e):
            raise Mismatch(f"{len(a)} values instead of {len(e)}")
        for x, y in zip(a, e):
            if isinstance(y, (float, complex)) and not random:
                self._values(torch.tensor(x), torch.tensor(y))
            elif not random and not isinstance(x, (torch.device, str)) and x != y:
                raise Mismatch(f"{x!r} instead of {y!r}")

    @staticmethod
    def views(actual, actual_base, expected, expected_base):
        """A result that aliases its input on the CPU does so on the npu, with the same strides and offset."""
        for a, e in zip(_tensors(actual), _tensors(expected)):
            if e.layout != torch.strided or e.is_quantized or e.numel() == 0 or e.is_nested:
                continue
            base = next((i for i, b in enumerate(expected_base) if _shares(e, b)), None)
            if base is None:
                continue
            if not _shares(a, actual_base[base]):
                raise Mismatch("a copy instead of a view of the input")
            if (a.stride(), a.storage_offset()) != (e.stride(), e.storage_offset()):
                raise Mismatch(f"view of strides {a.stride()} offset {a.storage_offset()} instead of {e.stride()} offset "
                               f"{e.storage_offset()}")


def _shares(t, base):
    return (base.layout == torch.strided and not base.is_nested and t.layout == torch.strided
            and t.untyped_storage().data_ptr() == base.untyped_storage().data_ptr() != 0)


def _attempt(call):
    try:
        return call(), None
    except Exception as e:
        return None, e


def _same_error(actual, expected):
    """The npu refuses what the CPU refuses, by the same class of error. What the CPU only has no kernel for is free."""
    if isinstance(expected, NotImplementedError) or "not implemented for" in str(expected):
        return
    if isinstance(actual, NotImplementedError) and not isinstance(expected, NotImplementedError):
        raise actual
    if expected is None:
        raise actual
    if actual is None:
        raise Mismatch(f"no error instead of {type(expected).__name__}: {line(expected)}")
    if not isinstance(actual, type(expected)):
        raise Mismatch(f"{type(actual).__name__}: {line(actual)} instead of {type(expected).__name__}: {line(expected)}")


@contextlib.contextmanager
def _part(name):
    """Names the part of the case in its error."""
    try:
        yield
    except Mismatch as e:
        raise Mismatch(f"{name}: {e}") from None


# ---- operators --------------------------------------------------------------------------------------------------------


def _weights(t):
    weights = torch.arange(t.numel(), dtype=torch.float32).remainder_(5).add_(1).div_(4).to(t.dtype).reshape(t.shape)
    return weights.to(t.device)


def _gradients(sample, result, leaves):
    result = sample.output_process_fn_grad(result)
    outputs = [o for o in _tensors(result) if o.requires_grad]
    leaves = [t for t in leaves if isinstance(t, torch.Tensor) and t.requires_grad]
    if not outputs or not leaves:
        return []
    return torch.autograd.grad(outputs, leaves, [_weights(o) for o in outputs], allow_unused=True)


def _run_sample(op, sample, backward, judge, random):
    """Whether the CPU takes the sample."""
    before = torch.default_generator.manual_seed(1).get_state()
    args, kwargs = _arguments(op, sample, _clone)
    try:
        expected = op(*args, **kwargs)
        expected_grads = _gradients(sample, expected, _leaves((args, kwargs))) if backward else ()
    except Exception:
        return False
    random = random or _drew(before, sample)
    _device_generator().manual_seed(1)
    npu_args, npu_kwargs = _arguments(op, sample, _to_device)
    if _tensors(expected) and not any(isinstance(v, (torch.Tensor, torch.device)) for v in _leaves((npu_args, npu_kwargs))):
        npu_kwargs["device"] = DEVICE  # a factory function that was left to the default device
    actual = op(*npu_args, **npu_kwargs)
    judge.results(actual, expected, random)
    if any(t.device.type != DEVICE for t in _tensors(actual)) and any(
            t.device.type == DEVICE and t.dim() for t in _tensors((npu_args, npu_kwargs))):
        raise Mismatch("a result on the CPU")
    judge.views(actual, _tensors((npu_args, npu_kwargs)), expected, _tensors((args, kwargs)))
    if backward:
        with _part("gradients"):
            judge.tensors(_gradients(sample, actual, _leaves((npu_args, npu_kwargs))), expected_grads, random)
    return True


def _run_in_place(op, sample, judge, random):
    before = torch.default_generator.manual_seed(1).get_state()
    args, kwargs = _arguments(op, sample, _clone)
    if not isinstance(args[0], torch.Tensor):
        return
    expected, error = _attempt(lambda: op.inplace_variant(*args, **kwargs))
    random = random or _drew(before, sample)
    npu_args, npu_kwargs = _arguments(op, sample, _to_device)
    actual, npu_error = _attempt(lambda: op.inplace_variant(*npu_args, **npu_kwargs))
    if error or npu_error:
        return _same_error(npu_error, error)
    if expected is args[0] and actual is not npu_args[0]:
        raise Mismatch("the result is not the input")
    judge.results(actual, expected, random)


def _outs(like, make):
    made = [make(t) for t in _tensors(like)]
    return made[0] if isinstance(like, torch.Tensor) else tuple(made)


def _spread(t):
    """Twice the strides, filled with what no result should keep."""
    wide = torch.full((*t.shape, 2), 77, dtype=t.dtype, device=t.device)
    return wide[..., 0]


#: name of a kind of out= -> a tensor made for a result
_OUTS = {
    "out=": lambda t, device: _spread(torch.empty(t.shape, dtype=t.dtype, device=device)),
    "out= of another shape": lambda t, device: torch.empty(0, dtype=t.dtype, device=device),
    "out= of another dtype": lambda t, device: torch.full(
        t.shape, 7, dtype=torch.int64 if t.is_floating_point() or t.is_complex() else torch.float32, device=device),
}


def _equal(some, others):
    return all(a.shape == b.shape and torch.allclose(_on_cpu(a).to(torch.complex128), _on_cpu(b).to(torch.complex128), equal_nan=True)
               for a, b in zip(_tensors(some), _tensors(others)))


def _run_out(op, sample, judge, random):
    args, kwargs = _arguments(op, sample, _clone)
    result, error = _attempt(lambda: op(*args, **kwargs))
    if error or not _tensors(result) or not isinstance(result, (torch.Tensor, tuple, list)) or any(
            t.layout != torch.strided or t.is_quantized for t in _tensors(result)):
        return
    for name, make in _OUTS.items():
        before = torch.default_generator.manual_seed(1).get_state()
        outs = []
        for device, move in (("cpu", _clone), (DEVICE, _to_device)):
            out = _outs(result, lambda t: make(t, device))
            args, kwargs = _arguments(op, sample, move)
            returned, error = _attempt(lambda: op(*args, **kwargs, out=out))
            outs.append((out, returned, error))
            if device == "cpu":
                drew = random or _drew(before, sample)
        (expected, _, error), (actual, _, npu_error) = outs
        with _part(name):
            if error or npu_error:
                _same_error(npu_error, error)
                continue
            if name == "out=" and not drew and not _equal(expected, result):
                continue  # some CPU kernels disregard the strides of out=
            judge.tensors(_tensors(actual), _tensors(expected), drew)
            for a, e in zip(_tensors(actual), _tensors(expected)):
                if name == "out=" and a.stride() != e.stride() == make(e, "meta").stride():
                    raise Mismatch(f"strides {a.stride()} instead of {e.stride()}")


def _run_operator(kind, op, dtype, judge):
    backward = kind == "backward"
    _seed(0)
    samples = list(op.sample_inputs_func(op, "cpu", dtype, backward))
    random = bool(_UNINITIALISED.match(op.name))
    ran = 0
    for sample in samples:
        if not _run_sample(op, sample, backward, judge, random):
            continue
        ran += 1
        if kind != "forward" or ran > VARIANT_SAMPLES:
            continue
        with _part("non-contiguous"):
            strided, error = _attempt(sample.noncontiguous)
            if not error:
                _run_sample(op, strided, False, judge, random)
        if op.inplace_variant is not None and not sample.broadcasts_input:
            with _part("in-place"):
                _run_in_place(op, sample, judge, random)
        if op.supports_out:
            _run_out(op, sample, judge, random)
    return ran


def _plain_message(text):
    return re.sub(r"\b(npu|cpu)(:\d+)?\b|\s+|NPU|CPU", " ", text)


def _run_errors(kind, op, dtype, judge):
    _seed(0)
    ran = 0
    for wanted in op.error_inputs_func(op, "cpu"):
        sample = wanted.sample_input
        expected = _refused(op, wanted)
        if expected is None:
            continue
        ran += 1
        args, kwargs = _arguments(op, sample, _to_device)

        def call():
            result = op(*args, **kwargs)
            torch.npu.synchronize()
            return result

        _, actual = _attempt(call)
        if actual is None:
            raise Mismatch(f"no error instead of {type(expected).__name__}: {line(expected)}")
        if isinstance(actual, NotImplementedError) and not isinstance(expected, NotImplementedError):
            raise actual
        if not isinstance(actual, wanted.error_type):
            raise Mismatch(f"{type(actual).__name__}: {line(actual)} instead of {type(expected).__name__}: {line(expected)}")
        if not re.search(wanted.error_regex, str(actual)) and _plain_message(line(actual)) != _plain_message(line(expected)):
            raise Mismatch(f"says '{line(actual)}' instead of '{line(expected)}'")
    return ran


# ---- modules and optimizers -------------------------------------------------------------------------------------------


def _run_module(kind, info, dtype, judge):
    ran = 0
    for training in (True, False):
        _seed(0)
        for sample in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=training, training=training):
            if sample.forward_input is None:
                continue
            args, kwargs = sample.constructor_input.args, sample.constructor_input.kwargs
            module = info.module_cls(*copy.deepcopy(args), **copy.deepcopy(kwargs)).to(dtype).train(training)
            twin = copy.deepcopy(module).to(DEVICE)
            results, grads = [], []
            before = torch.default_generator.get_state()
            for model, move in ((module, _clone), (twin, _to_device)):
                args = _map(move, sample.forward_input.args)
                kwargs = _map(move, sample.forward_input.kwargs)
                with torch.set_grad_enabled(training):
                    results.append(model(*args, **kwargs))
                    if model is module:
                        random = not torch.equal(before, torch.default_generator.get_state())
                    leaves = [t for t in (*model.parameters(), *_tensors((args, kwargs))) if t.requires_grad]
                    outputs = [t for t in _tensors(results[-1]) if t.requires_grad]
                    grads.append(torch.autograd.grad(outputs, leaves, [_weights(o) for o in outputs], allow_unused=True)
                                 if training and outputs and leaves else ())
            judge.results(results[1], results[0], random)
            with _part("gradients"):
                judge.tensors(grads[1], grads[0], random)
            with _part("buffers"):
                judge.tensors(list(twin.buffers()), list(module.buffers()), random)
            ran += 1
    return ran


def _steps(info, kwargs, device):
    _seed(3)
    shapes = [(4, 3), (3, 5)] if info.optim_cls is torch.optim.Muon else [(4, 3), (5,)]
    params = [torch.randn(shape).to(device).requires_grad_() for shape in shapes]
    optimizer = info.optim_cls(params, **_map(_to_device if device == DEVICE else _clone, kwargs))

    def closure():
        optimizer.zero_grad()
        loss = sum((p * p).sum() for p in params)
        loss.backward()
        if info.only_supports_sparse_grads:
            for p in params:
                p.grad = p.grad.to_sparse()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    return params


def _run_optimizer(kind, info, dtype, judge):
    modes = [{}, *({f: v} for f, v in (("foreach", True), ("foreach", False), ("fused", True)) if f in info.supported_impls)]
    if info.has_capturable_arg:
        modes.append({"capturable": True})
        if "foreach" in info.supported_impls:
            modes.append({"capturable": True, "foreach": True})
    ran = 0
    for sample in info.optim_inputs_func(device="cpu"):
        expected = _steps(info, sample.kwargs, "cpu")
        for mode in modes:
            with _part(f"{sample.desc} {mode}"):
                judge.tensors(_steps(info, {**sample.kwargs, **mode}, DEVICE), expected)
            ran += 1
    return ran


# ---- a case -----------------------------------------------------------------------------------------------------------

_RUN = {"module": _run_module, "optimizer": _run_optimizer, "error": _run_errors}
_REFUSED = re.compile(r"(\w+) takes .* for (\w+), not (\w+)")


def _fallen(f):
    """ "cumsum: aclnnCumsum takes no int8 for self" """
    operator = f.operator.removeprefix("aten::")
    refused = _REFUSED.fullmatch(f.reason)
    if refused:
        return f"{operator}: {refused[1]} takes no {refused[3]} for {refused[2]}"
    return f"{operator}: refuses {f.reason}" if f.reason else f"{operator}: no npu kernel"


def undocumented(detail):
    """Whether a case's detail says that CANN does not document a dtype it needs."""
    return " takes no " in detail


def run_case(kind, name, dtype):
    """(outcome, detail) of one case."""
    import torch_npu

    entry, dtype = _entries(kind)[name], getattr(torch, dtype)
    judge = Judge(**_tolerance(kind, name, dtype))
    torch_npu.reset_fallbacks()
    outcome = ""
    with contextlib.ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind in ("forward", "reference", "error"):
            stack.enter_context(torch.no_grad())
        try:
            if not _RUN.get(kind, _run_operator)(kind, entry, dtype, judge):
                outcome = "unsupported", "no sample that the CPU takes"
        except Mismatch as e:
            outcome = "fail", f"mismatch: {e}"
        except NotImplementedError as e:
            outcome = "unsupported", line(e)
        except TypeError as e:
            outcome = "unsupported" if "have no counterpart of dtype" in str(e) else "fail", f"TypeError: {line(e)}"
        except Exception as e:
            outcome = "fail", f"{type(e).__name__}: {line(e)}"
        try:
            torch.npu.synchronize()
        except Exception as e:
            outcome = outcome or ("fail", f"{type(e).__name__}: {line(e)}")
    fallen = "; ".join(sorted(_fallen(f) for f in torch_npu.fallbacks()))
    if outcome:
        return outcome[0], outcome[1] + (f" [{fallen}]" if undocumented(fallen) else "")
    if fallen:
        return "fallback", fallen
    return "native", ""


def line(error):
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else ""
