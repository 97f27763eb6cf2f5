"""Device memory: the caching allocator's numbers and controls. All sizes are bytes."""

import collections
import contextlib
import pickle
import sys

import torch

from torch_npu import _compat, _library
from torch_npu.npu.devices import _existing_device_index, _get_device_index, _lazy_init, is_initialized

__all__ = [
    "MemPool",
    "NPUPluggableAllocator",
    "caching_allocator_alloc",
    "caching_allocator_delete",
    "change_current_allocator",
    "empty_cache",
    "empty_virt_addr_cache",
    "get_allocator_backend",
    "get_per_process_memory_fraction",
    "host_empty_cache",
    "host_memory_stats",
    "host_memory_stats_as_nested_dict",
    "ipc_collect",
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
    "reset_accumulated_host_memory_stats",
    "reset_accumulated_memory_stats",
    "reset_max_memory_allocated",
    "reset_max_memory_cached",
    "reset_peak_host_memory_stats",
    "reset_peak_memory_stats",
    "set_per_process_memory_fraction",
    "use_mem_pool",
]


def empty_cache():
    """Gives memory that the allocator keeps for reuse back to the devices. Memory of living tensors stays."""
    if is_initialized():
        _compat.accelerator._accelerator_emptyCache()


def empty_virt_addr_cache():
    """As :func:`empty_cache`, but gives only the addresses of unused memory back, and keeps the memory for the next tensors: quicker, and
    mends fragmentation all the same. Raises RuntimeError without ``PYTORCH_NPU_ALLOC_CONF=expandable_segments:True``."""
    if is_initialized():
        _library.bindings().empty_virtual_cache()


def mem_get_info(device=None):
    """``(free, total)`` memory of ``device`` (default: the current one), all processes together."""
    _lazy_init()
    return _compat.accelerator._accelerator_getMemoryInfo(_get_device_index(device, optional=True))


def memory_stats(device=None):
    """The allocator's counters for ``device`` (default: the current one): an ordered dict with keys such as
    ``allocated_bytes.all.peak``; empty before the first use of an npu. Keys as in ``torch.accelerator.memory_stats``."""
    if not is_initialized():
        return collections.OrderedDict()
    return _compat.memory_stats(_get_device_index(device, optional=True))


def memory_stats_as_nested_dict(device=None):
    """As :func:`memory_stats`, as a dict of dicts."""
    if not is_initialized():
        return {}
    return _compat.accelerator._accelerator_getDeviceStats(_get_device_index(device, optional=True))


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
        _compat.accelerator._accelerator_resetPeakStats(_get_device_index(device, optional=True))


def reset_accumulated_memory_stats(device=None):
    """Sets the ``allocated`` and ``freed`` sums to 0."""
    if is_initialized():
        _compat.accelerator._accelerator_resetAccumulatedStats(_get_device_index(device, optional=True))


def host_memory_stats():
    """The counters of pinned host memory: an ordered dict, keys as in ``torch.cuda.host_memory_stats`` (``active_bytes.peak``: in use;
    ``allocated_bytes``: with what is kept for reuse; ``host_alloc_time.total``: microseconds in CANN); empty before the first use of an npu."""
    flat = {}
    for key, value in host_memory_stats_as_nested_dict().items():
        flat.update({f"{key}.{inner}": v for inner, v in value.items()} if isinstance(value, dict) else {key: value})
    return collections.OrderedDict(sorted(flat.items()))


def host_memory_stats_as_nested_dict():
    """As :func:`host_memory_stats`, as a dict of dicts."""
    return _library.bindings().host_memory_stats() if is_initialized() else {}


def reset_peak_host_memory_stats():
    """Starts the ``peak`` counters of :func:`host_memory_stats` anew from the present values."""
    if is_initialized():
        _library.bindings().reset_peak_host_memory_stats()


def reset_accumulated_host_memory_stats():
    """Sets the ``allocated`` and ``freed`` sums of :func:`host_memory_stats` to 0."""
    if is_initialized():
        _library.bindings().reset_accumulated_host_memory_stats()


def host_empty_cache():
    """Gives pinned host memory that is kept for reuse back. Memory of living tensors stays."""
    if is_initialized():
        _library.bindings().host_empty_cache()


# The older names of the same things.
memory_cached = memory_reserved
max_memory_cached = max_memory_reserved
reset_max_memory_allocated = reset_peak_memory_stats
reset_max_memory_cached = reset_peak_memory_stats


def get_per_process_memory_fraction(device=None):
    """The share of the memory of ``device`` (default: the current one) that this process may reserve, 0 to 1."""
    _lazy_init()
    return _library.bindings().memory_fraction(_get_device_index(device, optional=True))


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


def memory_snapshot(mempool_id=None):
    """Every piece of memory that the allocator holds, on all devices, or of one :class:`MemPool` by its ``id``: a list of segments,
    each a dict with ``device``, ``address``, ``total_size``, ``stream`` and its ``blocks``, which have ``address``, ``size`` and ``state``."""
    return _library.bindings().memory_snapshot(tuple(mempool_id or (0, 0)))["segments"] if is_initialized() else []


