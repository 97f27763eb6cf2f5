"""``torch.npu.FloatTensor`` and the others: a dtype and the device in one name, as older programs write them."""

import torch

from torch_npu.npu.devices import _get_device_index, current_device

_DTYPES = {
    "BFloat16": torch.bfloat16,
    "Bool": torch.bool,
    "Byte": torch.uint8,
    "Char": torch.int8,
    "Double": torch.float64,
    "Float": torch.float32,
    "Half": torch.float16,
    "Int": torch.int32,
    "Long": torch.int64,
    "Short": torch.int16,
}

__all__ = [*(f"{name}Tensor" for name in _DTYPES), *(f"{name}Storage" for name in _DTYPES)]


class _TensorType(type):
    """``isinstance(x, torch.npu.FloatTensor)`` asks for dtype and device; ``torch.npu.FloatTensor(2, 3)`` and ``torch.npu.FloatTensor([1.0])``
    make tensors, as ``torch.FloatTensor`` does on the CPU. Tensors are never of these classes."""

    is_cuda = False
    is_sparse = False
    layout = torch.strided

    def __instancecheck__(cls, thing):
        return isinstance(thing, torch.Tensor) and thing.device.type == "npu" and thing.dtype == cls.dtype

    def __call__(cls, *args):
        npu = torch.device("npu", current_device())
        if len(args) == 1 and isinstance(args[0], torch.Tensor):
            return args[0].to(npu, cls.dtype)
        return cls._cpu(*args).to(npu)


class _StorageType(type(torch.storage._LegacyStorage)):
    def __instancecheck__(cls, thing):
        return isinstance(thing, torch.TypedStorage) and thing.device.type == "npu" and thing.dtype == cls.dtype

    def __call__(cls, *args, wrap_storage=None, dtype=None, device=None, _internal=False):
        if dtype not in (None, cls.dtype):
            raise TypeError(f"torch.npu.{cls.__name__} is of {cls.dtype}, got dtype={dtype}")
        npu = torch.device("npu", _get_device_index(device, optional=True))
        if wrap_storage is None and len(args) <= 1 and all(isinstance(a, int) for a in args):
            wrap_storage = torch.UntypedStorage(sum(args) * torch._utils._element_size(cls.dtype), device=npu)
        elif wrap_storage is None:
            wrap_storage = torch.tensor(*args, dtype=cls.dtype, device=npu).untyped_storage()
        return torch.TypedStorage(wrap_storage=wrap_storage, dtype=cls.dtype, _internal=True)


def _make(name, dtype):
    cpu = getattr(torch, f"{name}Tensor")
    # torch takes the class's whole name for what Tensor.type() is to make.
    tensor = _TensorType(f"torch.npu.{name}Tensor", (), {
        "__doc__": f"A {str(dtype)[6:]} tensor on the current npu.", "__module__": "torch.npu", "dtype": dtype, "_cpu": cpu})
    storage = _StorageType(f"{name}Storage", (torch.storage._LegacyStorage,), {
        "__doc__": f"A storage of {str(dtype)[6:]} on the current npu.", "__module__": "torch.npu", "dtype": dtype})
    return tensor, storage


for _name, _dtype in _DTYPES.items():
    globals()[f"{_name}Tensor"], globals()[f"{_name}Storage"] = _make(_name, _dtype)
