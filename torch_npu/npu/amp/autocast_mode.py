"""``torch.autocast`` with the device filled in."""

import torch

from torch_npu import _compat
from torch_npu.npu.devices import device_count, is_bf16_supported

__all__ = ["autocast", "custom_bwd", "custom_fwd", "get_amp_supported_dtype"]


def get_amp_supported_dtype():
    """The dtypes that ``torch.autocast("npu", dtype=...)`` takes. Touches no device."""
    return [torch.float16, torch.bfloat16] if device_count() == 0 or is_bf16_supported() else [torch.float16]


class autocast(_compat.AutocastBase):
    """``torch.autocast("npu", ...)``: operators in the block run in ``dtype`` where that is safe."""

    def __init__(self, enabled=True, dtype=torch.float16, cache_enabled=True):
        super().__init__("npu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


custom_fwd = _compat.custom_fwd
custom_bwd = _compat.custom_bwd
