"""The only place that assigns into torch beyond its registration functions.

Each patch bridges one gap of torch itself, says which and for which versions, and is undone by :func:`revert`.
"""

import torch

_undo = []


def _assign(owner, name, value):
    missing = object()
    before = owner.__dict__.get(name, missing)
    _undo.append((lambda: delattr(owner, name)) if before is missing else (lambda: setattr(owner, name, before)))
    setattr(owner, name, value)


def _typed_errors():
    """torch 2.13: C++ code can raise torch.AcceleratorError with a code, and no subclass of it. The class then has to choose the
    subclass itself, from the message."""
    from torch_npu import errors

    def new(cls, *args):
        return RuntimeError.__new__(errors.class_for(cls, args), *args)

    _assign(torch.AcceleratorError, "__new__", staticmethod(new))


_PATCHES = [_typed_errors]


def apply():
    """Applies all patches; a second call does nothing."""
    if not _undo:
        for patch in _PATCHES:
            patch()


def revert():
    """Undoes all patches."""
    while _undo:
        _undo.pop()()
