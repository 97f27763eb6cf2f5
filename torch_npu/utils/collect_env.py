"""``python -m torch_npu.utils.collect_env``: torch's report on the environment, and what belongs to the npu. ``python -m torch_npu.doctor``
says besides whether it fits together."""

import pathlib

from torch.utils import collect_env as _of_torch

import torch_npu
from torch_npu.npu.utils import get_cann_version

__all__ = ["get_cann_version", "get_env_info", "get_pretty_env_info", "get_torch_npu_install_path", "get_torch_npu_version", "main", "pretty_str"]


def get_torch_npu_version():
    """Version of this package."""
    return torch_npu.__version__


def get_torch_npu_install_path():
    """Where this package is installed."""
    return str(pathlib.Path(torch_npu.__path__[0]))


def get_env_info():
    """What ``torch.utils.collect_env.get_env_info`` answers."""
    return _of_torch.get_env_info()


def pretty_str(envinfo):
    """The report on :func:`get_env_info`, as text."""
    lines = [
        "",
        f"torch_npu version: {get_torch_npu_version()}",
        f"torch_npu at: {get_torch_npu_install_path()}",
        f"CANN version: {get_cann_version() or 'N/A'}",
        f"NPU: {torch_npu.unavailable_reason() or torch_npu.npu.get_device_name(0)}",
    ]
    return _of_torch.pretty_str(envinfo) + "\n".join(lines)


def get_pretty_env_info():
    """:func:`pretty_str` of :func:`get_env_info`."""
    return pretty_str(get_env_info())


def main():
    """Prints the report."""
    print("Collecting environment information...")
    print(get_pretty_env_info())


if __name__ == "__main__":
    main()
