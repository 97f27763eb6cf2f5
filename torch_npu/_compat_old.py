"""What torch 2.0 and 2.1 lack of what the other modules use: see _compat.py, which takes its names from here."""

import collections
import functools
import inspect
import types

import torch


def _bindings():
    from torch_npu import _library

    return _library.bindings()


def _index(device):
    from torch_npu.npu.devices import _get_device_index

    return _get_device_index(device, optional=True)


has_accelerator_error = False


class AcceleratorError(RuntimeError):
    """Base of torch_npu.NPUError. This torch's own functions raise what C++ reports as plain RuntimeError, with the same text."""


def error_of(raised, text):
    """An exception of torch_npu's for a C++ error that torch_npu's own bindings raise."""
    from torch_npu import errors

    error = getattr(errors, raised["class"])(text)
    error.code = error.error_code = raised["code"]
    error.name, error.cause, error.hint = (raised[k] for k in ("name", "cause", "hint"))
    return error


OutOfMemoryError = torch._C._OutOfMemoryError if hasattr(torch._C, "_OutOfMemoryError") else torch.cuda.OutOfMemoryError


# ---- torch._C._accelerator_*


def _set_stream(id, index):
    _side_streams.add((id, index))
    _bindings().set_current_stream(id, index)
    if (id, index) in _behind_backward:
        _behind_backward.discard((id, index))
        _behind_default(id, index)


accelerator = types.SimpleNamespace(
    _accelerator_getDeviceIndex=lambda: _bindings().current_device(),
    _accelerator_setDeviceIndex=lambda index: _bindings().set_device(index),
    _accelerator_exchangeDevice=lambda index: _bindings().exchange_device(index),
    _accelerator_maybeExchangeDevice=lambda index: _bindings().maybe_exchange_device(index),
    _accelerator_getStream=lambda index: _plain_stream(_bindings().current_stream(index), index),
    _accelerator_setStream=lambda stream: _set_stream(stream.stream_id, stream.device_index),
    _accelerator_emptyCache=lambda: _bindings().empty_cache(),
    _accelerator_getMemoryInfo=lambda index: _bindings().memory_info(index),
    _accelerator_getDeviceStats=lambda index: _bindings().device_stats(index),
    _accelerator_resetPeakStats=lambda index: _bindings().reset_peak_stats(index),
    _accelerator_resetAccumulatedStats=lambda index: _bindings().reset_accumulated_stats(index),
)


def memory_stats(index):
    """The allocator's counters as an ordered dict without nesting."""
    flat = {}

    def walk(prefix, value):
        if isinstance(value, dict):
            for key, part in value.items():
                walk(f"{prefix}.{key}" if prefix else key, part)
        else:
            flat[prefix] = value

    walk("", _bindings().device_stats(index))
    return collections.OrderedDict(sorted(flat.items()))


# ---- streams and events

DEVICE_TYPE = 20  # c10::DeviceType::PrivateUse1, for which torch 2.0 has no name in Python


def _plain_stream(stream_id, index):
    return torch.Stream(stream_id=stream_id, device_index=index, device_type=DEVICE_TYPE)


class Stream(torch.Stream):
    """torch.Stream with what it got later."""

    def __new__(cls, device=None, priority=0, **kwargs):
        if "stream_id" in kwargs:
            return super().__new__(cls, **kwargs)
        index = _index(device)
        return super().__new__(cls, stream_id=_bindings().stream_from_pool(index, priority), device_index=index,
                               device_type=DEVICE_TYPE)

    def __init__(self, *args, **kwargs):
        self._outer = []

    @property
    def native_handle(self):
        return _bindings().stream_native_handle(self.stream_id, self.device_index)

    def query(self):
        """Whether everything given to the stream so far has run."""
        return _bindings().stream_query(self.stream_id, self.device_index)

    def synchronize(self):
        """Waits until everything given to the stream so far has run."""
        _bindings().stream_synchronize(self.stream_id, self.device_index)

    def wait_event(self, event):
        """Work given to the stream from now on waits for ``event``."""
        event.wait(self)

    def wait_stream(self, stream):
        """Work given to this stream from now on waits for what ``stream`` has been given so far."""
        event = Event("npu")
        event.record(stream)
        event.wait(self)

    def __enter__(self):
        device = _bindings().current_device()
        self._outer.append((device, _bindings().current_stream(self.device_index)))
        _set_stream(self.stream_id, self.device_index)
        return self

    def __exit__(self, *exception):
        device, stream_id = self._outer.pop()
        _set_stream(stream_id, self.device_index)
        _bindings().set_device(device)

    def __eq__(self, other):
        return isinstance(other, torch.Stream) and (self.stream_id, self.device_index, self.device_type) == (
            other.stream_id, other.device_index, other.device_type)

    def __hash__(self):
        return hash((self.stream_id, self.device_index, self.device_type))


