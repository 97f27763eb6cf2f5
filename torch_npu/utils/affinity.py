"""On which processors the threads of a program run."""

import os

__all__ = ["reset_thread_affinity", "set_thread_affinity"]

_before = {}


def _processors(core_range):
    ranges = core_range if core_range and isinstance(core_range[0], (list, tuple)) else [core_range]
    wanted = set()
    for one in ranges:
        if len(one) != 2 or not all(isinstance(n, int) for n in one) or not 0 <= one[0] <= one[1]:
            raise ValueError(f"A range of processors is [first, last], got {one!r}")
        wanted.update(range(one[0], one[1] + 1))
    return wanted


def set_thread_affinity(core_range=None):
    """Lets the calling thread, and threads that it starts from now on, run on some processors only.

    Args:
        core_range: ``[first, last]`` or a list of such ranges, both ends included. ``None``, a choice by the adapter, raises
            NotImplementedError: threads are left where the system puts them.
    """
    if core_range is None:
        raise NotImplementedError("set_thread_affinity() without a range is not there: the adapter binds no threads by itself. Name the "
                                  "processors, as in set_thread_affinity([0, 3])")
    wanted = _processors(core_range)
    missing = wanted - set(range(os.cpu_count() or 0))
    if missing:
        raise ValueError(f"There are no processors {sorted(missing)}: the machine has {os.cpu_count()}")
    _before.setdefault("main", os.sched_getaffinity(os.getpid()))
    os.sched_setaffinity(0, wanted)


def reset_thread_affinity():
    """Lets the calling thread run on the processors that the main thread had before the first :func:`set_thread_affinity`."""
    if "main" in _before:
        os.sched_setaffinity(0, _before["main"])
