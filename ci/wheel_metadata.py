"""The wheel's version and dependencies, from the torch that the building Python would import. scikit-build-core asks for them."""

import importlib.util
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[1]


def _torch_version():
    spec = importlib.util.find_spec("torch")
    if spec is None:
        raise RuntimeError("torch_npu is built against an installed torch, and this Python has none. Install it and pass --no-build-isolation to "
                           "pip, or use bash ci/build.sh --torch=<version>")
    text = pathlib.Path(spec.submodule_search_locations[0], "version.py").read_text()
    return re.search(r"^__version__ = ['\"](\d+\.\d+\.\d+)", text, re.M)[1]


def dynamic_metadata(field, settings=None):
    torch = _torch_version()
    major, minor = torch.split(".")[:2]
    if field == "version":
        post = re.search(r"^POST = (\d+)$", (ROOT / "torch_npu" / "version.py").read_text(), re.M)[1]
        return torch if post == "0" else f"{torch}.post{post}"
    # Before 2.3 torch is compiled for numpy 1.
    numpy = "numpy<2" if (int(major), int(minor)) < (2, 3) else "numpy"
    return [f"torch=={major}.{minor}.*", numpy, "pyyaml"]
