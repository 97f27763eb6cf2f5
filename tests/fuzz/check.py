"""One call on the CPU and on npu: results, arguments afterwards, and errors must be the same."""
import ctypes
import math
import re
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml

from tests.fuzz.calls import DTYPES, NAMES, build, make, replace, tensors
from tests.fuzz.generate import elements, written_by

#: dtype -> (relative, absolute)
TOLERANCE = {torch.float64: (1e-6, 1e-6), torch.float32: (1e-4, 1e-4), torch.float16: (4e-3, 4e-3), torch.bfloat16: (3e-2, 3e-2),
             torch.complex64: (1e-4, 1e-4), torch.complex128: (1e-6, 1e-6)}
KNOWN = Path(__file__).resolve().parent / "known.yaml"


@dataclass
class Difference:
    kind: str      # error, no error, dtype, shape, values, written (an argument), argument (one that is only read), lost
    detail: str


@dataclass
class Known:
    """A difference that is explained: the operator, its kind and its text are regular expressions."""
    operator: str
    reason: str
    kind: str = ""
    detail: str = ""

    def explains(self, name, difference):
        return (re.fullmatch(self.operator, name.removeprefix("aten::")) and re.fullmatch(self.kind or ".*", difference.kind)
                and re.search(self.detail, difference.detail, re.S))


def known():
    return [Known(**entry) for entry in yaml.safe_load(KNOWN.read_text())]


def first_line(error):
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:240]}"


def drawn(overload):
    """Whether the values are random or left uninitialised: only their shape and dtype can be compared."""
    return torch.Tag.nondeterministic_seeded in overload.tags or re.match(
        r"aten::_?(new_)?(empty|resize|rrelu|dropout|native_dropout|multinomial|bernoulli|normal|uniform|random|poisson|binomial)", overload._schema.name)


def tolerance(call):
    """That of the least exact dtype among the arguments: an ``out=`` of a wider dtype does not make the result better."""
    found = [TOLERANCE.get(DTYPES[t.dtype], (0, 0)) for t in tensors(call)]
    return max(found, default=(0, 0))


def compare(expected, actual, values, least=(0, 0)):
    """None, or a Difference between two results."""
    if isinstance(expected, (list, tuple)):
        if len(expected) != len(actual):
            return Difference("shape", f"{len(actual)} results instead of {len(expected)}")
        for i, (e, a) in enumerate(zip(expected, actual)):
            if d := compare(e, a, values, least):
                return Difference(d.kind, f"result {i}: {d.detail}")
        return None
    if (expected is None or isinstance(expected, torch.Tensor)) != (actual is None or isinstance(actual, torch.Tensor)) or (expected is None) != (actual is None):
        return Difference("shape", f"{'a tensor' if expected is None else 'nothing'} instead of {'nothing' if expected is None else 'a tensor'}")
    if not isinstance(expected, torch.Tensor):
        same = expected == actual or (isinstance(expected, float) and math.isnan(expected) and math.isnan(actual)) or not values
        if isinstance(expected, (float, complex)) and not same:
            same = torch.allclose(torch.tensor(actual), torch.tensor(expected), 1e-4, 1e-4, equal_nan=True)
        return None if same or isinstance(expected, torch.device) else Difference("values", f"{actual!r} instead of {expected!r}")
    if actual.dtype != expected.dtype:
        return Difference("dtype", f"{actual.dtype} instead of {expected.dtype}")
    if actual.shape != expected.shape:
        return Difference("shape", f"{tuple(actual.shape)} instead of {tuple(expected.shape)}")
    if actual.layout != expected.layout:
        return Difference("shape", f"{actual.layout} instead of {expected.layout}")
    if not values or expected.numel() == 0 or expected.dtype not in NAMES:
        return None
    actual, expected = (t.cpu() if t.layout == torch.strided else t.cpu().to_dense() for t in (actual, expected))
    actual, expected = actual.resolve_conj().resolve_neg(), expected.resolve_conj().resolve_neg()
    if torch.equal(actual, expected):
        return None
    relative, absolute = max(least if expected.is_floating_point() or expected.is_complex() else (0, 0), TOLERANCE.get(expected.dtype, (0, 0)))
    close = torch.isclose(actual, expected, relative, absolute, equal_nan=True)
    if bool(close.all()):
        return None
    at = (~close).nonzero()[0].tolist()
    return Difference("values", f"{int((~close).sum())} of {close.numel()}, first at {at}: {actual[tuple(at)].item()} instead of {expected[tuple(at)].item()}")


GUARD = 4096   # bytes of a known pattern on both sides of an argument


