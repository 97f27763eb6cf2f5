"""What tests need of torch: a row of needs_torch.csv names a test, or a file of tests, or how they begin (``*`` at the end), and the version
that they run with."""

import csv
import pathlib
import re

import pytest
import torch

#: {file or file::test: (torch version that it needs, why)}
NEEDS_TORCH = {
    row["test"]: (row["torch"], row["why"])
    for row in csv.DictReader((pathlib.Path(__file__).parent / "needs_torch.csv").read_text().splitlines())
}

#: How the tests of rows that end in ``*`` begin.
BEGINNINGS = [test for test in NEEDS_TORCH if test.endswith("*")]


def _numbers(version):
    return tuple(int(n) for n in version.split("+")[0].split(".")[:2])


def _lacking(*names):
    for name in names:
        row = name if name in NEEDS_TORCH else next((b for b in BEGINNINGS if name.startswith(b[:-1])), None)
        version, why = NEEDS_TORCH.get(row, ("0.0", ""))
        if _numbers(torch.__version__) < _numbers(version):
            return f"needs torch {version}: {why}"
    return None


def pytest_ignore_collect(collection_path):
    """Leaves out files that this torch cannot even import."""
    return True if _lacking(collection_path.name) else None


def pytest_collection_modifyitems(items):
    for item in items:
        unnumbered = re.sub(r"-\d+\]$", "]", item.name)
        for_every_device = re.sub(r"_(npu|privateuse1)(_.*)?$", "", item.name)  # upstream's harness adds the device, 2.1's to its first test by the old name
        why = _lacking(*(f"{item.path.name}::{name}" for name in (getattr(item, "originalname", None), item.name, unnumbered, for_every_device)))
        if why:
            item.add_marker(pytest.mark.skip(reason=why))
