"""CANN's operator interface: ``allow_hf32``, whether it may compute float32 in HF32. A permission that is kept and not used here; see
``torch.npu.matmul`` and ``torch.npu.conv``."""

import sys
import types

from torch_npu.npu.aclnn import backends
from torch_npu.npu.aclnn.backends import version

__all__ = ["allow_hf32", "version"]

allow_hf32 = True


class _Module(types.ModuleType):
    def __setattr__(self, name, value):
        if name == "allow_hf32" and not isinstance(value, bool):
            raise TypeError(f"torch.npu.aclnn.allow_hf32 takes a bool, got {type(value).__name__}")
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Module
