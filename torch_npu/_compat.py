"""What differs between torch versions, and nothing else about them anywhere else."""

import torch

from torch_npu.version import TORCH, __version__


def _minor(version):
    return ".".join(version.split(".")[:2])


def wanted_torch():
    """What pip is to install for this adapter's library."""
    return f"torch=={_minor(TORCH)}.*"


def torch_mismatch():
    """A sentence if the torch at hand is not the one this adapter's library is built for, else ``None``."""
    if TORCH is None or _minor(torch.__version__) == _minor(TORCH):
        return None
    return (f"torch_npu {__version__} is built for torch {_minor(TORCH)} and this is torch {torch.__version__}. "
            f"Install {wanted_torch()}, or the torch_npu whose version starts with {_minor(torch.__version__)}")