class Event:
    """torch.Event, for npus only."""

    def __new__(cls, device=None, enable_timing=False, blocking=False, interprocess=False):
        self = object.__new__(cls)
        self._event = _bindings().CompatEvent(enable_timing)
        self._device = torch.device("npu", _index(device))
        return self

    def __init__(self, *args, **kwargs):
        pass

    @property
    def device(self):
        index = self._event.device_index()
        return torch.device("npu", index) if index >= 0 else self._device

    @property
    def event_id(self):
        """Address of the C++ event; 0 before the first :meth:`record`."""
        return self._event.event_id()

    def _stream(self, stream):
        if stream is not None:
            return stream.stream_id, stream.device_index
        index = _index(None)
        return _bindings().current_stream(index), index

    def record(self, stream=None):
        """Marks what ``stream`` (default: the current one) was given so far."""
        self._event.record(*self._stream(stream))

    def wait(self, stream=None):
        """Work given to ``stream`` (default: the current one) from now on waits for the event."""
        self._event.wait(*self._stream(stream))

    def query(self):
        """Whether the last record has been reached."""
        return self._event.query()

    def synchronize(self):
        """Waits until the last record has been reached."""
        self._event.synchronize()


# ---- automatic mixed precision

AutocastBase = torch.amp.autocast_mode.autocast
_AUTOCAST_DTYPES = {5: torch.float16, 15: torch.bfloat16}  # by c10::ScalarType


def is_autocast_enabled():
    """Whether ``torch.autocast("npu")`` is on."""
    return _bindings().autocast_enabled()


def set_autocast_enabled(enabled):
    """Turns ``torch.autocast("npu")`` on or off; use the context manager instead."""
    _bindings().set_autocast_enabled(enabled)


def get_autocast_dtype():
    """The dtype of ``torch.autocast("npu")``."""
    return _AUTOCAST_DTYPES[_bindings().autocast_dtype()]


def set_autocast_dtype(dtype):
    """Sets the dtype of ``torch.autocast("npu")``; use the context manager instead."""
    _bindings().set_autocast_dtype({d: n for n, d in _AUTOCAST_DTYPES.items()}[dtype])


