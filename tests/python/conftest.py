"""Shared by the Python tests. They run on whichever npu the environment gives: softcann without CANN, else the card."""

import os
import re
import subprocess
import sys

import pytest
import torch
import torch_npu  # noqa: F401  torch before 2.5 does not import it by itself


def _autoload(code):
    """For a program that leaves it to torch to import torch_npu, which it does from 2.5 on: the line that does it before."""
    needed = torch.__version__ < (2, 5) and not re.search(r"\bimport\b.*\btorch_npu\b|\bfrom torch_npu\b", code)
    return "import torch_npu\n" if needed else ""


@pytest.fixture
def run_python(tmp_path):
    """Runs a program in a Python process of its own, away from the sources; returns the finished process.

    ``run_python(code, VARIABLE="value", OTHER=None)`` sets and unsets variables; ``check=False`` allows failure.
    """

    def run(code, *arguments, check=True, timeout=300, python=sys.executable, **environment):
        env = dict(os.environ)
        for name, value in environment.items():
            env.pop(name, None)
            if value is not None:
                env[name] = str(value)
        command = [python, "-c", _autoload(code) + code] if arguments == () else [python, code, *arguments]
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=timeout)
        if check and done.returncode != 0:
            pytest.fail(f"exit code {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}", pytrace=False)
        return done

    return run


@pytest.fixture
def run_module(run_python):
    """``run_module("torch_npu.doctor", "--json")``: as ``python -m``."""

    def run(module, *arguments, **options):
        return run_python("-m", module, *arguments, **options)

    return run


@pytest.fixture
def same_error():
    """Calls a function of a device for the CPU and for npu: the error and the first line of its text must be the same, and npu must
    compute afterwards."""
    def check(call):
        import torch

        with pytest.raises(Exception) as expected:
            call("cpu")
        with pytest.raises(type(expected.value)) as actual:
            call("npu")
        assert str(actual.value).splitlines()[0] == str(expected.value).splitlines()[0]
        assert torch.ones(2, device="npu").sum().item() == 2

    return check
