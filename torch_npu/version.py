"""The adapter's version: that of the torch that its library is built for; ``.postN`` is its N-th later release for that torch."""

#: The N of ``.postN``; 0 for the first release.
POST = 0

try:
    from torch_npu._built_for import TORCH
except ImportError:  # these are the sources, and nothing is built yet
    TORCH = None

__version__ = "0+unbuilt" if TORCH is None else TORCH if POST == 0 else f"{TORCH}.post{POST}"
