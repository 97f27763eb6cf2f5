"""Ascend NPUs as PyTorch device ``npu``.

    import torch, torch_npu
    x = torch.randn(2, 2).npu()
    print(x.mm(x))

``import torch`` alone does it too: torch imports this package by itself, through the entry point group ``torch.backends``
(``TORCH_DEVICE_BACKEND_AUTOLOAD=0`` stops that). Importing never fails because of CANN or of a library that cannot be
loaded, prints nothing and touches no device. Whether an npu can be used, and if not why: ``torch.npu.is_available()``,
``torch_npu.unavailable_reason()``, ``python -m torch_npu.doctor``.
"""

import importlib
import importlib.util
import os
import pathlib
import sys


def _autoload():
    """What torch calls for the entry point. Importing this module has done the work; stands first because torch may ask
    for it while this module is still waiting for torch."""


def _follow_installed_package():
    """In a directory that holds the sources (a clone's root), Python finds them before the installed package, and they have
    no native library: submodules are then taken from the installed package."""
    here = pathlib.Path(__file__).resolve().parent
    if any(here.glob("_C*.so")):
        return
    for entry in sys.path:
        candidate = pathlib.Path(entry).resolve() / __name__
        if candidate != here and any(candidate.glob("_C*.so")):
            __path__[:] = [str(candidate)]
            return


_follow_installed_package()

import torch  # noqa: E402

from torch_npu import _library  # noqa: E402
from torch_npu._fallbacks import Fallback, fallbacks, reset_fallbacks  # noqa: E402
from torch_npu.errors import (  # noqa: E402
    NPUDeviceLostError,
    NPUError,
    NPUInvalidArgumentError,
    NPUNotSupportedError,
    NPUTimeoutError,
    NPUUnavailableError,
)
from torch_npu.version import __version__  # noqa: E402

__all__ = [
    "Fallback",
    "NPUDeviceLostError",
    "NPUError",
    "NPUInvalidArgumentError",
    "NPUNotSupportedError",
    "NPUTimeoutError",
    "NPUUnavailableError",
    "__version__",
    "erase_stream",
    "fallbacks",
    "npu",
    "npu_fusion_attention",
    "npu_geglu",
    "npu_swiglu",
    "reset_fallbacks",
    "unavailable_reason",
]

_library.load()

from torch_npu import npu  # noqa: E402
from torch_npu.operators import npu_fusion_attention, npu_geglu, npu_swiglu  # noqa: E402


def unavailable_reason():
    """One sentence that says why no npu can be used, or ``None`` if one can. Touches no device."""
    return npu._unavailable_reason()


def erase_stream(tensor, stream):
    """Takes ``tensor.record_stream(stream)`` back, once the stream that ``tensor`` was made on waits for ``stream``: its memory can then be used
    again as soon as it is freed."""
    if tensor.device.type != "npu":
        raise TypeError(f"Expected an npu tensor, got one on {tensor.device}")
    _library.bindings().erase_stream(tensor, *npu.streams._named(stream))


def _register():
    """Everything that makes torch know the device, in the order that torch asks for."""
    from torch_npu import _compat, _patches

    _compat.rename_backend()
    torch._register_device_module("npu", npu)
    # ``import torch.npu.amp`` must find these modules, not make second copies of them.
    for name in npu._SUBMODULES:
        sys.modules[f"torch.npu.{name}"] = importlib.import_module(f"torch_npu.npu.{name}")
    _compat.generate_methods()
    npu.sharing._register()
    _patches.apply()


try:
    _register()
except Exception as e:  # the entry point must not break `import torch`; using the device raises the sentence
    _library.refuse(f"torch has no room for device 'npu': {e}")


if os.environ.get("TORCH_NPU_SANITIZER") == "1" and _library.loaded():
    from torch_npu.npu import _sanitizer

    _sanitizer.enable_stream_sanitizer()


def __getattr__(name):
    if name in ("doctor", "softcann", "utils") and importlib.util.find_spec(f"{__name__}.{name}") is not None:
        return importlib.import_module(f"{__name__}.{name}")
    hint = ": this custom operator of Ascend's is not there yet (docs/support.md lists those that are)" if name.startswith("npu_") else ""
    raise AttributeError(f"module 'torch_npu' has no attribute '{name}'{hint}")
