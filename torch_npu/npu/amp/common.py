"""Whether mixed precision can be had at all."""

from torch_npu.npu.devices import is_available

__all__ = ["amp_definitely_not_available"]


def amp_definitely_not_available():
    """Whether no npu can be used."""
    return not is_available()
