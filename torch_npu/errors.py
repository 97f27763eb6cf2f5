"""Exceptions for what CANN refuses, loses or does not have. Out of memory is torch.OutOfMemoryError, as on every device."""

import sys

from torch_npu import _compat

__all__ = [
    "NPUDeviceLostError",
    "NPUError",
    "NPUInvalidArgumentError",
    "NPUNotSupportedError",
    "NPUTimeoutError",
    "NPUUnavailableError",
]


class NPUError(_compat.AcceleratorError):
    """A CANN function failed. The message says what was called and for which operator, why it failed and what CANN said."""

    #: CANN's error code, for example 507011; 0 where no CANN function was called.
    code = 0
    #: The code's name in CANN's headers, for example ``ACL_ERROR_RT_TIMEOUT``.
    name = ""
    #: One line on what the code means.
    cause = ""
    #: One line on what to do about it; may be empty.
    hint = ""


class NPUTimeoutError(NPUError):
    """The device did not finish in time."""


class NPUInvalidArgumentError(NPUError):
    """CANN refuses an argument."""


class NPUNotSupportedError(NPUError):
    """This version of CANN, or this device, does not have the function."""


class NPUDeviceLostError(NPUError):
    """The device, or the link to it, failed: the process has to be started again."""


class NPUUnavailableError(NPUError):
    """There is no npu to use: no CANN, a broken one, no device, or no library of this adapter that fits."""


if _compat.has_accelerator_error and sys.version_info < (3, 12):
    # There pybind11 refuses an exception whose class is called otherwise than the one torch asked for (see _patches.py). The
    # qualified name stays, and is what tracebacks show.
    for _class in [globals()[n] for n in __all__]:
        _class.__name__ = _compat.AcceleratorError.__name__
