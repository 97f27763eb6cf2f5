"""Version of CANN's operator interface."""

from torch_npu import _library

__all__ = ["version"]


def version():
    """Version of the package of operators in CANN; ``None`` where CANN does not tell."""
    return _library.bindings().package_version(5) or None  # ACL_PKG_NAME_OPP
