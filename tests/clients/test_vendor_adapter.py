"""The vendor's own adapter (torch-npu from the package registry) as a client of softcann.

It lives in an environment of its own, sources softcann's ``set_env.sh`` like a CANN installation's, and runs programs that
know nothing of softcann.
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).resolve().parent / "programs"
QUEUE_MODES = ["0", "1", "2"]


REQUIREMENTS = ["torch==2.13.0+cpu", "numpy", "pyyaml", "scikit-learn", "tqdm", "expecttest"]


def build_environment(where):
    """A virtual environment with torch 2.13.0 (CPU) and torch-npu 2.13.0; kept between runs."""
    python = where / "bin" / "python"
    done = where / "complete"
    if not done.exists() or done.read_text() != " ".join(REQUIREMENTS):
        subprocess.run([sys.executable, "-m", "venv", "--clear", where], check=True)
        pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, *REQUIREMENTS], check=True)
        # --no-deps: its requirements would replace the CPU build of torch.
        subprocess.run([*pip, "--no-deps", "torch-npu==2.13.0"], check=True)
        done.write_text(" ".join(REQUIREMENTS))
    return python


@pytest.fixture(scope="session")
def vendor_python():
    return build_environment(Path(os.environ.get("VENDOR_ENV", ROOT / ".venv-vendor")))


@pytest.fixture(scope="session")
def softcann_prefix():
    done = subprocess.run([sys.executable, "-m", "torch_npu.softcann", "--prefix"], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def run(vendor_python, prefix, program, *args, queue="1", timeout=600):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("TORCH_NPU", "SOFTCANN", "ASCEND", "PYTHON"))}
    env.update(TASK_QUEUE_ENABLE=queue, PYTHONNOUSERSITE="1")
    command = f'. "{prefix}/set_env.sh" && exec "{vendor_python}" "$@"'
    done = subprocess.run(["bash", "-c", command, "bash", str(program), *args], env=env, capture_output=True, text=True,
                          timeout=timeout, cwd="/")
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout


@pytest.mark.parametrize("queue", QUEUE_MODES)
def test_quick_verification(vendor_python, softcann_prefix, queue):
    out = json.loads(run(vendor_python, softcann_prefix, PROGRAMS / "quick.py", queue=queue).splitlines()[-1])
    assert out["max_difference"] < 1e-6
    assert out["printed"] == out["printed_on_cpu"].replace(")", ", device='npu:0')")
    assert out["adapter"].startswith("2.13.0")


@pytest.mark.parametrize("queue", QUEUE_MODES)
def test_digits_training(vendor_python, softcann_prefix, queue):
    out = run(vendor_python, softcann_prefix, ROOT / "examples" / "train_digits.py", queue=queue)
    accuracy = re.search(r"^npu: ([\d.]+)% of the test images", out, re.M)
    assert float(accuracy[1]) >= 97
