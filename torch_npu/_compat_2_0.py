"""What torch 2.0 lacks besides: it offers random numbers, mixed precision and pinning to devices of a fixed list. Patches for _patches.py."""

import contextlib
import functools
import threading
import warnings

import torch


def _bindings():
    from torch_npu import _library

    return _library.bindings()


def _autocast(assign):
    """Before 2.1 torch.autocast takes devices of a fixed list."""
    cls = torch.amp.autocast_mode.autocast
    init, enter, leave = cls.__init__, cls.__enter__, cls.__exit__

    # wraps(): torch.jit.script compiles the originals, which it finds by these.
    @functools.wraps(init)
    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if device_type != "npu":
            init(self, device_type, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)
            return
        self.device = device_type
        self.fast_dtype = torch.npu.get_autocast_dtype() if dtype is None else dtype
        self._cache_enabled = torch.is_autocast_cache_enabled() if cache_enabled is None else cache_enabled
        supported = torch.npu.get_amp_supported_dtype()
        if enabled and self.fast_dtype not in supported:
            warnings.warn(f"torch.autocast('npu') takes {' and '.join(map(str, supported))}, got {self.fast_dtype}. Disabling autocast.")
            enabled = False
        self._enabled = enabled

    @functools.wraps(enter)
    def __enter__(self):
        if self.device != "npu":
            return enter(self)
        self._before = torch.npu.is_autocast_enabled(), torch.npu.get_autocast_dtype(), torch.is_autocast_cache_enabled()
        torch.npu.set_autocast_enabled(self._enabled)
        if self._enabled:
            torch.npu.set_autocast_dtype(self.fast_dtype)
        torch.set_autocast_cache_enabled(self._cache_enabled)
        torch.autocast_increment_nesting()
        return self

    @functools.wraps(leave)
    def __exit__(self, exc_type, exc_val, exc_tb):
        if self.device != "npu":
            return leave(self, exc_type, exc_val, exc_tb)
        if torch.autocast_decrement_nesting() == 0:
            torch.clear_autocast_cache()
        enabled, dtype, cache_enabled = self._before
        if not enabled:  # the outermost block: what it cast may change now
            _bindings().clear_autocast_cache()
        torch.npu.set_autocast_enabled(enabled)
        torch.npu.set_autocast_dtype(dtype)
        torch.set_autocast_cache_enabled(cache_enabled)
        return False

    for method in (__init__, __enter__, __exit__):
        assign(cls, method.__name__, method)


def _seeds(assign):
    """Before 2.1 torch.manual_seed() and seed() know the generators of CUDA and MPS."""
    manual_seed, seed = torch.random.manual_seed, torch.random.seed

    @functools.wraps(manual_seed)
    def manual_seed_of_all(seed):
        torch.npu.manual_seed_all(seed)
        return manual_seed(seed)

    @functools.wraps(seed)
    def seed_of_all():
        number = seed()
        torch.npu.manual_seed_all(number)
        return number

    for owner in (torch, torch.random):
        assign(owner, "manual_seed", manual_seed_of_all)
        assign(owner, "seed", seed_of_all)


def _fork_rng(assign):
    """Before 2.1 torch.random.fork_rng() has no device_type."""
    fork_rng = torch.random.fork_rng

    @functools.wraps(fork_rng)
    def fork_rng_of(devices=None, enabled=True, _caller="fork_rng", _devices_kw="devices", device_type="cuda"):
        if device_type != "npu" or not enabled:
            return fork_rng(devices, enabled, _caller, _devices_kw)
        return _npus_forked(range(torch.npu.device_count()) if devices is None else list(devices))

    @contextlib.contextmanager
    def _npus_forked(devices):
        states = [torch.npu.get_rng_state(device) for device in devices]
        try:
            with fork_rng([]):
                yield
        finally:
            for device, state in zip(devices, states):
                torch.npu.set_rng_state(state, device)

    assign(torch.random, "fork_rng", fork_rng_of)


class _GeneratorType(type):
    def __instancecheck__(cls, instance):
        return isinstance(instance, torch._C.Generator)


class _Generator(metaclass=_GeneratorType):
    """torch.Generator, which also makes those of npus."""

    def __new__(cls, device="cpu"):
        device = torch.device(device)
        if device.type != "npu":
            return torch._C.Generator(device)
        return _bindings().new_generator(-1 if device.index is None else device.index)


def _generators(assign):
    """Before 2.1 torch.Generator() refuses devices of others."""
    assign(torch, "Generator", _Generator)


