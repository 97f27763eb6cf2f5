"""Exceptions for what CANN refuses or loses. Out of memory is torch.OutOfMemoryError, as on every device."""

import re

import torch

__all__ = ["DeviceLostError", "InvalidArgumentError", "NPUError", "NotSupportedError", "TimeoutError", "class_for"]


class NPUError(torch.AcceleratorError):
    """A CANN function failed. The message says what was called, why it failed and what CANN said."""

    @property
    def code(self):
        """CANN's error code, for example 507011."""
        return self.error_code

    @property
    def name(self):
        """The code's name in CANN's headers; empty if they have none."""
        match = _CODE.search(str(self))
        return match["name"] if match else ""


class InvalidArgumentError(NPUError):
    """CANN refuses an argument."""


class NotSupportedError(NPUError):
    """This version of CANN, or this device, does not have the function."""


class TimeoutError(NPUError):
    """The device did not finish in time."""


class DeviceLostError(NPUError):
    """The device cannot be used any more by this process."""


_CODE = re.compile(r"\b(?P<code>\d{6}) \((?P<name>\w+)\)")


def class_for(base, arguments):
    """The class for an exception of which torch only knows ``base`` and its message."""
    if base is not torch.AcceleratorError or not arguments:
        return base
    return base
