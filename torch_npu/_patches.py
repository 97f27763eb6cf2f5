"""The only place that assigns into torch beyond its registration functions.

Each patch bridges one gap of torch itself, says which and for which versions, and is undone by :func:`revert`.
"""

import torch

from torch_npu import _compat, _library

_undo = []


def _assign(owner, name, value):
    missing = object()
    before = owner.__dict__.get(name, missing)
    _undo.append((lambda: delattr(owner, name)) if before is missing else (lambda: setattr(owner, name, before)))
    setattr(owner, name, value)


def _typed_errors(assign):
    """torch 2.13: an error that C++ raises with a code reaches Python as torch.AcceleratorError, never as a subclass of it. So
    the class itself refines what is being raised, by the C++ exception that is in flight."""
    from torch_npu import errors

    base = torch.AcceleratorError

    def new(cls, *args):
        raised = _library.bindings().current_error() if cls is base and _library.loaded() else None
        if raised is None:
            return RuntimeError.__new__(cls, *args)
        self = RuntimeError.__new__(getattr(errors, raised["class"]), *args)
        self.code, self.name, self.cause, self.hint = (raised[k] for k in ("code", "name", "cause", "hint"))
        return self

    assign(base, "__new__", staticmethod(new))


_PATCHES = [*([_typed_errors] if _compat.has_accelerator_error else []), *_compat.patches]


def apply():
    """Applies all patches; a second call does nothing."""
    if not _undo:
        for patch in _PATCHES:
            patch(_assign)


def revert():
    """Undoes all patches."""
    while _undo:
        _undo.pop()()
