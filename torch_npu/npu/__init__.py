"""``torch.npu``: what ``torch.cuda`` is for CUDA devices. Everything that needs a device starts it at the first use."""

from torch_npu import _compat
from torch_npu.npu import amp, devices, memory, options, random, sharing, streams
from torch_npu.npu.amp import get_amp_supported_dtype
from torch_npu.npu.devices import *  # noqa: F403
from torch_npu.npu.devices import (  # what torch itself looks up
    _exchange_device,
    _get_device_index,
    _is_in_bad_fork,
    _lazy_call,
    _lazy_init,
    _maybe_exchange_device,
    _unavailable_reason,
)
from torch_npu.npu.memory import *  # noqa: F403
from torch_npu.npu.options import *  # noqa: F403
from torch_npu.npu.random import *  # noqa: F403
from torch_npu.npu.random import _default_generators, _get_generator
from torch_npu.npu.streams import *  # noqa: F403

_SUBMODULES = ("amp", "devices", "memory", "options", "random", "sharing", "streams")

__all__ = [
    *devices.__all__,
    *memory.__all__,
    *options.__all__,
    *random.__all__,
    *streams.__all__,
    "amp",
    "default_generators",
    "get_amp_supported_dtype",
]

globals().update(_compat.module_functions)


def __getattr__(name):
    if name == "default_generators":
        return _default_generators()
    if name == "_initialized":  # torch.utils.checkpoint keeps the generators' states only where it is true
        return is_initialized()  # noqa: F405
    raise AttributeError(f"module 'torch.npu' has no attribute '{name}'")
