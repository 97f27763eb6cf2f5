"""Devices: how many, which one is current, what they are called and what they have."""

import csv
import os
import pathlib
import re
import warnings

import torch

from torch_npu import _compat, _library
from torch_npu.errors import NPUError, NPUNotSupportedError, NPUUnavailableError

__all__ = [
    "can_device_access_peer",
    "current_device",
    "device",
    "device_count",
    "device_of",
    "executor_stats",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_soc_version",
    "init",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "restart_device",
    "set_device",
    "stop_device",
    "synchronize",
    "utilization",
]


def device_count():
    """Number of npu devices; 0 if none can be used. Touches no device, so a later ``fork`` is fine."""
    return _library.bindings().device_count() if _library.loaded() else 0


def is_available():
    """Whether an npu can be used. Never raises; ``torch_npu.unavailable_reason()`` says why not."""
    return device_count() > 0


def _unavailable_reason():
    return (_library.bindings().unavailable_reason() or None) if _library.loaded() else _library.reason()


def is_initialized():
    """Whether this process has used an npu."""
    return _library.loaded() and _library.bindings().is_initialized()


def init():
    """Starts the runtime. Not needed: the first use of an npu does it. Raises one sentence if no npu can be used."""
    _lazy_init()


def _is_in_bad_fork():
    return _library.loaded() and _library.bindings().is_in_bad_fork()


def _lazy_init():
    """Called by torch before the first tensor, and by everything here that needs the runtime."""
    bindings = _library.bindings()
    if not bindings.is_initialized():
        bindings.init()  # raises one sentence if no npu can be used, or after a fork


def _lazy_call(cb):
    """Runs ``cb`` now: nothing here has to wait for the runtime to start."""
    cb()


def _get_device_index(device, optional=False):
    """The index that ``device`` (int, str, torch.device) names. ``None``, and ``npu`` without an index, are the current
    device; ``None`` only if ``optional``."""
    if isinstance(device, int) and not isinstance(device, bool):
        return device
    if device is None and not optional:
        raise ValueError("Expected an npu device (an index, 'npu:<index>' or torch.device), got None")
    if device is not None:
        device = torch.device(device)
        if device.type != "npu":
            raise ValueError(f"Expected an npu device, got {device}")
        if device.index is not None:
            return device.index
    return current_device()


def _existing_device_index(device):
    """As :func:`_get_device_index`, but raises if there is no such device. Starts nothing."""
    named = device is not None and (isinstance(device, int) or torch.device(device).index is not None)
    if named or is_initialized():
        index = _get_device_index(device, optional=True)
    else:
        index = 0  # what current_device() would answer, without starting the runtime
    count = device_count()
    if count == 0:
        raise NPUUnavailableError(f"No npu can be used: {_unavailable_reason()}")
    if not 0 <= index < count:
        raise ValueError(f"npu:{index} does not exist: there {'is 1 npu' if count == 1 else f'are {count} npus'}")
    return index


def current_device():
    """Index of the calling thread's current device."""
    _lazy_init()
    return _compat.accelerator._accelerator_getDeviceIndex()


def set_device(device):
    """Makes ``device`` (an index, a string or a torch.device) current in the calling thread. A negative index does nothing."""
    _lazy_init()
    index = _get_device_index(device)
    if index >= 0:
        _compat.accelerator._accelerator_setDeviceIndex(index)


# Looked up once: synchronize() is called often, and mostly has nothing to wait for.
_synchronize = _library.bindings().synchronize if _library.loaded() else lambda index: _library.bindings()


def synchronize(device=None):
    """Waits until ``device`` (default: the current one) has finished everything it was given. Errors of earlier operators
    are raised here, with the name of the operator that caused them."""
    _synchronize(-1 if device is None else _get_device_index(device))


class device:
    """Context manager that makes ``device`` current, and the previous one again at the end.

    Args:
        device: an index, a string or a torch.device; ``None`` or a negative index changes nothing.
    """

    def __init__(self, device):
        self.idx = -1 if device is None else _get_device_index(device)
        self.prev_idx = -1

    def __enter__(self):
        if self.idx >= 0:
            _lazy_init()
            self.prev_idx = _compat.accelerator._accelerator_exchangeDevice(self.idx)

    def __exit__(self, *exception):
        if self.prev_idx >= 0:
            _compat.accelerator._accelerator_maybeExchangeDevice(self.prev_idx)
        return False


class device_of(device):
    """Context manager that makes the device of a tensor or storage current; changes nothing for one that is not on an npu."""

    def __init__(self, obj):
        super().__init__(obj.device.index if obj.device.type == "npu" else None)


