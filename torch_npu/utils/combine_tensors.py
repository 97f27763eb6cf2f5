"""Many tensors in one piece of memory, so that one operator can work on all of them."""

import torch

__all__ = ["get_part_combined_tensor", "is_combined_tensor_valid", "npu_combine_tensors"]


def _check(tensors):
    for tensor in tensors:
        if not isinstance(tensor, torch.Tensor) or tensor.device.type != "npu":
            raise TypeError(f"Expected npu tensors, got {tensor.device if isinstance(tensor, torch.Tensor) else type(tensor).__name__}")
        if not tensor.is_contiguous():
            raise ValueError(f"Expected contiguous tensors, got one of shape {tuple(tensor.shape)} and strides {tensor.stride()}")
        if (tensor.dtype, tensor.device) != (tensors[0].dtype, tensors[0].device):
            raise ValueError(f"Expected tensors of one dtype and device, got {tensors[0].dtype} on {tensors[0].device} and {tensor.dtype} on "
                             f"{tensor.device}")


def npu_combine_tensors(list_of_tensor, require_copy_value=True):
    """One new tensor of one dimension, in which all of ``list_of_tensor`` (contiguous npu tensors of one dtype) lie from now on, one behind
    the other. ``None`` for an empty list.

    Args:
        require_copy_value (bool): whether the tensors keep their values; else they are zero.
    """
    tensors = list(list_of_tensor)
    if not tensors:
        return None
    _check(tensors)
    combined = torch.zeros(sum(t.numel() for t in tensors), dtype=tensors[0].dtype, device=tensors[0].device)
    offset = 0
    with torch.no_grad():
        for tensor in tensors:
            part = combined[offset:offset + tensor.numel()].view(tensor.shape)
            if require_copy_value:
                part.copy_(tensor)
            tensor.data = part
            offset += tensor.numel()
    return combined


def get_part_combined_tensor(combined_tensor, index, size):
    """``size`` elements of ``combined_tensor`` from element ``index`` on, in the same memory."""
    if combined_tensor is None or size == 0:
        return None
    if index < 0 or size < 0 or index + size > combined_tensor.numel():
        raise ValueError(f"Elements {index} to {index + size} are not all in a combined tensor of {combined_tensor.numel()}")
    return combined_tensor.view(-1)[index:index + size]


def is_combined_tensor_valid(combined_tensor, list_of_tensor):
    """Whether all of ``list_of_tensor`` lie in ``combined_tensor``, one behind the other, as :func:`npu_combine_tensors` put them."""
    tensors = list(list_of_tensor)
    if combined_tensor is None or not tensors:
        return combined_tensor is None and not tensors
    address = combined_tensor.data_ptr()
    for tensor in tensors:
        if (tensor.dtype, tensor.device) != (combined_tensor.dtype, combined_tensor.device) or tensor.data_ptr() != address:
            return False
        address += tensor.numel() * tensor.element_size()
    return address <= combined_tensor.data_ptr() + combined_tensor.numel() * combined_tensor.element_size()
