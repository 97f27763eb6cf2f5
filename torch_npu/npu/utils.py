"""What npu programs set and ask about the device at work: synchronizations, the task queue, overflow, faults, versions.

The names of devices, streams and memory are here too, as programs look for them here.
"""

import os
import pathlib
import re
import warnings

import torch

from torch_npu import _compat, _library
from torch_npu.npu import memory as _memory
from torch_npu.npu.devices import (
    _existing_device_index,
    _get_device_index,
    _lazy_init,
    current_device,
    device,
    device_of,
    get_soc_version,
    is_bf16_supported,
    set_device,
    synchronize,
)
from torch_npu.npu.memory import ipc_collect
from torch_npu.npu.npu_config import finalize_dump, init_dump, set_dump
from torch_npu.npu.streams import StreamContext, current_stream, default_stream, set_stream, stream

#: What this module adds to ``torch.npu``.
_OWN = [
    "check_uce_in_memory",
    "clear_npu_overflow_flag",
    "current_blas_handle",
    "get_npu_overflow_flag",
    "get_sync_debug_mode",
    "get_task_queue_enable",
    "set_deterministic_level",
    "set_op_timeout_ms",
    "set_sync_debug_mode",
    "set_task_queue_enable",
]

__all__ = [
    *_OWN,
    "StreamContext",
    "current_device",
    "current_stream",
    "default_stream",
    "device",
    "device_of",
    "finalize_dump",
    "get_cann_version",
    "get_soc_version",
    "init_dump",
    "ipc_collect",
    "is_bf16_supported",
    "is_force_overflow_check",
    "is_support_inf_nan",
    "npu_check_overflow",
    "set_device",
    "set_dump",
    "set_stream",
    "stream",
    "synchronize",
]


# ---- synchronizations and launches -----------------------------------------------------------------------------------

_SYNC_DEBUG_MODES = ("default", "warn", "error")


def set_sync_debug_mode(debug_mode):
    """What happens where an operation makes the program wait for the device, such as ``Tensor.item()``, ``nonzero`` or a copy to the CPU:
    nothing (0 or ``"default"``), a warning (1 or ``"warn"``) or RuntimeError (2 or ``"error"``). ``torch.npu.synchronize()`` and
    ``Event.synchronize()`` are always allowed."""
    if isinstance(debug_mode, str):
        if debug_mode not in _SYNC_DEBUG_MODES:
            raise RuntimeError(f"debug_mode has to be 'default', 'warn' or 'error', got {debug_mode!r}")
        debug_mode = _SYNC_DEBUG_MODES.index(debug_mode)
    if debug_mode not in (0, 1, 2):
        raise RuntimeError(f"debug_mode has to be 0, 1 or 2, got {debug_mode!r}")
    _library.bindings().set_sync_debug_mode(int(debug_mode))


def get_sync_debug_mode():
    """What :func:`set_sync_debug_mode` set, as a number."""
    return _library.bindings().sync_debug_mode()


def get_task_queue_enable():
    """How operators are given to the device: by the calling thread (0) or by the queue's (1, 2), as ``TASK_QUEUE_ENABLE`` says."""
    return _library.bindings().task_queue()


def set_task_queue_enable(mode):
    """What ``TASK_QUEUE_ENABLE`` says, from now on. ``ASCEND_LAUNCH_BLOCKING=1`` keeps 0, with a warning."""
    _library.bindings().set_task_queue(mode)
    if get_task_queue_enable() != mode:
        warnings.warn(f"torch.npu.set_task_queue_enable({mode}) has no effect: ASCEND_LAUNCH_BLOCKING=1 is set", stacklevel=2)


def set_op_timeout_ms(timeout):
    """Operators that run longer than ``timeout`` milliseconds fail. CANN rounds up to what the device can measure. The software device
    keeps the number and lets kernels run to their end."""
    if isinstance(timeout, bool) or not isinstance(timeout, int):
        raise TypeError(f"timeout has to be an int, got {type(timeout).__name__}")
    if timeout <= 0:
        raise ValueError(f"timeout has to be at least 1 millisecond, got {timeout}")
    _lazy_init()
    _library.bindings().set_operator_timeout(timeout)


# Level: CANN's options ACL_OPT_DETERMINISTIC and ACL_OPT_STRONG_CONSISTENCY.
_DETERMINISM = {0: (0, 0), 1: (1, 0), 2: (1, 1), 3: (3, 1)}


def set_deterministic_level(level):
    """How alike results have to be, for operators from now on: 0 any order of sums, 1 the same in every run, 2 also in every place of a
    tensor, 3 also in every size of batch (CANN 9.2.0). Turns ``torch.use_deterministic_algorithms`` on from 1, and off at 0."""
    if isinstance(level, bool) or level not in _DETERMINISM:
        raise ValueError(f"level has to be 0, 1, 2 or 3, got {level!r}")
    _lazy_init()
    _library.bindings().set_determinism(*_DETERMINISM[level])
    if torch.are_deterministic_algorithms_enabled() != (level > 0):
        torch.use_deterministic_algorithms(level > 0)


