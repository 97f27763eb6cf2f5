"""Random calls: recorded ones with changed shapes, strides, dtypes and values, or arguments made from the schema alone."""
import math
import random
import re

import torch

from tests.fuzz.calls import DTYPES, NAMES, Call, DeviceOfRun, Tensor, build, convert, make, replace, tensors

FLOATS, INTS = ["float32", "float64", "float16", "bfloat16"], ["int64", "int32", "int16", "int8", "uint8", "bool"]
EXTREMES = {
    "float": [0.0, -0.0, math.inf, -math.inf, math.nan, 1.0, -1.0, 1e-40, 65504.0, 3.4e38, -3.4e38, 0.5, -2.5],
    "int": [0, 1, -1, 127, -128, 255, 32767, 2**31 - 1, -2**31, 2**63 - 1, -2**63],
    "bool": [False, True],
    "complex": [0j, 1j, complex(math.inf, 0), complex(math.nan, 1), 1e30 + 1e30j],
}
NUMBERS = [0, 1, -1, 2, 3, 0.5, -0.5, 1.5, 1e-6, 1e10, -1e10, math.inf, -math.inf, math.nan, 2**31, 2**62, -7, True, False]
#: what the schema's types do not say
STRINGS = {
    "rounding_mode": [None, "floor", "trunc", "nearest"], "reduce": ["sum", "prod", "mean", "amax", "amin", "add", "multiply", "none"],
    "approximate": ["none", "tanh", "erf"], "side": [None, "left", "right"], "mode": ["constant", "reflect", "replicate", "linear"],
    "indexing": ["ij", "xy"], "driver": [None], "UPLO": ["L", "U", "X"], "ord": ["fro", "nuc"], "interpolation": ["linear", "lower", "nearest"],
}
INTEGERS = {   # by argument name: dimensions are sometimes out of range
    ("dim", "dim0", "dim1", "dim2", "axis", "start_dim", "end_dim"): [0, 1, -1, -2, 2, 3, -4, 9, -9],
    ("kernel_size", "stride", "groups", "k", "n", "m", "size", "steps", "num_classes", "bins", "repeats", "step"): [1, 2, 3, 0, -1],
    ("padding", "output_padding", "offset", "diagonal", "storage_offset", "start", "end", "shifts"): [0, 1, -1, 2, 5, -3],
    ("dilation",): [1, 2, 0],
}
INDEX_NAMES = ("index", "indices", "idx", "target", "sorted_sequence_indices", "offsets", "mat2_indices")


def values(rng, dtype, high=None):
    """A function that draws values for a dtype."""
    kind = make(dtype, (), lambda: 0).kind
    if high is not None:
        return lambda: rng.randrange(high)
    style = rng.random()
    if kind == "bool":
        return lambda: rng.random() < 0.5
    if style < 0.15:
        pool = EXTREMES[kind]
        return lambda: rng.choice(pool)
    if kind == "int":
        if style < 0.3:
            return lambda: rng.choice(EXTREMES["int"]) if rng.random() < 0.3 else rng.randrange(-9, 10)
        return lambda: rng.randrange(-9 if style < 0.7 else 0, 10)
    if kind == "complex":
        return lambda: complex(rng.gauss(0, 2), rng.gauss(0, 2))
    if style < 0.3:
        return lambda: rng.choice(EXTREMES["float"]) if rng.random() < 0.3 else rng.gauss(0, 2)
    if style < 0.45:
        return lambda: rng.random()
    return lambda: rng.gauss(0, 2)


