"""Shared by the Python tests. They run on whichever npu the environment gives: softcann without CANN, else the card."""

import os
import subprocess
import sys

import pytest


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
        command = [python, "-c", code] if arguments == () else [python, code, *arguments]
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
