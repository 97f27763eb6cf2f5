"""The native library: loaded at most once, never raising and never printing; what went wrong is kept as the reason."""

import importlib
import pathlib

from torch_npu import _compat

_bindings = None
_reason = None


def load():
    """Loads ``torch_npu._C`` and with it libtorch_npu.so."""
    global _bindings, _reason
    if _bindings is not None or _reason is not None:
        return
    _reason = _compat.torch_mismatch() or _missing()
    if _reason is not None:
        return
    try:
        _bindings = importlib.import_module("torch_npu._C")
    except Exception as e:  # ImportError for the usual causes; a broken file must not break `import torch` either
        _reason = f"torch_npu's library cannot be loaded: {e}. Install torch_npu again; `python -m torch_npu.doctor` says more"


def _missing():
    import torch_npu

    directory = pathlib.Path(torch_npu.__path__[0])
    if any(directory.glob("_C*.so")):
        return None
    return (f"torch_npu in {directory} has no compiled library: these are its sources, or the installation is not complete. "
            "Install the wheel (bash ci/build.sh writes it to dist/)")


def refuse(reason):
    """From now on the device is unusable, for ``reason``."""
    global _bindings, _reason
    _bindings, _reason = None, reason


def loaded():
    return _bindings is not None


def reason():
    """Why the library is not there, or ``None``."""
    return _reason


def bindings():
    """``torch_npu._C``; raises one sentence if the library could not be loaded."""
    if _bindings is None:
        from torch_npu.errors import NPUUnavailableError

        raise NPUUnavailableError(f"No npu can be used: {_reason}")
    return _bindings