# ---- changes to a call -------------------------------------------------------------------------------------------------
def lay_out(rng, t, written=False):
    """The same values in other strides: permuted, with an offset, with gaps, or (only read) from overlapping memory."""
    style = rng.randrange(4 if written else 5)
    order = list(range(len(t.size)))
    element = elements(t)
    if style == 0 and len(order) > 1:
        rng.shuffle(order)
        stride, step = [0] * len(order), 1
        for d in reversed(order):
            stride[d] = step
            step *= max(t.size[d], 1)
        data = [0] * math.prod(t.size)
        for position, v in zip(positions(t.size, stride), element):
            data[position] = v
        return Tensor(t.dtype, data, t.size, tuple(stride))
    if style == 1:
        pad = rng.randrange(1, 4)
        dense = make(t.dtype, t.size, iter(element).__next__)
        return Tensor(t.dtype, [convert(7, t.dtype)] * pad + dense.data, t.size, dense.stride, pad)
    if style == 2 and t.size:
        gap = 2
        stride = [s * gap for s in make(t.dtype, t.size, iter(element).__next__).stride]
        data = [convert(5, t.dtype)] * (gap * math.prod(t.size))
        for position, v in zip(positions(t.size, stride), element):
            data[position] = v
        return Tensor(t.dtype, data, t.size, tuple(stride))
    if style == 3 and t.size and t.data:   # expanded along one dimension
        d = rng.randrange(len(t.size))
        if t.size[d] == 0:
            return t
        stride = list(t.stride)
        stride[d] = 0
        return Tensor(t.dtype, t.data, t.size, tuple(stride), t.offset)
    if style == 4 and t.size and t.data and t.size[-1] > 0:  # overlapping rows
        reach = sum(n - 1 for n in t.size if n) + 1
        if len(t.data) >= reach and all(t.size):
            return Tensor(t.dtype, t.data, t.size, tuple(1 for _ in t.size))
    return t


def positions(size, stride, offset=0):
    if not size:
        return [offset]
    if not all(size):
        return []
    found = [offset]
    for n, s in zip(size, stride):
        found = [p + i * s for p in found for i in range(n)]
    return found


def elements(t):
    return [t.data[p] for p in positions(t.size, t.stride, t.offset)]


def resized(rng, t, size):
    """The tensor with another size, its values repeated or cut."""
    element = elements(t) or [convert(1, t.dtype)]
    count = iter(range(10**9))
    return make(t.dtype, size, lambda: element[next(count) % len(element)])


def change_dtypes(rng, call):
    found = tensors(call)
    if not found:
        return call
    kind = rng.choice(sorted({t.kind for t in found}))
    chosen = [t for t in found if t.kind == kind] if internal(call.name) or rng.random() < 0.7 else [rng.choice(found)]
    r = rng.random() * (0.5 if internal(call.name) else 1)
    if r < 0.55 and kind == "float":
        new = rng.choice(FLOATS)
    elif r < 0.55 and kind in ("int", "bool"):
        new = rng.choice(INTS)
    else:
        new = rng.choice(list(DTYPES))
    return replace(call, {id(t): Tensor(new, [convert(v, new) for v in t.data], t.size, t.stride, t.offset, t.on_cpu) for t in chosen})


def change_values(rng, call):
    found = [t for t in tensors(call) if t.data and not (internal(call.name) and t.kind == "int")]
    if not found:
        return call
    t = rng.choice(found)
    if is_index(call, t) and rng.random() < 0.8:  # indices mostly stay within what they index
        return replace(call, {id(t): Tensor(t.dtype, [convert(v * rng.choice([1, 1, 1, -1, 0]), t.dtype) for v in t.data], t.size, t.stride, t.offset)})
    data = list(t.data)
    if rng.random() < 0.5:
        for _ in range(rng.randrange(1, 4)):
            data[rng.randrange(len(data))] = convert(rng.choice(EXTREMES[t.kind]), t.dtype)
    else:
        draw = values(rng, t.dtype)
        data = [convert(draw(), t.dtype) for _ in data]
    return replace(call, {id(t): Tensor(t.dtype, data, t.size, t.stride, t.offset, t.on_cpu)})


def is_index(call, t):
    schema = call.overload._schema.arguments
    for i, a in enumerate(call.args):
        if (a is t or isinstance(a, (list, tuple)) and any(x is t for x in a)) and i < len(schema) and schema[i].name in INDEX_NAMES:
            return True
    return False


def change_strides(rng, call):
    found = tensors(call)
    written = written_by(call)
    return replace(call, {id(t): lay_out(rng, t, any(t is w for w in written)) for t in found if rng.random() < 0.6})


def written_by(call):
    """The tensors that the function writes into."""
    schema = call.overload._schema.arguments
    given = [*zip(schema, call.args), *((a, call.kwargs[a.name]) for a in schema if a.name in call.kwargs)]
    return [v for a, v in given if a.alias_info is not None and a.alias_info.is_write and isinstance(v, Tensor)]


