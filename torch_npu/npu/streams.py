"""Streams and events: torch's own, with the constructors and the handles that npu programs use."""

import atexit
import ctypes

import torch

from torch_npu import _compat, _library
from torch_npu.npu.devices import _get_device_index, _lazy_init

__all__ = [
    "Event",
    "ExternalEvent",
    "ExternalStream",
    "Stream",
    "StreamContext",
    "SyncLaunchStream",
    "current_stream",
    "default_stream",
    "set_stream",
    "stream",
]


class Stream(_compat.Stream):
    """A queue of work on a device; work on different streams has no order but the one that events make.

    Args:
        device: an index, a string or a torch.device; default: the current device.
        priority (int): lower numbers go first; 0 is the default, -1 is high.
    """

    def __new__(cls, device=None, priority=0, **kwargs):
        _lazy_init()
        if "stream_id" in kwargs:
            return super().__new__(cls, **kwargs)
        index = _get_device_index(device, optional=True)
        return super().__new__(cls, torch.device("npu", index), priority=priority)

    @property
    def npu_stream(self):
        """CANN's handle (``aclrtStream``) as an integer."""
        return self.native_handle

    @property
    def priority(self):
        """0 is the default; lower numbers go first."""
        return _library.bindings().stream_priority(self.stream_id, self.device_index)

    @staticmethod
    def priority_range():
        """``(least, greatest)`` priority that :class:`Stream` takes; the greatest is the lowest number."""
        _lazy_init()
        return _library.bindings().stream_priority_range()

    def record_event(self, event=None):
        """Records ``event`` (default: a new one) behind the work the stream has been given so far, and returns it."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        """What the stream is given from now on waits for ``event``."""
        super().wait_event(event)

    def wait_stream(self, stream):
        """What the stream is given from now on waits for all that ``stream`` has been given so far."""
        super().wait_stream(stream)

    @property
    def _as_parameter_(self):
        return ctypes.c_void_p(self.npu_stream)

    def __repr__(self):
        return f"<torch.npu.Stream device=npu:{self.device_index} stream_id={self.stream_id}>"


class ExternalStream(Stream):
    """A stream that other code made and keeps: work given to it is ordered with that code's.

    Args:
        stream_ptr (int): CANN's handle (``aclrtStream``).
        device: the device that it belongs to; default: the current one.
    """

    def __new__(cls, stream_ptr, device=None, **kwargs):
        _lazy_init()
        index = _get_device_index(device, optional=True)
        stream_id = _library.bindings().external_stream(stream_ptr, index)
        return super().__new__(cls, stream_id=stream_id, device_index=index, device_type=_compat.DEVICE_TYPE, **kwargs)


class SyncLaunchStream(Stream):
    """A stream whose work the calling thread gives to the device itself, behind what stands in the task queue: slower, but not in need of
    the queue's thread. Each device has four of each priority; more are these again.

    Args:
        device: an index, a string or a torch.device; default: the current device.
        priority (int): as in :class:`Stream`.
    """

    def __new__(cls, device=None, priority=0, **kwargs):
        _lazy_init()
        if "stream_id" not in kwargs:
            index = _get_device_index(device, optional=True)
            kwargs = {"stream_id": _library.bindings().sync_launch_stream(index, priority), "device_index": index, "device_type": _compat.DEVICE_TYPE}
        return super().__new__(cls, **kwargs)


class Event(_compat.Event):
    """A mark in a stream's work: wait for it, ask whether it was passed, measure the time between two.

    Args:
        enable_timing (bool): needed for :meth:`elapsed_time`, which answers milliseconds.
        blocking (bool): whether :meth:`synchronize` sleeps.
        interprocess (bool): whether other processes can use it, through :meth:`ipc_handle` or ``torch.multiprocessing``.
    """

    def __new__(cls, enable_timing=False, blocking=False, interprocess=False):
        _lazy_init()
        if interprocess and enable_timing:
            raise ValueError("An npu event for several processes cannot measure time: leave enable_timing or interprocess out")
        event = super().__new__(cls, "npu", enable_timing=enable_timing, blocking=blocking, interprocess=False)
        if interprocess:
            _library.bindings().make_event_interprocess(event, _get_device_index(None, optional=True))
        return event

    @classmethod
    def from_ipc_handle(cls, device, handle):
        """The event of another process, from the ``bytes`` that its :meth:`ipc_handle` answered there."""
        _lazy_init()
        event = super().__new__(cls, "npu")
        _library.bindings().open_event(event, _get_device_index(device), handle)
        return event

    def ipc_handle(self):
        """``bytes`` that stand for this event in another process; needs ``interprocess=True``."""
        return _library.bindings().event_ipc_handle(self, self.device.index)

    @property
    def npu_event(self):
        """CANN's handle (``aclrtEvent``) as an integer; 0 before the first :meth:`record`."""
        return _library.bindings().event_handle(self.event_id)

    def elapsed_time(self, end_event):
        """Milliseconds from this event to ``end_event``; both need ``enable_timing`` and have to be recorded and complete."""
        return _library.bindings().elapsed_time(self, end_event)

    def recorded_time(self):
        """The device's time at the last :meth:`record` in microseconds; needs ``enable_timing``. Waits for it."""
        return _library.bindings().recorded_time(self)

    def reset(self, stream=None):
        """Makes the event one that was never recorded. Waits that were asked for stay, so there is no need for an order with
        ``stream``."""
        _library.bindings().reset_event(self)

    @property
    def _as_parameter_(self):
        return ctypes.c_void_p(self.npu_event)