def current_blas_handle():
    """``None``, with a warning: npus have no BLAS handle."""
    warnings.warn("An npu has no BLAS handle", stacklevel=2)


# ---- overflow ----------------------------------------------------------------------------------------------------------


def is_support_inf_nan():
    """Whether numbers that are too large become infinities on the current device, as on the CPU; else they become the largest number
    and set the overflow flag."""
    _lazy_init()
    return _library.bindings().has_infinities()


def is_force_overflow_check():
    """``False``: the overflow flag is looked at only where there are no infinities."""
    return False


def get_npu_overflow_flag():
    """Whether a number was too large since :func:`clear_npu_overflow_flag`. Only for devices without infinities; else RuntimeError."""
    if is_support_inf_nan():
        raise RuntimeError("get_npu_overflow_flag: this device has infinities and no overflow flag; use torch.npu.utils.npu_check_overflow(grad)")
    return _library.bindings().overflow_flag()


def clear_npu_overflow_flag():
    """Clears the flag of :func:`get_npu_overflow_flag`. Only warns where there are infinities."""
    if is_support_inf_nan():
        warnings.warn("clear_npu_overflow_flag: this device has infinities and no overflow flag; use torch.npu.utils.npu_check_overflow(grad)",
                      stacklevel=2)
        return
    _library.bindings().clear_overflow_flag()


def npu_check_overflow(grad):
    """Whether ``grad`` (a tensor or a float) has an infinity or NaN; without infinities, also whether the overflow flag is set, which is
    then cleared."""
    if isinstance(grad, torch.Tensor):
        overflow = not bool(torch.isfinite(grad).all())
    elif isinstance(grad, float):
        overflow = grad != grad or grad in (float("inf"), float("-inf"))
    else:
        raise TypeError(f"grad has to be a tensor or a float, got {type(grad).__name__}")
    if is_support_inf_nan():
        return overflow
    flag = _library.bindings().overflow_flag()
    if flag:
        _library.bindings().clear_overflow_flag()
    return overflow or flag


# ---- faults ------------------------------------------------------------------------------------------------------------


def _uce_kind(faults, segments):
    """0 without faults, else the worst of: 1 outside of the allocator's memory, 2 in memory kept for reuse, 3 in memory of tensors."""
    kinds = [0]
    for address, size in faults:
        kind = 1
        for segment in segments:
            for block in segment["blocks"]:
                if block["address"] < address + max(size, 1) and address < block["address"] + block["size"]:
                    kind = max(kind, 2 if block["state"] == "inactive" else 3)
        kinds.append(kind)
    return max(kinds)


def check_uce_in_memory(device_id):
    """Where memory of ``device_id`` had errors that could not be corrected: 0 nowhere, 1 outside of torch's memory, 2 in memory that is
    kept for reuse, 3 in memory of tensors."""
    _lazy_init()
    index = _existing_device_index(device_id)
    faults = _library.bindings().uncorrectable_memory(index)
    return _uce_kind(faults, [s for s in _memory.memory_snapshot() if s["device"] == index] if faults else [])


# ---- versions ----------------------------------------------------------------------------------------------------------

# By CANN's aclCANNPackageName.
_PACKAGES = ("CANN", "RUNTIME", "COMPILER", "HCCL", "TOOLKIT", "OPP", "OPP_KERNEL", "DRIVER")


def _driver_version():
    for path in ("/etc/ascend_install.info", "/usr/local/Ascend/driver/version.info"):
        text = pathlib.Path(path).read_text() if os.access(path, os.R_OK) else ""
        if path.endswith("install.info"):
            found = re.search(r"^Driver_Install_Path_Param=(.+)$", text, re.M)
            info = pathlib.Path(found.group(1).strip(), "driver", "version.info") if found else None
            text = info.read_text() if info is not None and os.access(info, os.R_OK) else ""
        if found := re.search(r"^Version=(.+)$", text, re.M):
            return found.group(1).strip()
    return ""


def get_cann_version(module="CANN"):
    """Version of CANN or a part of it: ``CANN``, ``RUNTIME``, ``COMPILER``, ``HCCL``, ``TOOLKIT``, ``OPP``, ``OPP_KERNEL``, ``DRIVER``; an empty
    string for others, and where it is not known. Starts no device."""
    if module not in _PACKAGES:
        return ""
    if module == "DRIVER":
        return _driver_version()
    version = _library.bindings().package_version(_PACKAGES.index(module))
    return version or (_library.bindings().installation()["version"] if module == "CANN" else "")


def _is_gte_cann_version(version, module="CANN"):
    """Whether :func:`get_cann_version` is ``version`` or newer."""
    return _library.bindings().is_at_least(get_cann_version(module), version)
