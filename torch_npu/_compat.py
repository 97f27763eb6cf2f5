"""What differs between torch versions, and nothing else about them anywhere else."""

import torch

from torch_npu.version import __version__


def _minor(version):
    return ".".join(version.split(".")[:2])


def torch_mismatch():
    """A sentence if the torch at hand is not the one this adapter's library is built for, else ``None``."""
    if _minor(torch.__version__) == _minor(__version__):
        return None
    wanted = _minor(__version__)
    return (f"torch_npu {__version__} is built for torch {wanted} and this is torch {torch.__version__}. "
            f"Install torch=={wanted}.*, or the torch_npu whose version starts with {_minor(torch.__version__)}")
