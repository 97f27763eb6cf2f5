"""npu tensors, storages and events in ``torch.multiprocessing``: they travel as handles, and the memory is used in place.

The memory stays until every process has let go of it; the sender has to live until then.
"""

from multiprocessing.reduction import ForkingPickler

import torch

from torch_npu import _library
from torch_npu.npu.devices import _lazy_init
from torch_npu.npu.streams import Event


def _open_storage(*shared):
    _lazy_init()
    return _library.bindings().open_shared_storage(*shared)


def _empty_storage(device):
    return torch.UntypedStorage(0, device=device)


def _rebuild_tensor(cls, storage, dtype, offset, size, stride, requires_grad):
    tensor = torch.empty([0], dtype=dtype, device=storage.device).set_(storage, offset, size, stride)
    if cls is torch.nn.Parameter:
        return torch.nn.Parameter(tensor, requires_grad=requires_grad)
    return tensor.requires_grad_(requires_grad)


def _rebuild_event(device, handle):
    return Event.from_ipc_handle(device, handle)


def _reduce_event(event):
    return _rebuild_event, (event.device.index, event.ipc_handle())


def _npu_first(others, ours):
    """A reducer that leaves everything that is not on an npu to torch's own."""
    return lambda thing: ours(thing) if thing.device.type == "npu" else others(thing)


def _reduce_storage(storage):
    if storage.nbytes() == 0:
        return _empty_storage, (storage.device,)
    return _open_storage, _library.bindings().share_storage(storage)


def _reduce_tensor(tensor):
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError("A tensor that requires gradients and is not a leaf cannot be sent to another process: autograd does "
                           "not cross processes. Send tensor.detach() if that is all you need.")
    storage = tensor.untyped_storage()
    if storage.nbytes() == 0:
        return _empty_tensor, (type(tensor), tensor.device, tensor.dtype, tensor.size(), tensor.stride(), tensor.requires_grad)
    return _rebuild_tensor, (type(tensor), storage, tensor.dtype, tensor.storage_offset(), tensor.size(), tensor.stride(),
                             tensor.requires_grad)


def _empty_tensor(cls, device, dtype, size, stride, requires_grad):
    tensor = torch.empty_strided(size, stride, dtype=dtype, device=device)
    return torch.nn.Parameter(tensor, requires_grad=requires_grad) if cls is torch.nn.Parameter else tensor.requires_grad_(requires_grad)


def _register():
    """torch's own reducers know CUDA only; these come first for what is on an npu."""
    import torch.multiprocessing  # noqa: F401  registers torch's

    reducers = ForkingPickler._extra_reducers
    for cls, ours in ((torch.Tensor, _reduce_tensor), (torch.nn.Parameter, _reduce_tensor), (torch.UntypedStorage, _reduce_storage)):
        if cls in reducers:
            ForkingPickler.register(cls, _npu_first(reducers[cls], ours))
    ForkingPickler.register(Event, _reduce_event)
