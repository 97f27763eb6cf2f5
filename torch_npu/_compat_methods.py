"""What torch.utils.generate_methods_for_privateuse1_backend came to do in 2.1: ``x.npu()``, ``x.is_npu`` and loading to npus."""

import torch


def _device(device):
    from torch_npu.npu.devices import _get_device_index

    return torch.device("npu", _get_device_index(device, optional=True))


def _is_npu(self):
    """Whether it is on an npu."""
    return self.device.type == "npu"


def _tensor_npu(self, device=None, non_blocking=False, **kwargs):
    """A copy on an npu (default: the current one), or this tensor if it is there."""
    return self.to(device=_device(device), non_blocking=non_blocking, **kwargs)


def _module_npu(self, device=None):
    """Moves parameters and buffers to an npu (default: the current one), in place."""
    return self._apply(lambda t: t.npu(device))


def _storage_npu(self, device=None, non_blocking=False):
    """A copy on an npu (default: the current one), or this storage if it is there."""
    device = _device(device)
    if self.device == device:
        return self
    copy = torch.empty(self.nbytes(), dtype=torch.uint8, device=device).untyped_storage()
    copy.copy_(self, non_blocking)
    return copy


def _typed_storage_npu(self, device=None, non_blocking=False):
    """A copy on an npu (default: the current one), or this storage if it is there."""
    return self._new_wrapped_storage(self._untyped_storage.npu(device, non_blocking))


def _location_of(storage):
    return f"npu:{storage.device.index}" if storage.device.type == "npu" else None


def _load(storage, location):
    if location != "npu" and not location.startswith("npu:"):
        return None
    from torch_npu.npu.devices import _existing_device_index

    return storage.npu(_existing_device_index(torch.device(location)))


def generate():
    for cls, move in ((torch.Tensor, _tensor_npu), (torch.UntypedStorage, _storage_npu), (torch.TypedStorage, _typed_storage_npu)):
        cls.is_npu = property(_is_npu)
        cls.npu = move
    torch.nn.Module.npu = _module_npu
    torch.serialization.register_package(23, _location_of, _load)
