"""Counting the floating point operations of a training."""

__all__ = ["FlopsCounter"]


class FlopsCounter:
    """Floating point operations of matrix products, convolutions and attention, twice: all of them, and those outside of :meth:`pause`, for
    example without what activation checkpointing computes again. Counts the operators of the thread that called :meth:`start`.

    There is one counter: every ``FlopsCounter()`` is the same.
    """

    _one = None

    def __new__(cls):
        if cls._one is None:
            cls._one = super().__new__(cls)
            cls._one._mode = cls._one._paused_at = None
            cls._one._left_out = 0
        return cls._one

    def _total(self):
        return self._mode.get_total_flops() if self._mode is not None else 0

    def start(self):
        """Begins to count, if it does not count already."""
        from torch.utils.flop_counter import FlopCounterMode  # not in every torch

        if self._mode is None:
            self._mode = FlopCounterMode(display=False)
            self._mode.__enter__()

    def stop(self):
        """Ends counting and sets both numbers to 0."""
        if self._mode is not None:
            self._mode.__exit__(None, None, None)
        self._mode = self._paused_at = None
        self._left_out = 0

    def pause(self):
        """From now on operations count only as repeated ones."""
        if self._paused_at is None:
            self._paused_at = self._total()

    def resume(self):
        """Ends :meth:`pause`."""
        if self._paused_at is not None:
            self._left_out += self._total() - self._paused_at
            self._paused_at = None

    def get_flops(self):
        """``[without paused ones, all]``"""
        total = self._total()
        left_out = self._left_out + (total - self._paused_at if self._paused_at is not None else 0)
        return [total - left_out, total]
