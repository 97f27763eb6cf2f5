"""What differs between torch versions, and nothing else about them anywhere else."""

import functools

import torch

from torch_npu.version import TORCH, __version__

#: Of the torch at hand, as text and as (2, 13).
VERSION = torch.__version__
RUNNING = tuple(int(n) for n in VERSION.split(".")[:2])


def _minor(version):
    return ".".join(version.split(".")[:2])


def wanted_torch():
    """What pip is to install for this adapter's library."""
    return f"torch=={_minor(TORCH)}.*"


def torch_mismatch():
    """A sentence if the torch at hand is not the one this adapter's library is built for, else ``None``."""
    if TORCH is None or _minor(torch.__version__) == _minor(TORCH):
        return None
    return (f"torch_npu {__version__} is built for torch {_minor(TORCH)} and this is torch {torch.__version__}. "
            f"Install {wanted_torch()}, or the torch_npu whose version starts with {_minor(torch.__version__)}")


if RUNNING >= (2, 9):
    #: Whether C++ errors of devices have a Python class of their own.
    has_accelerator_error = True
    AcceleratorError = torch.AcceleratorError
    OutOfMemoryError = torch.OutOfMemoryError
    #: Where torch keeps what it offers for every accelerator: ``_accelerator_*``.
    accelerator = torch._C
    #: The device's number among the types of devices.
    DEVICE_TYPE = int(torch._C._autograd.DeviceType.PrivateUse1.value)
    Stream = torch.Stream
    Event = torch.Event
    AutocastBase = torch.amp.autocast
    GradScaler = torch.amp.GradScaler

    def memory_stats(index):
        """The allocator's counters as an ordered dict without nesting."""
        return torch.accelerator.memory_stats(index)

    custom_fwd = functools.partial(torch.amp.custom_fwd, device_type="npu")
    custom_bwd = functools.partial(torch.amp.custom_bwd, device_type="npu")

    def rename_backend():
        torch.utils.rename_privateuse1_backend("npu")

    def generate_methods():
        torch.utils.generate_methods_for_privateuse1_backend(
            for_tensor=True, for_module=True, for_packed_sequence=True, for_storage=True)

    #: Further patches for _patches.py, each called with ``assign(owner, name, value)``.
    patches = []

    def empty_pinned(shape, dtype):
        """An uninitialized CPU tensor in pinned memory."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def is_autocast_enabled():
        return torch.is_autocast_enabled("npu")

    def set_autocast_enabled(enabled):
        torch.set_autocast_enabled("npu", enabled)

    def get_autocast_dtype():
        return torch.get_autocast_dtype("npu")

    def set_autocast_dtype(dtype):
        torch.set_autocast_dtype("npu", dtype)

else:
    from torch_npu._compat_old import *  # noqa: F403
