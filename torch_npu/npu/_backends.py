"""Where some programs look for the chip's number."""

from torch_npu.npu.devices import get_soc_version

__all__ = ["get_soc_version"]