def get_device_properties(device_name=None, *, device=None):
    """What a device is, named by either parameter (an index, a string or a torch.device; default: the current device): ``name``,
    ``soc_name``, ``total_memory`` and ``L2_cache_size`` (bytes), ``cube_core_num``, ``vector_core_num``, ``uuid`` and ``supports_bfloat16``;
    0 or empty where CANN does not tell. Starts nothing."""
    return _library.bindings().device_properties(_existing_device_index(device if device_name is None else device_name))


def get_device_name(device_name=None, *, device=None):
    """Name of a device, which either parameter stands for: ``Ascend910B2``, of the software device ``Ascend910B2 (softcann)``. Touches no
    device."""
    return get_device_properties(device_name, device=device).name


def get_device_capability(device=None):
    """``None``: npus have names, not version numbers. See :func:`get_device_name`; for the dtypes a device takes,
    ``torch.accelerator.get_device_capability()``. For programs that need numbers, ``TORCH_NPU_DEVICE_CAPABILITY=8.0`` makes it
    ``(8, 0)``, which says nothing about the device."""
    _existing_device_index(device)
    wanted = os.environ.get("TORCH_NPU_DEVICE_CAPABILITY")
    if not wanted:
        return None
    numbers = re.fullmatch(r"(\d+)\.(\d+)", wanted)
    if numbers is None:
        warnings.warn(f"TORCH_NPU_DEVICE_CAPABILITY={wanted} is not of the form 8.0 and is ignored", stacklevel=2)
        return None
    return int(numbers[1]), int(numbers[2])


def get_soc_version():
    """The chip's number in the order in which its vendor counts them, for example 221 for an Ascend910B2; -1 for a chip that is not on
    the list. Touches no device."""
    name = get_device_properties(0).soc_name
    table = pathlib.Path(_library.bindings().__file__).with_name("soc.csv")
    numbers = {row["name"]: int(row["order"]) for row in csv.DictReader(table.read_text().splitlines())}
    family = next((n for n in numbers if n.endswith("*") and name.startswith(n[:-1])), None)
    return numbers.get(name, numbers.get(family, -1))


def utilization(device=None):
    """Percent of the cores of ``device`` (default: the current one) that are in use. On the software device 100 while it has work."""
    _lazy_init()
    return _library.bindings().utilization(_existing_device_index(device))


def stop_device(device_id):
    """Drops what ``device_id`` has been given and has not done; the values that were to be computed are undefined. Work for it raises
    RuntimeError until :func:`restart_device`. Returns 0, or 1 with a warning where CANN could not do it."""
    _lazy_init()
    index = _existing_device_index(device_id)
    try:
        _library.bindings().stop_device(index)
    except NPUNotSupportedError:
        raise
    except NPUError as e:
        warnings.warn(f"npu:{index} could not be stopped: {e}", stacklevel=2)
        return 1
    return 0


def restart_device(device_id, rebuild_all_resources=False, disable_tensor_unsafe_check=False):
    """Makes ``device_id`` usable after :func:`stop_device`. Its streams and its memory have stayed as they were.

    Args:
        rebuild_all_resources (bool): ``True``, new streams and tensors marked as unsafe, raises NotImplementedError.
        disable_tensor_unsafe_check (bool): has a meaning only with it.
    """
    if rebuild_all_resources:
        raise NotImplementedError("restart_device(rebuild_all_resources=True) is not there: streams are kept, and tensors are not marked. "
                                  "Leave it out, and load the tensors again from a checkpoint")
    _lazy_init()
    _library.bindings().restart_device(_existing_device_index(device_id))


def can_device_access_peer(device_id, peer_device_id):
    """Whether the one device can read the memory of the other."""
    return _library.bindings().can_device_access_peer(_existing_device_index(device_id), _existing_device_index(peer_device_id))


def is_bf16_supported(including_emulation=False):
    """Whether the current device computes with bfloat16. All npus but the Ascend910A/ProA and Ascend310 series do."""
    return get_device_properties().supports_bfloat16


def _exchange_device(index):
    return _compat.accelerator._accelerator_exchangeDevice(index) if index >= 0 else -1


def _maybe_exchange_device(index):
    return _compat.accelerator._accelerator_maybeExchangeDevice(index) if index >= 0 else -1


def executor_stats(device=None):
    """How often the launcher of ``device`` (default: the current one) could reuse an aclnn executor: ``hits`` are calls whose
    operator, shapes, dtypes and scalars were those of an earlier one, ``misses`` those that went through CANN's first phase,
    ``entries`` the executors that are kept. Waits for nothing; :func:`synchronize` first for numbers up to date."""
    _lazy_init()
    return _library.bindings().executor_stats(_get_device_index(device, optional=True))
