"""What the suites share: the same call on the CPU and on npu, all differences of a test in one report."""

import torch
from torch.testing._internal.common_utils import TestCase
from torch.utils._pytree import tree_map


def on_cpu(value):
    return tree_map(lambda v: v.detach().cpu() if isinstance(v, torch.Tensor) else v, value)


def attempt(call):
    """(result on the CPU, error): errors of asynchronous launches are the call's own."""
    try:
        return on_cpu(call()), None
    except Exception as e:
        return None, e


class ComparingTestCase(TestCase):
    def setUp(self):
        super().setUp()
        self.problems = []

    def tearDown(self):
        try:
            count = len(self.problems)
            assert not count, "\n".join([f"{count} differences"] + self.problems[:60])
        finally:
            super().tearDown()

    def compare(self, label, on_npu, on_cpu_, **tolerance):
        """The same result, dtype included, or the same class of error. A dtype the CPU has no kernel for is no case."""
        expected, expected_error = attempt(on_cpu_)
        if isinstance(expected_error, NotImplementedError) or "not implemented for" in str(expected_error):
            return
        actual, error = attempt(on_npu)
        if expected_error is not None:
            if not isinstance(error, type(expected_error)):
                got = "no error" if error is None else f"{type(error).__name__}: {str(error).splitlines()[0]}"
                self.problems.append(f"{label}: {got} instead of {type(expected_error).__name__}: {str(expected_error).splitlines()[0]}")
            return
        if error is not None:
            self.problems.append(f"{label}: {type(error).__name__}: {str(error).splitlines()[0]}")
            return
        try:
            self.assertEqual(actual, expected, exact_dtype=True, **tolerance)
        except AssertionError as e:
            self.problems.append(f"{label}: " + " ".join(str(e).split())[:200])
