"""Automatic mixed precision: torch.amp with the device filled in."""

from torch_npu.npu.amp import autocast_mode, common, grad_scaler
from torch_npu.npu.amp.autocast_mode import autocast, custom_bwd, custom_fwd, get_amp_supported_dtype
from torch_npu.npu.amp.grad_scaler import GradScaler

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd", "get_amp_supported_dtype"]