def _record_memory_history(enabled="all", context="all", stacks="all", max_entries=sys.maxsize, device=None, clear_history=False):
    """Records what happens to device memory and where from, for :func:`_snapshot`; arguments as in ``torch.cuda.memory``.

    Args:
        enabled: ``"all"`` keeps the last ``max_entries`` allocations and frees, ``"state"`` only where living memory comes from,
            ``None`` stops.
        context: which events carry stacks: ``None``, ``"state"``, ``"alloc"`` or ``"all"``.
        stacks: ``"python"`` or ``"all"``, which is C++ too.
        clear_history: whether what was recorded so far is dropped.
    """
    if enabled not in (None, "state", "all"):
        raise ValueError(f"enabled has to be None, 'state' or 'all', got {enabled!r}")
    if context not in (None, "state", "alloc", "all"):
        raise ValueError(f"context has to be None, 'state', 'alloc' or 'all', got {context!r}")
    if stacks not in ("python", "all"):
        raise ValueError(f"stacks has to be 'python' or 'all', got {stacks!r}")
    when = (None, "state", "alloc", "all").index(context)
    entries = 1 if enabled == "state" else min(max_entries, 2**63 - 1)
    _library.bindings().record_memory_history(enabled is not None, when, stacks == "all", entries, clear_history)


def _snapshot(device=None, augment_with_fx_traces=False):
    """``segments`` (see :func:`memory_snapshot`, with stacks as ``frames``), ``device_traces``, a list of recorded events for each device, and
    ``allocator_settings``: what https://docs.pytorch.org/memory_viz and ``torch.cuda._memory_viz`` read. ``device`` is ignored, as in
    ``torch.cuda.memory``."""
    bindings = _library.bindings()
    taken = bindings.memory_snapshot((0, 0)) if is_initialized() else {"segments": [], "device_traces": []}
    taken["allocator_settings"] = {"PYTORCH_NPU_ALLOC_CONF": bindings.allocator_settings()}
    return taken


def _dump_snapshot(filename="dump_snapshot.pickle", augment_with_fx_traces=False):
    """Writes :func:`_snapshot` to a file for torch's memory viewer."""
    with open(filename, "wb") as file:
        pickle.dump(_snapshot(), file)


def _attach_out_of_memory_observer(observer):
    """``observer(device, bytes_asked_for, device_total, device_free)`` is called before each OutOfMemoryError is raised, for
    example to call :func:`_dump_snapshot`."""
    _library.bindings().attach_out_of_memory_observer(observer)


class MemPool:
    """Memory of its own for what is allocated under :func:`use_mem_pool`: nothing else is put there, and it goes back to the
    device as a whole when the pool and the tensors in it are gone and :func:`empty_cache` is called.

    Args:
        allocator: where the pool's segments come from instead of the caching allocator's own: what
            :meth:`NPUPluggableAllocator.allocator` answers.
        use_on_oom (bool): whether free memory of the pool also serves allocations from outside of it that would fail otherwise.
        no_split (bool): whether each tensor gets a segment of its own.
    """

    def __init__(self, allocator=None, use_on_oom=False, no_split=False):
        if allocator is not None and not isinstance(allocator, _AllocatorFunctions):
            raise TypeError("allocator has to be the result of NPUPluggableAllocator.allocator(), "
                            f"got {type(allocator).__name__}")
        _lazy_init()
        self._id = _library.bindings().new_pool_id(True)
        self._options = (allocator, bool(use_on_oom), bool(no_split))
        self._devices = set()
        self._retain(_get_device_index(None, optional=True))

    def _retain(self, device):
        if device not in self._devices:
            _library.bindings().retain_pool(device, self._id, *self._options)
            self._devices.add(device)

    @property
    def id(self):
        """A pair of integers, for :func:`memory_snapshot`."""
        return self._id

    def use_count(self):
        """How many users the pool has: itself, once per device it was used on, and every :func:`use_mem_pool` under way."""
        return sum(_library.bindings().pool_use_count(device, self._id) for device in self._devices)

    def snapshot(self, include_traces=True):
        """:func:`memory_snapshot` of this pool. ``include_traces`` is taken as by ``torch.cuda.MemPool``; segments carry no traces."""
        return memory_snapshot(self._id)

    def __del__(self):
        if getattr(self, "_devices", None) and _library is not None and _library.loaded():
            for device in self._devices:
                _library.bindings().release_pool(device, self._id)


@contextlib.contextmanager
def use_mem_pool(pool, device=None):
    """What the calling thread allocates on ``device`` (default: the current one) in the block comes from ``pool``."""
    _lazy_init()
    bindings = _library.bindings()
    index = _get_device_index(device, optional=True)
    pool._retain(index)
    bindings.begin_allocate_to_pool(index, pool.id)
    try:
        yield
    finally:
        bindings.end_allocate_to_pool(index, pool.id)
        bindings.release_pool(index, pool.id)


class _AllocatorFunctions(tuple):
    """Path of a library and the names of its two functions."""


class NPUPluggableAllocator:
    """An allocator in a shared library, for :func:`change_current_allocator` or a :class:`MemPool`.

    Args:
        path_to_so_file (str): the library.
        alloc_fn_name (str): its ``extern "C" void* f(ssize_t size, int device, aclrtStream stream)``.
        free_fn_name (str): its ``extern "C" void f(void* address, ssize_t size, int device, aclrtStream stream)``.
    """

    def __init__(self, path_to_so_file, alloc_fn_name, free_fn_name):
        self._functions = _AllocatorFunctions((str(path_to_so_file), alloc_fn_name, free_fn_name))

    def allocator(self):
        """What :class:`MemPool` takes as its ``allocator``."""
        return self._functions


def change_current_allocator(allocator):
    """From now on npu memory comes from ``allocator`` (:class:`NPUPluggableAllocator`) instead of the caching allocator. Raises if
    npu memory has been used already."""
    _library.bindings().change_allocator(allocator.allocator())


def get_allocator_backend():
    """``"native"``: the caching allocator; ``"pluggable"`` after :func:`change_current_allocator`."""
    return "pluggable" if _library.loaded() and _library.bindings().allocator_is_pluggable() else "native"


def ipc_collect():
    """Frees memory that was shared with other processes and that they have let go of. Sharing more does it too."""
    if is_initialized():
        _library.bindings().collect_shared_storages()


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
