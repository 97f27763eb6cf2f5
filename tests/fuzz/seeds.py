"""Valid calls to start from: what PyTorch's operator database makes of each operator below autograd, recorded on the CPU."""
import itertools
import os
import pickle
import tempfile
import warnings
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.fuzz.calls import NAMES, Call, DeviceOfRun, Tensor, tree_map

SAMPLES = 6           # of each OpInfo and dtype; of one, float32 alone is recorded
CALLS = 30            # kept of each overload
ELEMENTS = 400        # of a tensor's storage


def cache(samples):
    return Path(tempfile.gettempdir()) / f"torch_npu_fuzz_seeds_{os.getuid()}_{torch.__version__}_{samples}.pickle"


class Unrecordable(Exception):
    pass


class Recorder(TorchDispatchMode):
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        try:
            self.record(func, args, kwargs)
        except Unrecordable:
            pass
        return func(*args, **kwargs)

    def record(self, func, args, kwargs):
        name = func._schema.name + (f".{func._schema.overload_name}" if func._schema.overload_name else "")
        kept = self.calls.setdefault(name, {})
        if len(kept) >= CALLS or not name.startswith("aten::"):
            return
        seen = {}

        def plain(v):
            if isinstance(v, torch.Tensor):
                if id(v) not in seen:
                    seen[id(v)] = describe(v)
                return seen[id(v)]
            if isinstance(v, torch.device):
                return DeviceOfRun()
            if v is None or isinstance(v, (bool, int, float, complex, str, torch.dtype, torch.layout, torch.memory_format)):
                return v
            raise Unrecordable

        call = Call(name, tree_map(plain, list(args)), {k: tree_map(plain, v) for k, v in kwargs.items()})
        look = lambda v: (v.dtype, v.size, v.stride) if isinstance(v, Tensor) else repr(v)
        kept.setdefault(repr((tree_map(look, call.args), [(k, tree_map(look, v)) for k, v in sorted(call.kwargs.items())])), call)


def describe(t):
    if t.layout != torch.strided or t.dtype not in NAMES or type(t) not in (torch.Tensor, torch.nn.Parameter) or t.is_conj() or t.is_neg():
        raise Unrecordable
    reach = 1 + sum((n - 1) * s for n, s in zip(t.size(), t.stride())) if t.numel() else 0
    if reach > ELEMENTS:
        raise Unrecordable
    data = t.detach().as_strided((reach,), (1,)).tolist()
    return Tensor(NAMES[t.dtype], data, tuple(t.size()), tuple(t.stride()))


def harvest(samples):
    from torch.testing._internal.common_methods_invocations import op_db
    calls = {}
    recorder = Recorder(calls)
    torch.manual_seed(0)
    kinds = ((torch.float32, False), (torch.float32, True), (torch.int64, False), (torch.complex64, False))
    for op in op_db:
        for dtype, backward in kinds if samples > 1 else kinds[:2]:
            if dtype not in op.supported_dtypes("cpu") or (backward and not op.supports_autograd):
                continue
            try:
                for sample in itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=backward), samples):
                    with warnings.catch_warnings(), torch.set_grad_enabled(backward):
                        warnings.simplefilter("ignore")
                        try:
                            with recorder:
                                result = op.op(sample.input, *sample.args, **sample.kwargs)
                                if backward:
                                    leaves = [r for r in (result if isinstance(result, (tuple, list)) else [result])
                                              if isinstance(r, torch.Tensor) and r.requires_grad]
                                    if leaves:
                                        torch.autograd.backward(leaves, [torch.ones_like(r) for r in leaves])
                        except Exception:  # the sample is one that the CPU refuses
                            pass
            except Exception:  # the database makes no samples for this dtype
                pass
    return {name: list(kept.values()) for name, kept in calls.items() if kept}


def load(samples=SAMPLES):
    """The recorded calls; the recording takes a minute and is kept in a temporary file for this torch version."""
    file = cache(samples)
    if not file.exists():
        seeds = harvest(samples)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(seeds))
        part.rename(file)
    return pickle.loads(file.read_bytes())
