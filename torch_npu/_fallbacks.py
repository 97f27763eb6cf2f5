"""Operators that ran on the CPU because the npu has no kernel for them."""

from typing import NamedTuple

from torch_npu import _library


class Fallback(NamedTuple):
    """One operator that fell back."""

    operator: str  #: with overload, for example ``aten::median.dim``
    calls: int
    bytes: int  #: of npu tensors copied to the CPU for it
    reason: str  #: what the npu kernel refused the first time, empty where there is no kernel


class _Table(list):
    """A list of :class:`Fallback` that prints as a table."""

    def __repr__(self):
        if not self:
            return "no operator fell back to the CPU"
        width = max(len(f.operator) for f in self)
        lines = [f"{'operator':{width}}  {'calls':>8}  {'bytes':>14}"]
        return "\n".join(lines + [f"{f.operator:{width}}  {f.calls:>8}  {f.bytes:>14}" for f in self])


def fallbacks():
    """The operators that ran on the CPU in this process for lack of an npu kernel, most calls first.

    A list of :class:`Fallback` (operator, calls, bytes, reason) that prints as a table. ``TORCH_NPU_FALLBACK`` says what a fallback
    does: ``warn`` (once per operator, the default), ``silent``, or ``error``.
    """
    if not _library.loaded():
        return _Table()
    return _Table(Fallback(*row) for row in _library.bindings().fallbacks())


def reset_fallbacks():
    """Empties the table of :func:`fallbacks`; operators that fall back again warn again."""
    if _library.loaded():
        _library.bindings().reset_fallbacks()