def change_sizes(rng, call):
    """One extent becomes another wherever it occurs, so that tensors keep fitting each other."""
    extents = sorted({n for t in tensors(call) for n in t.size})
    if not extents:
        return call
    old, new = rng.choice(extents), rng.choice([0, 0, 1, 1, 2, 3, 6])
    some = 1.0 if internal(call.name) or rng.random() < 0.8 else 0.5
    changes = {}
    for t in tensors(call):
        if old in t.size and rng.random() < some:
            size = [new if n == old else n for n in t.size]
            if math.prod(size) <= 600:
                changes[id(t)] = resized(rng, t, size)
    call = replace(call, changes)
    swap = lambda v: [new if type(x) is int and x == old else x for x in v] if isinstance(v, list) and old > 3 else v
    return Call(call.name, [swap(a) for a in call.args], call.kwargs)


def change_rank(rng, call):
    found = tensors(call)
    if not found:
        return call
    t = rng.choice(found)
    r = rng.random()
    if r < 0.3:
        size = ()
    elif r < 0.6 and t.size:
        size = t.size[1:]
    else:
        size = (rng.choice([1, 1, 2, 0]),) + tuple(t.size)
    return replace(call, {id(t): resized(rng, t, size)}) if math.prod(size) <= 600 else call


def change_plain(rng, call):
    """Another number, flag, list or none in place of an argument that is no tensor."""
    schema = call.overload._schema.arguments
    places = [(i, s) for i, s in enumerate(schema) if not str(s.type).startswith(("Tensor", "List[Tensor", "Optional[Tensor"))
              and not (str(s.type).startswith("List[Optional[Tensor")) and (i < len(call.args) or s.name in call.kwargs or s.has_default_value())]
    if not places:
        return call
    i, s = rng.choice(places)
    value = argument(rng, s, (2, 3))
    args, kwargs = list(call.args), dict(call.kwargs)
    if i < len(args):
        args[i] = value
    elif s.kwarg_only:
        kwargs[s.name] = value
    return Call(call.name, args, kwargs)


def drop_tensor(rng, call):
    """None for an optional tensor, a 0-dim CPU tensor, or one tensor in two places."""
    found = tensors(call)
    schema = call.overload._schema.arguments
    r = rng.random()
    if not found:
        return call
    t = rng.choice(found)
    if r < 0.35:
        optional = [i for i, a in enumerate(call.args) if isinstance(a, Tensor) and "Optional" in str(schema[i].type)]
        if optional:
            args = list(call.args)
            args[rng.choice(optional)] = None
            return Call(call.name, args, call.kwargs)
    if r < 0.7:
        scalar = resized(rng, t, ())
        scalar.on_cpu = any(o is not t for o in found) and not any(o is t for o in written_by(call))
        return replace(call, {id(t): scalar})
    return replace(call, {id(t): rng.choice(found)})


def internal(name):
    """Functions that ATen calls with arguments that fit each other: most of their CPU kernels check nothing."""
    return re.search(r"^_[a-z]|_backward|_forward|^native_", name.removeprefix("aten::")) is not None


CHANGES = [change_dtypes] * 3 + [change_values] * 3 + [change_strides] * 3 + [change_sizes] * 3 + [change_rank] * 2 + [change_plain] * 2 + [drop_tensor]
CHANGES_WITHIN = [change_dtypes, change_values, change_values, change_strides, change_strides, change_sizes]


