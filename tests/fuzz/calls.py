"""A call of an ATen operator as plain data: it can be built for any device, changed, and printed as Python code."""
import math
from dataclasses import dataclass, field

import torch

DTYPES = {name: getattr(torch, name) for name in
          "float32 float64 float16 bfloat16 int64 int32 int16 int8 uint8 bool complex64 complex128".split()}
NAMES = {dtype: name for name, dtype in DTYPES.items()}


@dataclass(eq=False)
class Tensor:
    """A view of ``data`` in storage order. One object used twice in a call is the same tensor twice."""
    dtype: str
    data: list
    size: tuple
    stride: tuple
    offset: int = 0
    on_cpu: bool = False   # a 0-dim CPU tensor among npu ones, which operators take as a number

    @property
    def kind(self):
        dtype = DTYPES[self.dtype]
        return "complex" if dtype.is_complex else "float" if dtype.is_floating_point else "bool" if self.dtype == "bool" else "int"

    def contiguous(self):
        stride, step = [], 1
        for n in reversed(self.size):
            stride.insert(0, step)
            step *= max(n, 1)
        return self.offset == 0 and tuple(stride) == tuple(self.stride) and len(self.data) == math.prod(self.size)


@dataclass(eq=False)
class Call:
    name: str                 # "aten::add.Tensor"
    args: list
    kwargs: dict = field(default_factory=dict)

    @property
    def overload(self):
        base, _, overload = self.name.removeprefix("aten::").partition(".")
        return getattr(getattr(torch.ops.aten, base), overload or "default")


class DeviceOfRun:
    """Stands for the device the call runs on."""
    def __repr__(self):
        return "torch.device(device)"


def convert(value, dtype):
    """The Python value as the dtype can hold it."""
    d = DTYPES[dtype]
    if d.is_complex:
        return complex(value)
    if isinstance(value, complex):
        value = value.real
    if d.is_floating_point:
        return float(value)
    if dtype == "bool":
        return bool(value)
    info = torch.iinfo(d)
    if value != value or value in (math.inf, -math.inf):
        return 0
    return min(max(int(value), info.min), info.max)


def make(dtype, size, values):
    size = tuple(size)
    stride, step = [], 1
    for n in reversed(size):
        stride.insert(0, step)
        step *= max(n, 1)
    n = math.prod(size)
    return Tensor(dtype, [convert(values(), dtype) for _ in range(n)], size, tuple(stride))


def tree_map(f, value):
    """Over lists and tuples; ``f`` sees everything else."""
    if isinstance(value, (list, tuple)):
        return type(value)(tree_map(f, v) for v in value)
    return f(value)


def tensors(call):
    """The distinct tensors of a call, in order."""
    found = []
    tree_map(lambda v: found.append(v) if isinstance(v, Tensor) and not any(v is t for t in found) else None,
             [call.args, list(call.kwargs.values())])
    return found


def replace(call, changes):
    """A copy with values swapped: ``changes`` is {id(old): new}. Unchanged tensors stay shared."""
    swap = lambda v: changes.get(id(v), v) if isinstance(v, Tensor) else v
    return Call(call.name, tree_map(swap, call.args), {k: tree_map(swap, v) for k, v in call.kwargs.items()})


def build(call, device, place=lambda t: torch.tensor(t.data, dtype=DTYPES[t.dtype])):
    """(args, kwargs, [(Tensor, as built, its whole storage as a 1-D tensor)]) on a device; ``place`` makes storages."""
    built = {}

    def value(v):
        if isinstance(v, Tensor):
            if id(v) not in built:
                storage = place(v)
                if not v.on_cpu:
                    storage = storage.to(device)
                built[id(v)] = (v, storage.as_strided(v.size, v.stride, v.offset), storage)
            return built[id(v)][1]
        return torch.device(device) if isinstance(v, DeviceOfRun) else v

    args, kwargs = tree_map(value, call.args), {k: tree_map(value, v) for k, v in call.kwargs.items()}
    return args, kwargs, list(built.values())


def code(call):
    """The call as a program that prints both results."""
    names, lines = {}, []

    def literal(v):
        if isinstance(v, Tensor):
            if id(v) not in names:
                names[id(v)] = name = "abcdefghijklmnopqrstuvwxyz"[len(names)]
                text = f"torch.tensor({v.data!r}, dtype=torch.{v.dtype})"
                if not v.on_cpu:
                    text += ".to(device)"
                if not (v.contiguous() and len(v.size) == 1):
                    text += f".as_strided({tuple(v.size)}, {tuple(v.stride)}" + (f", {v.offset})" if v.offset else ")")
                lines.append(f"    {name} = {text}")
            return names[id(v)]
        if isinstance(v, (list, tuple)):
            inside = ", ".join(literal(x) for x in v)
            return f"[{inside}]" if isinstance(v, list) else f"({inside}{',' if len(v) == 1 else ''})"
        return repr(v)

    call_text = ", ".join([literal(a) for a in call.args] + [f"{k}={literal(v)}" for k, v in call.kwargs.items()])
    base, _, overload = call.name.removeprefix("aten::").partition(".")
    return "\n".join(["import torch, torch_npu", "from math import inf, nan", "", "def call(device):", *lines,
                      f"    return torch.ops.aten.{base}.{overload or 'default'}({call_text})", "",
                      "print(call('cpu'))", "print(call('npu'))"])