class ExternalEvent:
    """An event that may be waited for before it is recorded: the stream stands still until then. For one stream that waits and one that
    records, by turns, in either order. Needs ``aclrtValueWrite`` and ``aclrtValueWait``, which came with CANN 8.5.0; raises
    :class:`torch_npu.NPUNotSupportedError` where they are missing.
    """

    def __init__(self):
        _lazy_init()
        self._event = _library.bindings().ExternalEvent()

    @property
    def device(self):
        """The device of its streams; ``None`` before the first use."""
        index = self._event.device_index()
        return torch.device("npu", index) if index >= 0 else None

    def record(self, stream=None):
        """Lets the wait that has no record yet go on, or else the next one, behind what ``stream`` (default: the current one) was given
        so far."""
        self._event.record(*_named(stream))

    def wait(self, stream=None):
        """Work given to ``stream`` (default: the current one) from now on waits for a record, which is then used up."""
        self._event.wait(*_named(stream))

    def reset(self, stream=None):
        """Takes back a record that nobody has waited for. Not needed: :meth:`wait` uses the record up."""
        self._event.reset(*_named(stream))

    def query(self):
        """Whether the last record has been reached; ``True`` without one."""
        return self._event.query()

    def synchronize(self):
        """Waits until the last record has been reached."""
        self._event.synchronize()

    def __repr__(self):
        return f"<torch.npu.ExternalEvent device={self.device}>"


def _named(stream):
    """How the bindings are told of a stream; ``None`` is the current one."""
    stream = current_stream() if stream is None else stream
    if not isinstance(stream, torch.Stream):
        raise TypeError(f"Expected a torch.npu.Stream, got {type(stream).__name__}")
    return stream.stream_id, stream.device_index


def _wrap(stream):
    """torch.Stream -> Stream"""
    return Stream(stream_id=stream.stream_id, device_index=stream.device_index, device_type=stream.device_type)


def current_stream(device=None):
    """The stream that the calling thread's work on ``device`` (default: the current one) goes to."""
    _lazy_init()
    return _wrap(_compat.accelerator._accelerator_getStream(_get_device_index(device, optional=True)))


def default_stream(device=None):
    """The stream of ``device`` (default: the current one) that is current unless another is set."""
    _lazy_init()
    index = _get_device_index(device, optional=True)
    stream_id = _library.bindings().default_stream(index)
    return Stream(stream_id=stream_id, device_index=index, device_type=_compat.DEVICE_TYPE)


def set_stream(stream):
    """Makes ``stream`` (``None``: no change) and its device current in the calling thread. Prefer ``with torch.npu.stream(...)``."""
    if stream is not None:
        _lazy_init()
        _compat.accelerator._accelerator_setStream(stream)


class StreamContext:
    """Context manager that makes ``stream_ctx`` and its device current, and the previous ones again at the end. ``None`` changes
    nothing."""

    def __init__(self, stream_ctx):
        self.stream = stream_ctx

    def __enter__(self):
        if self.stream is not None:
            self.stream.__enter__()

    def __exit__(self, *exception):
        if self.stream is not None:
            self.stream.__exit__(*exception)


def stream(stream):
    """``with torch.npu.stream(s):`` work in the block goes to ``s``. See :class:`StreamContext`."""
    return StreamContext(stream)


def _subscribe_report(op_stream):
    """Starts a thread that runs the host functions of ``op_stream``."""
    _library.bindings().subscribe_report(*_named(op_stream))
    atexit.register(_library.bindings().unsubscribe_all_reports)  # before Python ends; once more does nothing


def _unsubscribe_report(op_stream):
    """Waits for ``op_stream`` and ends the thread that :func:`_subscribe_report` started."""
    _library.bindings().unsubscribe_report(*_named(op_stream))


def _launch_host_func(op_stream, fn, user_data):
    """``fn(user_data)`` runs, on the thread of :func:`_subscribe_report`, after what ``op_stream`` was given so far; what it is given
    later waits. What ``fn`` raises is printed, not raised."""
    if not callable(fn):
        raise TypeError(f"fn has to be callable, got {type(fn).__name__}")
    _library.bindings().launch_host_function(*_named(op_stream), fn, user_data)