# ---- arguments from the schema -----------------------------------------------------------------------------------------
def argument(rng, a, shape, depth=0):
    """A value for one argument of a schema."""
    kind = str(a.type) if depth == 0 else depth
    name = a.name
    if kind.startswith("Optional["):
        if rng.random() < 0.4:
            return None
        return argument(rng, a, shape, kind[len("Optional["):-1])
    if kind == "Tensor":
        dtype = rng.choice(["float32"] * 5 + list(DTYPES))
        if name in INDEX_NAMES:
            dtype = "int64"
        elif name in ("mask", "condition"):
            dtype = "bool"
        size = [1 if rng.random() < 0.15 else n for n in shape][0 if rng.random() < 0.8 else 1:]
        t = make(dtype, size, values(rng, dtype, high=2 if name in INDEX_NAMES else None))
        return lay_out(rng, t) if rng.random() < 0.2 else t
    if kind.startswith("List["):
        inner = kind[len("List["):-1]
        if inner == "int" and name in ("size", "output_size", "new_size"):
            return [rng.choice([1, 2, 3, 0]) if rng.random() < 0.3 else n for n in shape]
        count = getattr(a, "N", None) or rng.choice([0, 1, 1, 2, 2, 3])
        if inner == "int" and name in ("dim", "dims", "axes"):
            return rng.sample([0, 1, -1, 2, -2, 5], min(count, 6))
        return [argument(rng, a, shape, inner) for _ in range(count)]
    if kind == "bool":
        return rng.random() < 0.5
    if kind in ("int", "SymInt"):
        if name == "dtype":
            return rng.choice([torch.float32, torch.float64, torch.int64, torch.float16, torch.bool])
        if name == "layout":
            return torch.strided
        if name == "memory_format":
            return rng.choice([torch.contiguous_format, torch.preserve_format])
        for names, pool in INTEGERS.items():
            if name in names:
                return rng.choice(pool)
        return rng.choice([0, 1, 2, 3, -1, 1, 2])
    if kind == "float":
        return float(rng.choice(NUMBERS))
    if kind in ("number", "Scalar"):
        return rng.choice(NUMBERS)
    if kind == "str":
        return rng.choice(STRINGS.get(name, ["none"])) or "none"
    if kind == "Device":
        return DeviceOfRun()
    return None


def from_schema(rng, name):
    call = Call(name, [])
    shape = [rng.choice([1, 2, 3, 3, 4, 0, 5]) for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4]))]
    for a in call.overload._schema.arguments:
        if a.has_default_value() and rng.random() < 0.3 and a.kwarg_only:
            continue
        value = argument(rng, a, shape)
        if a.kwarg_only:
            call.kwargs[a.name] = value
        else:
            call.args.append(value)
    return call


# ---- what ATen's CPU kernels do not check -------------------------------------------------------------------------------
#: function -> (argument with indices, how many values they have, by the call's arguments): the CPU's kernels take any other
#: index for an address.
UNCHECKED = [
    (r"(adaptive_|fractional_)?max_pool2d(_with_indices)?_backward.*", "indices", lambda a: extents(a["self"], 2)),
    (r"(adaptive_|fractional_)?max_pool3d(_with_indices)?_backward.*", "indices", lambda a: extents(a["self"], 3)),
    (r"nll_loss_backward.*", "target", lambda a: (*a["self"].size[-1:], 1)[0]),
    (r"nll_loss2d_(forward|backward).*", "target", lambda a: (*a["self"].size, 1, 1)[1]),
    (r"_embedding_bag.*backward", "offset2bag", lambda a: (*a["grad"].size, 0)[0]),
    (r"_embedding_bag.*backward", "maximum_indices", lambda a: a["num_weights"]),
]
MOST = 1000   # elements of a range, degree of a polynomial


def extents(t, n):
    return math.prod(t.size[-n:])


def within_memory(call):
    """The call with indices that are addresses within their tensor, without a range of gigabytes or a polynomial of minutes."""
    schema = call.overload._schema.arguments
    given = {a.name: v for a, v in zip(schema, call.args)} | call.kwargs
    name = call.name.removeprefix("aten::")
    for pattern, argument, count in UNCHECKED:
        t = given.get(argument)
        if re.fullmatch(pattern, name) and isinstance(t, Tensor) and t.kind == "int":
            n = count(given)
            if n <= 0:
                return None if t.data else call
            call = replace(call, {id(t): Tensor(t.dtype, [v % n for v in t.data], t.size, t.stride, t.offset)})
    if name.startswith("_embedding_bag") and isinstance(t := given.get("offsets"), Tensor):
        ascending = iter(sorted(elements(t)))
        call = replace(call, {id(t): make(t.dtype, t.size, ascending.__next__)})
    if "_polynomial_" in name:
        degree = given.get("n")
        if isinstance(degree, Tensor) and degree.kind == "int":
            call = replace(call, {id(degree): Tensor(degree.dtype, [min(v, MOST) for v in degree.data], degree.size, degree.stride, degree.offset)})
        elif isinstance(degree, (int, float)) and math.isfinite(degree) and degree > MOST:
            return None
    if re.match(r"(arange|range|linspace|logspace)\b", name):
        numbers = {k: v for k, v in given.items() if isinstance(v, (int, float)) and not isinstance(v, bool)}
        step = numbers.get("step", 1) or 1
        distance = numbers.get("end", 0) - numbers.get("start", 0)
        if numbers.get("steps", 0) > MOST or "steps" not in numbers and math.isfinite(distance) and math.isfinite(step) and abs(distance / step) > MOST:
            return None
    return call


