"""Version of CANN's operator interface."""

from torch_npu.npu.utils import get_cann_version

__all__ = ["version"]


def version():
    """Version of the package of operators in CANN; ``None`` where CANN does not tell."""
    return get_cann_version("OPP") or None
