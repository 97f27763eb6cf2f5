"""Automatic mixed precision: torch.amp with the device filled in."""

import torch

from torch_npu import _compat
from torch_npu.npu.devices import device_count, is_bf16_supported

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "get_amp_supported_dtype"]


def get_amp_supported_dtype():
    """The dtypes that ``torch.autocast("npu", dtype=...)`` takes. Touches no device."""
    return [torch.float16, torch.bfloat16] if device_count() == 0 or is_bf16_supported() else [torch.float16]


class autocast(_compat.AutocastBase):
    """``torch.autocast("npu", ...)``: operators in the block run in ``dtype`` where that is safe."""

    def __init__(self, enabled=True, dtype=torch.float16, cache_enabled=True):
        super().__init__("npu", dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class GradScaler(_compat.GradScaler):
    """``torch.amp.GradScaler("npu", ...)``.

    Args:
        dynamic (bool): ``False`` keeps the scale at ``init_scale``.
    """

    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, dynamic=True, enabled=True):
        super().__init__("npu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
        self._dynamic = dynamic

    def update(self, new_scale=None):
        """Adjusts the scale after a step; a fixed scale only forgets what the step found."""
        super().update(float(self._init_scale) if new_scale is None and self._enabled and not self._dynamic else new_scale)


custom_fwd = _compat.custom_fwd
custom_bwd = _compat.custom_bwd
