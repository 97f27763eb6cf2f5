"""Deterministic algorithms for a part of a network, forward and backward."""

import torch

__all__ = ["disable_deterministic_with_backward", "enable_deterministic_with_backward"]


class _Switch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, on):
        ctx.on = on
        torch.use_deterministic_algorithms(on)
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx, grad):
        torch.use_deterministic_algorithms(not ctx.on)
        return grad, None


def enable_deterministic_with_backward(tensor):
    """Returns ``tensor``. What is computed from now on is deterministic, until :func:`disable_deterministic_with_backward`; so is the backward
    pass between the two, if both tensors are on its way."""
    return _Switch.apply(tensor, True)


def disable_deterministic_with_backward(tensor):
    """Returns ``tensor``, and ends what :func:`enable_deterministic_with_backward` began."""
    return _Switch.apply(tensor, False)
