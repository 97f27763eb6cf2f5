"""Device memory: the caching allocator's numbers and controls. All sizes are bytes."""

import collections

import torch

from torch_npu import _library
from torch_npu.npu.devices import _existing_device_index, _get_device_index, _lazy_init, is_initialized

__all__ = [
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "empty_cache",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_snapshot",
    "memory_stats",
    "memory_stats_as_nested_dict",
    "memory_summary",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
]


def empty_cache():
    """Gives memory that the allocator keeps for reuse back to the devices. Memory of living tensors stays."""
    if is_initialized():
        torch._C._accelerator_emptyCache()


def mem_get_info(device=None):
    """``(free, total)`` memory of ``device`` (default: the current one), all processes together."""
    _lazy_init()
    return torch._C._accelerator_getMemoryInfo(_get_device_index(device, optional=True))


def memory_stats(device=None):
    """The allocator's counters for ``device`` (default: the current one): an ordered dict with keys such as
    ``allocated_bytes.all.peak``; empty before the first use of an npu. Keys as in ``torch.accelerator.memory_stats``."""
    if not is_initialized():
        return collections.OrderedDict()
    return torch.accelerator.memory_stats(_get_device_index(device, optional=True))


def memory_stats_as_nested_dict(device=None):
    """As :func:`memory_stats`, as a dict of dicts."""
    if not is_initialized():
        return {}
    return torch._C._accelerator_getDeviceStats(_get_device_index(device, optional=True))


def memory_allocated(device=None):
    """Memory that living tensors occupy on ``device`` (default: the current one)."""
    return memory_stats(device).get("allocated_bytes.all.current", 0)


def max_memory_allocated(device=None):
    """The most that :func:`memory_allocated` was since the start or the last :func:`reset_peak_memory_stats`."""
    return memory_stats(device).get("allocated_bytes.all.peak", 0)


def memory_reserved(device=None):
    """Memory that the allocator has taken from ``device`` (default: the current one), for tensors and for reuse."""
    return memory_stats(device).get("reserved_bytes.all.current", 0)


def max_memory_reserved(device=None):
    """The most that :func:`memory_reserved` was since the start or the last :func:`reset_peak_memory_stats`."""
    return memory_stats(device).get("reserved_bytes.all.peak", 0)


def reset_peak_memory_stats(device=None):
    """Starts the ``peak`` counters anew from the present values."""
    if is_initialized():
        torch._C._accelerator_resetPeakStats(_get_device_index(device, optional=True))


def reset_accumulated_memory_stats(device=None):
    """Sets the ``allocated`` and ``freed`` sums to 0."""
    if is_initialized():
        torch._C._accelerator_resetAccumulatedStats(_get_device_index(device, optional=True))


# The older names of the same things.
memory_cached = memory_reserved
max_memory_cached = max_memory_reserved
reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


def set_per_process_memory_fraction(fraction, device=None):
    """Limits this process to ``fraction`` (0 to 1) of the memory of ``device`` (default: the current one); more raises
    torch.OutOfMemoryError."""
    if not isinstance(fraction, (int, float)) or isinstance(fraction, bool):
        raise TypeError(f"fraction has to be a number from 0 to 1, got {type(fraction).__name__}")
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction has to be from 0 to 1, got {fraction}")
    _lazy_init()
    _library.bindings().set_memory_fraction(float(fraction), _existing_device_index(device))


def caching_allocator_alloc(size, device=None, stream=None):
    """Allocates ``size`` bytes on ``device`` for use on ``stream`` (default: the current ones) and returns the address, for
    code outside torch. Free it with :func:`caching_allocator_delete`."""
    _lazy_init()
    index = _get_device_index(device, optional=True)
    if stream is not None and not isinstance(stream, torch.Stream):
        raise TypeError(f"stream has to be a torch.npu.Stream, got {type(stream).__name__}")
    with torch.npu.device(index), torch.npu.stream(stream):
        return _library.bindings().raw_alloc(size)


def caching_allocator_delete(mem_ptr):
    """Frees memory from :func:`caching_allocator_alloc`."""
    _library.bindings().raw_delete(mem_ptr)


def memory_snapshot():
    """Every piece of memory that the allocator holds, on all devices: a list of segments, each a dict with ``device``, ``address``,
    ``total_size``, ``stream`` and its ``blocks``, which have ``address``, ``size`` and ``state``."""
    return _library.bindings().memory_snapshot() if is_initialized() else []


def _set_allocator_settings(settings):
    """Changes allocator settings at run time, ``key:value,key:value`` as in PYTORCH_NPU_ALLOC_CONF."""
    _library.bindings().set_allocator_settings(settings)


def _human(n, unit=1024):
    for name in ("B", "KiB", "MiB", "GiB"):
        if abs(n) < 8 * unit or name == "GiB":
            return f"{n} {name}"
        n //= unit


_SUMMARY_ROWS = [
    ("Allocated memory", "allocated_bytes", True),
    ("Active memory", "active_bytes", True),
    ("Requested memory", "requested_bytes", True),
    ("Reserved memory", "reserved_bytes", True),
    ("Non-releasable memory", "inactive_split_bytes", True),
    ("Allocations", "allocation", False),
    ("Active allocations", "active", False),
    ("Segments", "segment", False),
    ("Non-releasable allocations", "inactive_split", False),
]


def memory_summary(device=None, abbreviated=False):
    """The counters of :func:`memory_stats` as a printable table. ``abbreviated`` leaves the split by small and large pool out."""
    index = _get_device_index(device, optional=True)
    stats = memory_stats(index)
    line = "|" + "-" * 91 + "|"
    text = [line, f"| {f'npu:{index} memory':<34}|" + "".join(f"{c:>12} |" for c in ("now", "peak", "allocated", "freed")), line]
    for title, key, is_bytes in _SUMMARY_ROWS:
        for pool, name in [("all", title)] + ([] if abbreviated else [("large_pool", "  large pool"), ("small_pool", "  small pool")]):
            values = [stats.get(f"{key}.{pool}.{metric}", 0) for metric in ("current", "peak", "allocated", "freed")]
            text.append(f"| {name:<34}|" + "".join(f"{_human(v) if is_bytes else v:>12} |" for v in values))
    text += [line, f"| out of memory: {stats.get('num_ooms', 0)}; allocations tried again after giving cached memory back: "
                   f"{stats.get('num_alloc_retries', 0)}", line]
    return "\n".join(text)
