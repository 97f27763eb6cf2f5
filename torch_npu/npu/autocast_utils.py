"""What ``torch.autocast("npu")`` is set to; prefer the context manager."""

import torch

from torch_npu import _compat
from torch_npu.npu.amp.autocast_mode import get_amp_supported_dtype

__all__ = ["get_amp_supported_dtype", "get_autocast_dtype", "is_autocast_enabled", "set_autocast_dtype", "set_autocast_enabled"]


def is_autocast_enabled():
    """Whether ``torch.autocast("npu")`` is on in the calling thread."""
    return _compat.is_autocast_enabled()


def set_autocast_enabled(enable):
    """Turns ``torch.autocast("npu")`` on or off in the calling thread."""
    _compat.set_autocast_enabled(bool(enable))


def get_autocast_dtype():
    """The dtype of ``torch.autocast("npu")``."""
    return _compat.get_autocast_dtype()


def set_autocast_dtype(dtype):
    """Sets the dtype of ``torch.autocast("npu")``: float16 or bfloat16."""
    if dtype not in (torch.float16, torch.bfloat16):
        raise ValueError(f"torch.autocast('npu') takes torch.float16 and torch.bfloat16, got {dtype}")
    _compat.set_autocast_dtype(dtype)