def guarded(call, pattern):
    """What the CPU makes of the call among bytes of ``pattern``, and whether it wrote outside of its arguments."""
    ctypes.CDLL(None).mallopt(-6, pattern)   # M_PERTURB: what malloc hands out and takes back is filled as well
    buffers, written = [], written_by(call)

    def place(t):
        plain = torch.tensor(t.data, dtype=DTYPES[t.dtype])
        if not t.data or any(t is w for w in written):   # may be resized, which no foreign memory can
            return plain
        size = plain.numel() * plain.element_size()
        buffer = bytearray([pattern]) * (size + 2 * GUARD)
        buffers.append((buffer, size))
        return torch.frombuffer(buffer, dtype=plain.dtype, count=plain.numel(), offset=GUARD).copy_(plain)

    args, kwargs, arguments = build(call, "cpu", place)
    torch.manual_seed(5)
    try:
        result = call.overload(*args, **kwargs)
    except Exception as e:
        result = first_line(e)
    fill = bytes([pattern]) * GUARD
    return result, arguments, any(b[:GUARD] != fill or b[GUARD + size:] != fill for b, size in buffers)


def undefined(call):
    """Whether the CPU's own answer depends on memory that is none of its arguments: ATen's kernels do not check everything."""
    (first, arguments, wrote), (second, again, wrote_again) = guarded(call, 0x55), guarded(call, 0x2a)
    if wrote or wrote_again:
        return True
    if isinstance(first, str) or isinstance(second, str):
        return isinstance(first, str) != isinstance(second, str)
    values = not drawn(call.overload)
    return compare(first, second, values) is not None or any(compare(a, b, values) for (_, a, _), (_, b, _) in zip(arguments, again))


@dataclass
class Outcome:
    """What a device makes of a call."""
    result: object = None
    error: Exception = None
    arguments: list = ()    # as `build` gives them, afterwards


def on_cpu(call):
    args, kwargs, arguments = build(call, "cpu")
    torch.manual_seed(5)
    try:
        return Outcome(call.overload(*args, **kwargs), arguments=arguments)
    except Exception as e:
        return Outcome(error=e)


def on_npu(call):
    """The Outcome, or the Difference "lost" if the device does not work afterwards."""
    torch.manual_seed(5)
    try:
        args, kwargs, arguments = build(call, "npu")
        result = call.overload(*args, **kwargs)
        torch.npu.synchronize()
        return Outcome(result, arguments=arguments)
    except Exception as e:
        error = e
    try:
        torch.npu.synchronize()
    except Exception:
        pass
    try:
        if (torch.ones(2).npu() + 1).cpu().tolist() != [2, 2]:
            return Difference("lost", f"the device computes nonsense after {first_line(error)}")
    except Exception as second:
        return Difference("lost", f"the device is not usable ({first_line(second)}) after {first_line(error)}")
    return Outcome(error=error)


def judge(call, cpu, npu, same_layout=True):
    """None, or how npu's outcome of the call differs from the CPU's, which may be that of tensors in another layout."""
    if cpu.error is not None:
        return None if npu.error is not None else Difference("no error", f"the CPU raises {first_line(cpu.error)}")
    if npu.error is not None:
        return Difference("error", first_line(npu.error))
    values = not drawn(call.overload)
    try:
        if d := compare(cpu.result, npu.result, values, tolerance(call)):
            return d
        written = written_by(call)
        for (_, e, e_storage), (t, a, a_storage) in zip(cpu.arguments, npu.arguments):
            # What is only read must not change anywhere; an output may have been resized, and then its storage is scratch.
            if any(t is w for w in written):
                d = compare(e, a, values, tolerance(call))
            else:
                d = compare(e_storage, a_storage, True) if same_layout else compare(e, a, True)
            if d:
                return Difference("written" if any(t is w for w in written) else "argument", f"{t.dtype}{list(t.size)} afterwards: {d.detail}")
    except Exception as e:
        return Difference("error", f"comparing: {first_line(e)}")
    return None


def check(call, mark=lambda phase: None):
    """None where both devices agree (or the call cannot be built), else the Difference."""
    mark("cpu")
    try:
        cpu = on_cpu(call)
    except Exception:
        return None
    if "can't allocate memory" in str(cpu.error):   # more than a worker may have
        return None
    mark("npu")
    npu = on_npu(call)
    difference = npu if isinstance(npu, Difference) else judge(call, cpu, npu)
    if difference is None or difference.kind in ("lost", "argument"):
        return difference
    # Some of ATen's CPU kernels take every tensor to be contiguous, or refuse others. What they make of contiguous ones counts.
    dense = contiguous(call)
    return judge(call, on_cpu(dense), npu, same_layout=False) if dense is not None else difference


def contiguous(call):
    """The call with every tensor contiguous, or None if they are."""
    changes = {id(t): make(t.dtype, t.size, iter(elements(t)).__next__) for t in tensors(call) if not t.contiguous()}
    for new, t in ((changes.get(id(t)), t) for t in tensors(call)):
        if new is not None:
            new.on_cpu = t.on_cpu
    return replace(call, changes) if changes else None
