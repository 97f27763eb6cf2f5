"""Streams and events: torch's own, with the constructors and the handles that npu programs use."""

import torch

from torch_npu import _compat, _library
from torch_npu.npu.devices import _get_device_index, _lazy_init

__all__ = ["Event", "ExternalStream", "Stream", "StreamContext", "current_stream", "default_stream", "set_stream", "stream"]

_DEVICE_TYPE = int(torch._C._autograd.DeviceType.PrivateUse1.value)


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

    @property
    def _as_parameter_(self):
        import ctypes

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
        return super().__new__(cls, stream_id=stream_id, device_index=index, device_type=_DEVICE_TYPE, **kwargs)


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
    return Stream(stream_id=stream_id, device_index=index, device_type=_DEVICE_TYPE)


def set_stream(stream):
    """Makes ``stream`` (``None``: no change) and its device current in the calling thread. Prefer ``with torch.npu.stream(...)``."""
    if stream is not None:
        _lazy_init()
        _compat.accelerator._accelerator_setStream(stream)


class StreamContext:
    """Context manager that makes ``stream`` and its device current, and the previous ones again at the end. ``None`` changes
    nothing."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is not None:
            self.stream.__enter__()

    def __exit__(self, *exception):
        if self.stream is not None:
            self.stream.__exit__(*exception)


def stream(stream):
    """``with torch.npu.stream(s):`` work in the block goes to ``s``. See :class:`StreamContext`."""
    return StreamContext(stream)
