"""Stream sanitizer: raises where two streams use the same memory with nothing that orders them.

    TORCH_NPU_SANITIZER=1 python program.py

Every operator that the thread calls is noted with the bytes it reads and writes, its stream and its Python stack; events and waits
are noted as the order between streams. An operator that uses bytes which another stream wrote, or writes bytes which another
stream used, without being ordered behind it, raises :class:`StreamRaceError` with both operators and both stacks, whether or not the
result would have been wrong this time. ``tensor.record_stream`` allows the memory to be used again after ``tensor`` is gone; memory that
another stream may still be using when a new tensor gets it is such an error too.
"""

import dataclasses
import re
import sys
import traceback

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from torch_npu import _library

#: Operators that make tensors without touching their memory.
_WITHOUT_CONTENTS = re.compile(r"aten::(new_)?empty(_like|_strided|_permuted)?$|aten::(detach|set_|resize_|lift_fresh|_efficientzerotensor)$")
_STACK_DEPTH = 24


class StreamRaceError(RuntimeError):
    """Two streams used the same memory, at least one of them writing, with no event or synchronization in between."""


@dataclasses.dataclass
class _Use:
    operator: str
    argument: str
    writes: bool
    stream: int
    number: int
    first: int
    last: int
    stack: list

    def text(self):
        frames = "".join(traceback.StackSummary.from_list(self.stack[::-1]).format())
        return f"{self.operator} {'wrote' if self.writes else 'read'} {self.argument} on stream {self.stream}:\n{frames}"


def _stack():
    """Where the program is, innermost first, without this file and torch's dispatch machinery."""
    frames, frame = [], sys._getframe(1)
    while frame is not None and len(frames) < _STACK_DEPTH:
        name = frame.f_code.co_filename
        if name != __file__ and "/torch/utils/_python_dispatch" not in name and "/torch/_ops.py" not in name:
            frames.append((name, frame.f_lineno, frame.f_code.co_name, None))
        frame = frame.f_back
    return frames


class _Order:
    """How far each stream is known to have come, as seen from the host, from each stream and from each event."""

    def __init__(self):
        self.host, self.streams, self.events = {}, {}, {}

    @staticmethod
    def _learn(state, other):
        for stream, number in other.items():
            state[stream] = max(state.get(stream, 0), number)

    def of(self, stream):
        # What a stream is given stands behind everything that the host has waited for.
        state = self.streams.setdefault(stream, {})
        self._learn(state, self.host)
        return state

    def note(self, what, event, device, stream):
        key = (device, stream)
        if what == "record":
            self.events[event] = dict(self.of(key))
        elif what == "wait":
            self._learn(self.of(key), self.events.get(event, {}))
        elif what == "synchronize_event":
            self._learn(self.host, self.events.get(event, {}))
        elif what == "synchronize_stream":
            self._learn(self.host, self.of(key))
        else:
            for (where, _), state in list(self.streams.items()):
                if where == device:
                    self._learn(self.host, state)


