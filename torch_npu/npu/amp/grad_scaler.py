"""``torch.amp.GradScaler`` with the device filled in."""

from torch_npu import _compat

__all__ = ["GradScaler"]


class GradScaler(_compat.GradScaler):
    """``torch.amp.GradScaler("npu", ...)``.

    Args:
        dynamic (bool): ``False`` keeps the scale at ``init_scale``.
    """

    def __init__(self, init_scale=2.0**16, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, dynamic=True, enabled=True):
        super().__init__("npu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
        self._dynamic = dynamic

    def update(self, new_scale=None):
        """Adjusts the scale after a step; a fixed scale only forgets what the step found."""
        super().update(float(self._init_scale) if new_scale is None and self._enabled and not self._dynamic else new_scale)

    @staticmethod
    def get_npu_overflow_flag():
        """:func:`torch.npu.get_npu_overflow_flag`."""
        from torch_npu.npu import utils

        return utils.get_npu_overflow_flag()

    @staticmethod
    def clear_npu_overflow_flag():
        """:func:`torch.npu.clear_npu_overflow_flag`."""
        from torch_npu.npu import utils

        utils.clear_npu_overflow_flag()