# ---- one case ------------------------------------------------------------------------------------------------------------
def outputs_of(call):
    return [a.name for a in call.overload._schema.arguments if a.is_out]


def with_outputs(rng, call, source):
    """The call of an ``out=`` function: outputs as the recorded function makes them, or not quite."""
    try:
        if source == call.name:   # it writes into outputs itself: any will do to learn their sizes
            functional = Call(source, call.args, {**call.kwargs, **{n: make("float32", (0,), int) for n in outputs_of(call)}})
        else:
            functional = Call(source, call.args, call.kwargs)
        args, kwargs, _ = build(functional, "cpu")
        result = functional.overload(*args, **kwargs)
    except Exception:
        result = None
    results = list(result) if isinstance(result, (tuple, list)) else [result]
    kwargs = dict(call.kwargs)
    for i, name in enumerate(outputs_of(call)):
        r = results[i] if i < len(results) and isinstance(results[i], torch.Tensor) and results[i].dtype in NAMES else None
        if r is not None and r.numel() > 600:
            r = None
        dtype, size = (NAMES[r.dtype], tuple(r.shape)) if r is not None else ("float32", (2, 3))
        style = rng.random()
        if style < 0.15:
            size = (0,)
        elif style < 0.25:
            size = tuple(rng.choice([1, 2, 3]) for _ in range(rng.randrange(3)))
        elif style < 0.4:
            dtype = rng.choice(list(DTYPES))
        out = make(dtype, size, lambda: 3)
        kwargs[name] = lay_out(rng, out, written=True) if style > 0.75 else out
    return Call(call.name, call.args, kwargs)


def functional_name(name, known):
    """The recorded overload whose arguments fit an in-place or ``out=`` one."""
    base, _, overload = name.removeprefix("aten::").partition(".")
    candidates = [name]
    if base.endswith("_") and not base.startswith("__"):
        candidates.append(f"aten::{base[:-1]}" + (f".{overload}" if overload else ""))
    schema = Call(name, []).overload._schema
    if any(a.is_out for a in schema.arguments):
        stem = overload.removesuffix("_out")
        candidates += [f"aten::{base}" + (f".{stem}" if stem and stem != "out" else "")]
        candidates += [k for k in known if k.partition(".")[0] == f"aten::{base}"]
    for c in candidates:
        if c in known:
            return c
    return None


def fits(call, name):
    """The recorded call under another overload's name, if its positional arguments are as many."""
    schema = Call(name, []).overload._schema.arguments
    inputs = [a for a in schema if not a.is_out]
    names = {a.name for a in inputs}
    if len(call.args) > len([a for a in inputs if not a.kwarg_only]) or not set(call.kwargs) <= names:
        return None
    missing = [a for a in inputs[len(call.args):] if not a.kwarg_only and not a.has_default_value() and a.name not in call.kwargs]
    return None if missing else Call(name, list(call.args), dict(call.kwargs))


def generate(seed, number, names, seeds):
    """Case ``number`` of a run: always the same for the same seed, selection and recorded calls. None where nothing can be made."""
    rng = random.Random(f"{seed}/{number}")
    name = rng.choice(names)
    call, source = None, functional_name(name, seeds)
    if source is not None and (internal(name) or rng.random() < 0.9):
        call = fits(rng.choice(seeds[source]), name)
    if call is None and internal(name) and source is None:
        return None
    if call is None:
        call, source = from_schema(rng, name), None
    outputs = outputs_of(call)
    call.kwargs = {k: v for k, v in call.kwargs.items() if k not in outputs}
    for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4])):
        call = rng.choice(CHANGES_WITHIN if internal(name) else CHANGES)(rng, call)
    call = within_memory(call)
    return with_outputs(rng, call, source) if outputs and call is not None else call