def _cast(value, dtype):
    if isinstance(value, torch.Tensor):
        eligible = value.is_floating_point() and value.device.type == "npu" and value.dtype is not torch.float64
        return value.to(dtype) if eligible else value
    if isinstance(value, dict):
        return {_cast(k, dtype): _cast(v, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        parts = [_cast(v, dtype) for v in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def custom_fwd(fwd=None, *, cast_inputs=None):
    """torch.amp.custom_fwd for npus: for ``forward`` of an autograd.Function."""
    if fwd is None:
        return functools.partial(custom_fwd, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx, *args, **kwargs):
        enabled = is_autocast_enabled()
        ctx._dtype = get_autocast_dtype()
        ctx._fwd_used_autocast = enabled and cast_inputs is None
        if not enabled or cast_inputs is None:
            return fwd(ctx, *args, **kwargs)
        with torch.autocast("npu", enabled=False):
            return fwd(ctx, *_cast(args, cast_inputs), **_cast(kwargs, cast_inputs))

    return forward


def custom_bwd(bwd):
    """torch.amp.custom_bwd for npus: for ``backward`` of an autograd.Function whose ``forward`` has :func:`custom_fwd`."""

    @functools.wraps(bwd)
    def backward(ctx, *args, **kwargs):
        with torch.autocast("npu", enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return backward


class _PerDevice:
    """Copies of a tensor on the devices that ask for one."""

    def __init__(self, tensor):
        self._tensors = {tensor.device: tensor}

    def get(self, device):
        if device not in self._tensors:
            first = next(iter(self._tensors.values()))
            self._tensors[device] = first.to(device=device, non_blocking=True)
        return self._tensors[device]


class GradScaler(torch.cuda.amp.GradScaler):
    """torch.cuda.amp.GradScaler, whose arithmetic is any device's, without its refusals of devices that are not CUDA's."""

    def __init__(self, device, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
        super().__init__(init_scale, growth_factor, backoff_factor, growth_interval, enabled=False)
        self._enabled = enabled
        if enabled:
            if growth_factor <= 1.0:
                raise ValueError(f"growth_factor has to be above 1, got {growth_factor}")
            if backoff_factor >= 1.0:
                raise ValueError(f"backoff_factor has to be below 1, got {backoff_factor}")
            self._init_scale = init_scale
            self._scale = None
            self._growth_factor = growth_factor
            self._backoff_factor = backoff_factor
            self._growth_interval = growth_interval
            self._init_growth_tracker = 0
            self._growth_tracker = None
            self._per_optimizer_states = collections.defaultdict(torch.cuda.amp.grad_scaler._refresh_per_optimizer_state)

    def scale(self, outputs):
        """``outputs`` (tensors or nested sequences of them) times the scale."""
        if not self._enabled:
            return outputs
        scales = None

        def times(value):
            nonlocal scales
            if isinstance(value, torch.Tensor):
                if self._scale is None:
                    self._lazy_init_scale_growth_tracker(value.device)
                if scales is None:
                    scales = _PerDevice(self._scale)
                return value * scales.get(value.device)
            if isinstance(value, (list, tuple)):
                return type(value)(times(v) for v in value)
            raise ValueError(f"outputs has to be a tensor or a sequence of tensors, got {type(value).__name__}")

        return times(outputs)

    def _unscale_grads_(self, optimizer, inv_scale, found_inf, allow_fp16):
        factors, found = _PerDevice(inv_scale), _PerDevice(found_inf)
        groups = collections.defaultdict(list)
        with torch.no_grad():
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    grad = parameter.grad
                    if grad is None:
                        continue
                    if not allow_fp16 and grad.dtype == torch.float16:
                        raise ValueError("Attempting to unscale FP16 gradients.")
                    if grad.is_sparse:
                        if grad.dtype is torch.float16:
                            parameter.grad = grad = grad.coalesce()
                        grad = grad._values()
                    groups[grad.device, grad.dtype].append(grad)
            for (device, _), grads in groups.items():
                torch._amp_foreach_non_finite_check_and_unscale_(grads, found.get(device), factors.get(device))
        return found._tensors

    def update(self, new_scale=None):
        """Adjusts the scale after a step."""
        if self._enabled and isinstance(new_scale, torch.Tensor):
            if new_scale.numel() != 1 or new_scale.requires_grad:
                raise ValueError("new_scale has to be a number or a tensor of one element that requires no gradient")
            new_scale = float(new_scale)
        super().update(new_scale)


# ---- registration


def rename_backend():
    torch.utils.rename_privateuse1_backend("npu")


def generate_methods():
    if hasattr(torch.utils, "generate_methods_for_privateuse1_backend"):
        torch.utils.generate_methods_for_privateuse1_backend(for_tensor=True, for_module=True, for_storage=True)
    else:
        from torch_npu import _compat_methods

        _compat_methods.generate()
    _packed_sequences()


def _packed_sequences():
    from torch.nn.utils.rnn import PackedSequence

    def is_npu(self):
        return self.data.device.type == "npu"

    def npu(self, *args, **kwargs):
        """A copy on an npu, or this object if it is there."""
        device = args[0] if args else kwargs.pop("device", "npu")
        return self.to(torch.device("npu", device) if isinstance(device, int) else device, *args[1:], **kwargs)

    PackedSequence.is_npu = property(is_npu)
    PackedSequence.npu = npu


def _out_of_memory_error(assign):
    """Before 2.5 torch had the class under torch.cuda only."""
    if not hasattr(torch, "OutOfMemoryError"):
        assign(torch, "OutOfMemoryError", OutOfMemoryError)


def _pin_for_npu(assign):
    """Without a device, torch pinned memory for CUDA."""
    pinned = torch.Tensor.is_pinned, torch.Tensor.pin_memory

    def is_pinned(self, device=None):
        return pinned[0](self, "npu" if device is None else device)

    def pin_memory(self, device=None):
        return pinned[1](self, "npu" if device is None else device)

    assign(torch.Tensor, "is_pinned", is_pinned)
    assign(torch.Tensor, "pin_memory", pin_memory)


def empty_pinned(shape, dtype):
    return torch.empty(shape, dtype=dtype).pin_memory("npu")  # pin_memory=True asks CUDA


def _tensor_types_by_name(assign):
    """``tensor.type(torch.npu.FloatTensor)``, and its name: torch knows types of a fixed list of devices."""
    type_of_torch = torch.Tensor.type

    @functools.wraps(type_of_torch)
    def type(self, dtype=None, non_blocking=False, **kwargs):
        from torch_npu.npu.tensor_types import _TensorType

        kind = getattr(torch.npu, dtype[len("torch.npu."):], None) if isinstance(dtype, str) and dtype.startswith("torch.npu.") else dtype
        if isinstance(kind, _TensorType):
            return self.to("npu" if self.device.type != "npu" else self.device, kind.dtype, non_blocking)
        if dtype is None:
            return type_of_torch(self).replace("torch.privateuseone.", "torch.npu.")
        return type_of_torch(self, dtype, non_blocking, **kwargs)

    assign(torch.Tensor, "type", type)


def _load_into_pinned_memory(assign):
    """Before 2.7 a DataLoader with pin_memory pinned for CUDA unless it was told a device."""
    from torch.utils.data.dataloader import _BaseDataLoaderIter

    start = _BaseDataLoaderIter.__init__

    def __init__(self, loader):
        if loader.pin_memory and not loader.pin_memory_device and not torch.cuda.is_available() and torch.npu.is_available():
            loader.pin_memory_device = "npu"
        start(self, loader)

    assign(_BaseDataLoaderIter, "__init__", __init__)


def _checkpoint_for_npu(assign):
    """torch.utils.checkpoint of 2.1 sets generators back on the device type of their states. These are CPU tensors, for which it takes the default."""
    from torch.utils import checkpoint

    if hasattr(checkpoint, "DefaultDeviceType") and "device_type" not in inspect.signature(checkpoint.set_device_states).parameters:
        assign(checkpoint.DefaultDeviceType, "_default_device_type", "npu")


#: Streams that were made current: ids and devices.
_side_streams = set()
#: Those of other code that have yet to wait for a backward pass: they may be gone by now, so they do when they are made current again.
_behind_backward = set()


class _Engine:
    """Autograd's engine, ordered with the streams of programs. It runs nodes of npus on their default streams, as it knows streams of CUDA only,
    so these wait for all streams that forward may have run on, and the streams for what they were given by backward."""

    def __init__(self, engine):
        self._engine = engine

    def __getattr__(self, name):
        return getattr(self._engine, name)

    def run_backward(self, *args, **kwargs):
        streams = [(id, index) for id, index in list(_side_streams) if id != _bindings().default_stream(index)]
        for id, index in streams:
            _bindings().wait_for_end(_bindings().default_stream(index), id, index)
        try:
            return self._engine.run_backward(*args, **kwargs)
        finally:
            for id, index in streams:
                if _bindings().is_external_stream(id, index) and _bindings().current_stream(index) != id:
                    _behind_backward.add((id, index))
                else:
                    _behind_default(id, index)


def _behind_default(id, index):
    _bindings().wait_for_end(id, _bindings().default_stream(index), index)


def _backward_on_streams(assign):
    assign(torch.autograd.Variable, "_execution_engine", _Engine(torch.autograd.Variable._execution_engine))


patches = [_out_of_memory_error, _pin_for_npu, _load_into_pinned_memory, _checkpoint_for_npu, _tensor_types_by_name]
if not hasattr(torch._C, "_get_accelerator"):  # before 2.3, whose engine runs nodes on the streams of forward whatever the accelerator
    patches.append(_backward_on_streams)
if not hasattr(torch.utils, "generate_methods_for_privateuse1_backend"):  # 2.0
    from torch_npu import _compat_2_0

    patches += _compat_2_0.patches
