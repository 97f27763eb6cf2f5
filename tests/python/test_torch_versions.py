"""One tree serves several versions of torch: what differs between them is where it belongs, and nowhere else."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def _lines(pattern, *directories, suffixes):
    for directory in directories:
        for path in sorted((ROOT / directory).rglob("*")):
            if path.suffix in suffixes:
                for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
                    if re.search(pattern, line):
                        yield path.relative_to(ROOT).as_posix(), number, line.strip()


def test_conditions_on_the_version_are_in_compat_only():
    conditions = list(_lines(r"#\s*(el)?if.*(TORCH_VERSION|TORCH_NPU_TORCH_VERSION)|#\s*if.*TORCH_ABI_VERSION", "csrc", "softcann", "tests/cpp", "tests/abi",
                             suffixes={".h", ".cpp", ".c", ".yaml"}))
    assert any(path.startswith("csrc/compat/") for path, _, _ in conditions)  # the pattern finds them
    assert [c for c in conditions if not c[0].startswith("csrc/compat/")] == []


def test_python_looks_at_the_version_in_compat_only():
    looks = list(_lines(r"torch\.__version__|torch\.version\b|TorchVersion", "torch_npu", "codegen", suffixes={".py"}))
    assert {path for path, _, _ in looks} == {"torch_npu/_compat.py"}


def test_every_bridge_has_a_bound():
    """CMake reads the bound from the directory's name."""
    for directory in (ROOT / "csrc" / "compat").iterdir():
        assert not directory.is_dir() or re.fullmatch(r"before_\d+_\d+", directory.name), directory
    for directory in (ROOT / "csrc" / "ops").iterdir():
        assert not directory.is_dir() or re.fullmatch(r"since_\d+_\d+", directory.name), directory


def test_names_that_some_torch_spells_otherwise_are_bridged():
    """optional, nullopt and is_npu() of csrc/compat/compat.h stand for what old versions of ATen have under other names."""
    own = list(_lines(r"std::(optional<|nullopt\b)|(?<!device)(\.|->)is_privateuseone\(\)", "csrc/ops", "csrc/launch", "softcann/ops",
                      suffixes={".h", ".cpp", ".yaml"}))
    assert own == []