class _Repeatable:
    """A function whose later calls have the random numbers and the mixed precision of the first one."""

    def __init__(self, function, with_random_numbers):
        self._function = function
        self._with_random_numbers = with_random_numbers
        self._of_first = None

    def __call__(self, *args, **kwargs):
        if self._of_first is None:
            states = torch.npu.get_rng_state_all() if self._with_random_numbers else []
            self._of_first = states, {"enabled": torch.npu.is_autocast_enabled(), "dtype": torch.npu.get_autocast_dtype(),
                                      "cache_enabled": torch.is_autocast_cache_enabled()}
            return self._function(*args, **kwargs)
        states, options = self._of_first
        before = torch.npu.get_rng_state_all() if states else []
        torch.npu.set_rng_state_all(states)
        try:
            with torch.autocast("npu", **options):
                return self._function(*args, **kwargs)
        finally:
            torch.npu.set_rng_state_all(before)


def _checkpoint(assign):
    """Before 2.1 torch.utils.checkpoint repeats a function with the random numbers and the mixed precision of CUDA and the CPU only."""
    import torch.utils.checkpoint

    checkpoint = torch.utils.checkpoint.checkpoint

    @functools.wraps(checkpoint)
    def checkpoint_on_npu(function, *args, **kwargs):
        if torch.npu.is_available():
            function = _Repeatable(function, kwargs.get("preserve_rng_state", True))
        return checkpoint(function, *args, **kwargs)

    assign(torch.utils.checkpoint, "checkpoint", checkpoint_on_npu)


def _pin_in_a_thread(assign):
    """Before 2.1 a DataLoader with workers asks CUDA which device is current, whichever device it pins for."""
    from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

    start, current_device = _MultiProcessingDataLoaderIter.__init__, torch.cuda.current_device
    starting = threading.local()

    def __init__(self, loader):
        starting.for_npu = loader.pin_memory_device == "npu" or not torch.cuda.is_available()
        try:
            start(self, loader)
        finally:
            starting.for_npu = False

    @functools.wraps(current_device)
    def current_device_of_loader():
        return torch.npu.current_device() if getattr(starting, "for_npu", False) else current_device()

    assign(_MultiProcessingDataLoaderIter, "__init__", __init__)
    assign(torch.cuda, "current_device", current_device_of_loader)


def _untyped(storage):
    return storage._untyped_storage if isinstance(storage, torch.TypedStorage) else storage


def _is_npu_storage(value):
    value = _untyped(value)
    return isinstance(value, torch.UntypedStorage) and value.device.type == "npu"


def _storages(assign):
    """Before 2.1 torch's functions take storages of a fixed list of devices."""
    cls = torch.UntypedStorage
    clone, copy_, resize_, set_ = cls.clone, cls.copy_, cls.resize_, torch.Tensor.set_

    def bytes_of(storage):
        return _bindings().bytes_of_storage(_untyped(storage))

    @functools.wraps(clone)
    def clone_on_npu(self):
        return bytes_of(self).clone().untyped_storage() if self.device.type == "npu" else clone(self)

    @functools.wraps(copy_)
    def copy_with_npu(self, source, non_blocking=None):
        if self.device.type != "npu" and not _is_npu_storage(source):
            return copy_(self, source, non_blocking)
        if self.nbytes() != source.nbytes():
            raise RuntimeError(f"UntypedStorage.copy_: size does not match, self was {self.nbytes()} bytes but source was {source.nbytes()} bytes")
        bytes_of(self).copy_(bytes_of(source), bool(non_blocking))
        return self

    @functools.wraps(resize_)
    def resize_on_npu(self, size):
        if self.device.type != "npu":
            return resize_(self, size)
        _bindings().resize_storage(self, size)
        return self

    @functools.wraps(set_)
    def set_to_npu(self, *args, **kwargs):
        if not _is_npu_storage(args[0] if args else kwargs.get("source")):
            return set_(self, *args, **kwargs)
        return of_storage(self, *args, **kwargs)

    def of_storage(tensor, source, storage_offset=0, size=None, stride=None):
        if isinstance(source, torch.TypedStorage) and source.dtype != tensor.dtype:
            raise RuntimeError(f"set_: expected a storage of {tensor.dtype}, got one of {source.dtype}")
        if size is None:
            size = (_untyped(source).nbytes() // tensor.element_size(),)
        return set_(tensor, bytes_of(source), storage_offset, size, *(() if stride is None else (stride,)))

    assign(cls, "clone", clone_on_npu)
    assign(cls, "copy_", copy_with_npu)
    assign(cls, "resize_", resize_on_npu)
    assign(torch.Tensor, "set_", set_to_npu)


patches = [_autocast, _seeds, _fork_rng, _generators, _checkpoint, _pin_in_a_thread, _storages]