class Sanitizer(TorchDispatchMode):
    """The mode that watches; ``with Sanitizer():`` for a part of a program."""

    def __init__(self):
        super().__init__()
        self._order = _Order()
        self._uses = {}      # address of a storage -> [_Use]
        self._recorded = {}  # address of a storage -> streams that Tensor.record_stream named
        self._number = 0

    def __enter__(self):
        _library.bindings().set_ordering_observer(self._order.note)
        return super().__enter__()

    def __exit__(self, *exception):
        _library.bindings().set_ordering_observer(None)
        return super().__exit__(*exception)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name
        if name == "aten::record_stream":
            tensor, stream = args
            self._recorded.setdefault(tensor.untyped_storage().data_ptr(), set()).add((stream.device_index, stream.stream_id))
            return func(*args, **kwargs)
        inputs, known = [], set()
        for argument, value in [*zip(func._schema.arguments, args), *((a, kwargs[a.name]) for a in func._schema.arguments if a.name in kwargs)]:
            alias = argument.alias_info
            for tensor in self._on_npu(value):
                known.add(tensor.untyped_storage().data_ptr())
                writes = alias is not None and alias.is_write
                if writes or alias is None:  # else the result is a view of it
                    inputs.append((tensor, argument.name, writes))
        result = func(*args, **kwargs)
        if _WITHOUT_CONTENTS.search(name):
            inputs, outputs = [], [(t, True) for t in self._on_npu(result) if t.untyped_storage().data_ptr() not in known]
        else:
            outputs = [(t, False) for t in self._on_npu(result) if t.untyped_storage().data_ptr() not in known]
        if inputs or outputs:
            self._launch(str(func), inputs, outputs)
        to_host = inputs and any(t.device.type == "cpu" for t in pytree.tree_flatten((result, kwargs.get("out"), args[:1]))[0] if isinstance(t, torch.Tensor))
        if (to_host and not self._non_blocking(func, args, kwargs)) or name in ("aten::_local_scalar_dense", "aten::equal", "aten::nonzero"):
            stream = torch.npu.current_stream()
            self._order.note("synchronize_stream", 0, stream.device_index, stream.stream_id)
        return result

    @staticmethod
    def _on_npu(value):
        return [t for t in pytree.tree_flatten(value)[0] if isinstance(t, torch.Tensor) and t.device.type == "npu" and t.numel() != 0]

    @staticmethod
    def _non_blocking(func, args, kwargs):
        for position, argument in enumerate(func._schema.arguments):
            if argument.name == "non_blocking":
                return kwargs.get("non_blocking", args[position] if position < len(args) else False)
        return False

    def _launch(self, operator, inputs, outputs):
        stream = torch.npu.current_stream()
        key = (stream.device_index, stream.stream_id)
        self._number += 1
        state = self._order.of(key)
        state[key] = self._number
        stack = _stack()
        for tensor, fresh_only in outputs:
            storage = tensor.untyped_storage()
            address = storage.data_ptr()
            # New memory: what used it before has to be over, unless the allocator was told to see to that.
            allowed = self._recorded.pop(address, set())
            use = _Use(operator, "its result", True, stream.stream_id, self._number, 0, storage.nbytes(), stack)
            self._check(use, key, [u for u in self._uses.get(address, []) if u[0] not in allowed])
            self._uses[address] = [] if fresh_only else [(key, use)]
        for tensor, argument, writes in inputs:
            address = tensor.untyped_storage().data_ptr()
            reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride())) + 1
            first = tensor.storage_offset() * tensor.element_size()
            use = _Use(operator, argument, writes, stream.stream_id, self._number, first, first + reach * tensor.element_size(), stack)
            uses = self._uses.setdefault(address, [])
            self._check(use, key, uses)
            # A use that this one is ordered behind, and covers, needs no more checks.
            uses[:] = [u for u in uses if not ((writes or not u[1].writes) and u[0] == key and use.first <= u[1].first and u[1].last <= use.last)]
            uses.append((key, use))

    def _check(self, use, key, earlier):
        state = self._order.of(key)
        for other_key, other in earlier:
            if other_key == key or not (use.writes or other.writes) or other.number == use.number:
                continue
            if other.last <= use.first or use.last <= other.first or other.number <= state.get(other_key, 0):
                continue
            raise StreamRaceError(
                "Two streams use the same memory, and nothing orders them. Record an event on the first stream and let the second wait "
                f"for it (stream.wait_stream), or tensor.record_stream() before the memory is freed.\n\n{use.text()}\nbut earlier\n{other.text()}")


_enabled = None


def enable_stream_sanitizer():
    """Watches the calling thread from now on. ``TORCH_NPU_SANITIZER=1`` does it when torch_npu is imported."""
    global _enabled
    if _enabled is None:
        _enabled = Sanitizer()
        _enabled.__enter__()
