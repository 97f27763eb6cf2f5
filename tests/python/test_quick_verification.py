"""The programs that a new user runs first."""

import re
from pathlib import Path

import torch
import torch_npu  # noqa: F401

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_first_program(run_python):
    done = run_python(str(EXAMPLES / "quick_verification.py"), "", TORCH_NPU_FALLBACK="error")
    assert re.search(r"tensor\(\[\[.*\n.*\]\], device='npu:0'\)", done.stdout)
    assert "largest difference from the CPU's result: " in done.stdout
    assert done.stderr == ""


def test_print_is_the_cpus():
    x = torch.randn(3, 4)
    assert repr(x.npu()) == repr(x)[:-1] + ",\n       device='npu:0')" or repr(x.npu()) == repr(x)[:-1] + ", device='npu:0')"


def test_training_on_digits(run_python):
    """97% accuracy, no fallback, and the CPU's loss curve: the example ends with an error if one of them fails."""
    done = run_python(str(EXAMPLES / "train_digits.py"), "--device", "npu", "--compare", "cpu", TORCH_NPU_FALLBACK="error", timeout=1200)
    assert "the loss curves agree" in done.stdout
    assert float(re.search(r"npu: ([\d.]+)% of the test images", done.stdout)[1]) >= 97
    assert "training on npu" in done.stderr  # the progress bar
