"""The software device that is shipped with the package: where its tree is and how a program is pointed at it.

Nothing here imports torch or loads a library.
"""

import os
import pathlib

from torch_npu.version import __version__

#: The CANN release whose interface softcann has.
CANN_VERSION = "9.1.0"


def prefix():
    """The directory that is laid out like an installed CANN (``lib64``, ``include``, ``set_env.sh``), as a ``Path``."""
    tree = pathlib.Path(__file__).resolve().parent / "cann"
    if not (tree / "lib64" / "libascendcl.so").exists():
        raise FileNotFoundError(
            f"softcann is not in {tree}: this torch_npu was installed from its sources or built with "
            "TORCH_NPU_BUILD_SOFTCANN=OFF. Install the wheel (bash ci/build.sh writes it to dist/)")
    return tree


def environment(base=None):
    """What ``set_env.sh`` exports, as a dict; paths are put in front of those in ``base`` (default: this process's)."""
    base = os.environ if base is None else base
    root = str(prefix())
    variables = {
        "ASCEND_TOOLKIT_HOME": root,
        "ASCEND_HOME_PATH": root,
        "ASCEND_OPP_PATH": f"{root}/opp",
        "ASCEND_AICPU_PATH": root,
        "TOOLCHAIN_HOME": f"{root}/toolkit",
    }
    for name, directory in (("LD_LIBRARY_PATH", "lib64"), ("PATH", "bin"), ("PYTHONPATH", "python/site-packages")):
        old = base.get(name, "")
        new = f"{root}/{directory}"
        variables[name] = old if new in old.split(":") else ":".join(filter(None, (new, old)))
    return variables


__all__ = ["CANN_VERSION", "__version__", "environment", "prefix"]
