"""Makes a differing call smaller and plainer as long as it still differs in the same way."""
from tests.fuzz.calls import Call, Tensor, convert, make, replace, tensors
from tests.fuzz.generate import elements, outputs_of

ATTEMPTS = 150


def plainer(call):
    """Calls that are one step simpler."""
    for k in list(call.kwargs):
        if k not in outputs_of(call):
            yield Call(call.name, call.args, {n: v for n, v in call.kwargs.items() if n != k})
    found = tensors(call)
    extents = sorted({n for t in found for n in t.size if n > 1}, reverse=True)
    for n in extents:
        for new in (1, n // 2, n - 1):
            if new < n:
                yield replace(call, {id(t): cut(t, n, new) for t in found if n in t.size})
    for t in found:
        element = iter(elements(t))
        if not t.contiguous():
            yield replace(call, {id(t): make(t.dtype, t.size, lambda: next(element, 0))})
        if t.on_cpu:
            yield replace(call, {id(t): Tensor(t.dtype, t.data, t.size, t.stride, t.offset)})
        for d, n in enumerate(t.size):
            if n > 1:
                yield replace(call, {id(t): cut(t, n, n - 1, d)})
        if len(t.size) > 1 and 1 in t.size:
            element2 = iter(elements(t))
            yield replace(call, {id(t): make(t.dtype, [n for n in t.size if n != 1], lambda: next(element2, 0))})
        for value in (0, 1, 2):
            simple = [convert(value, t.dtype)] * len(t.data)
            if simple != t.data and (value == 0 or len(set(map(repr, t.data))) > 1):
                yield replace(call, {id(t): Tensor(t.dtype, simple, t.size, t.stride, t.offset, t.on_cpu)})
        rounded = [convert(round(v, 1), t.dtype) if isinstance(v, float) and abs(v) < 1e6 else v for v in t.data]
        if rounded != t.data:
            yield replace(call, {id(t): Tensor(t.dtype, rounded, t.size, t.stride, t.offset, t.on_cpu)})
        if t.kind == "float" and t.dtype != "float32":
            yield replace(call, {id(t): Tensor("float32", t.data, t.size, t.stride, t.offset, t.on_cpu)})
    schema = call.overload._schema.arguments
    for i, a in enumerate(call.args):
        if isinstance(a, (int, float)) and not isinstance(a, bool) and a not in (0, 1):
            for new in (0, 1):
                yield Call(call.name, [*call.args[:i], new, *call.args[i + 1:]], call.kwargs)
        if a is not None and schema[i].has_default_value() and repr(schema[i].default_value) != repr(a):
            yield Call(call.name, [*call.args[:i], schema[i].default_value, *call.args[i + 1:]], call.kwargs)


def cut(t, old, new, dim=None):
    size = [new if n == old and dim in (None, d) else n for d, n in enumerate(t.size)]
    element = iter(elements(t))
    return make(t.dtype, size, lambda: next(element, 1))


def weight(call):
    """What shrinking makes smaller."""
    total = 0
    for t in tensors(call):
        total += 20 + 4 * len(t.data) + 5 * len(t.size) + 8 * (not t.contiguous()) + 3 * (t.dtype != "float32") + 5 * t.on_cpu
        total += sum(len(repr(v)) for v in t.data)
    return total + len(repr([a for a in call.args if not isinstance(a, Tensor)])) + 10 * len(call.kwargs)


def shrink(call, differs, smaller):
    """``smaller(call)`` for calls for which ``differs(call)`` holds, each smaller than the one before."""
    attempts, changed = 0, True
    while changed and attempts < ATTEMPTS:
        changed = False
        for candidate in plainer(call):
            attempts += 1
            if attempts > ATTEMPTS:
                break
            try:
                better = weight(candidate) < weight(call) and differs(candidate)
            except Exception:
                better = False
            if better:
                call, changed = candidate, True
                smaller(call)
                break
