"""Saving while the training goes on."""

import pickle
import threading

import torch
from torch.utils import _pytree as pytree

from torch_npu import _compat

__all__ = ["save_async"]


def _to_host(thing, copied):
    if not isinstance(thing, torch.Tensor) or thing.device.type != "npu":
        return thing
    key = id(thing)
    if key not in copied:
        host = _compat.empty_pinned(thing.shape, thing.dtype)
        host.copy_(thing.detach(), non_blocking=True)
        copied[key] = host.requires_grad_(thing.requires_grad) if thing.is_floating_point() or thing.is_complex() else host
    return copied[key]


def save_async(obj, f, pickle_module=pickle, pickle_protocol=2, _use_new_zipfile_serialization=True, _disable_byteorder_record=False, model=None):
    """As ``torch.save``, in a thread of its own. npu tensors in ``obj`` (in dicts, lists and tuples) are saved as CPU tensors with the values
    that they have in the order of the current stream; the program may change them at once.

    Args:
        model: not needed; taken for programs that name it.

    Returns the thread; ``join()`` waits for the file. The process does not exit before.
    """
    copied = {}
    host = pytree.tree_map(lambda thing: _to_host(thing, copied), obj)
    event = torch.npu.current_stream().record_event() if copied else None

    def save():
        if event is not None:
            event.synchronize()
        # Not every torch has it.
        options = {"_disable_byteorder_record": True} if _disable_byteorder_record else {}
        torch.save(host, f, pickle_module=pickle_module, pickle_protocol=pickle_protocol,
                   _use_new_zipfile_serialization=_use_new_zipfile_serialization, **options)

    thread = threading.Thread(target=save, name="torch_npu save_async")
    thread.start()
    return thread
