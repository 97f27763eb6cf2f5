"""What docs/support.md claims of ATen's functions is what the dispatcher has."""
import re
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "codegen"))
import coverage  # noqa: E402


def registered(name, *keys):
    return any(torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", key) for key in keys)


def test_tables_and_dispatcher_agree():
    assert [n for n in coverage.kernels() if not registered(n, "PrivateUse1")] == []
    assert [n for n in coverage.layout_kernels() if not registered(n, *coverage.LAYOUT_KEYS)] == []
    # What falls back may be registered to be refused in its own words.
    assert [f.name for f in coverage.functions() if f.way == "vendor" and registered(f.name, "PrivateUse1")] == []


def test_most_functions_need_no_fallback():
    totals = coverage.totals()
    functions, bases = (sum(totals[way][i] for way in ("native", "composed")) for i in (0, 1))
    assert functions >= 900 and bases >= 470, totals


def test_rows_are_the_rule():
    assert len({k.source for _, k in coverage.hand_written()}) <= 60
    assert len(coverage.hand_written()) * 10 < len(coverage.kernels())


@pytest.mark.parametrize("lines, said", [
    ([("fused_nothing", "fallback", "no such function")], "lines for nothing: fused_nothing"),
    ([], "no line for "),
])
def test_reasons_are_complete_and_current(tmp_path, monkeypatch, lines, said):
    text = coverage.REASONS.read_text() if lines else "functions,way,reason\n"
    path = tmp_path / "reasons.csv"
    path.write_text(text + "".join(",".join(line) + "\n" for line in lines))
    monkeypatch.setattr(coverage, "REASONS", path)
    with pytest.raises(ValueError, match=said):
        coverage.functions.__wrapped__()


def test_the_build_names_functions_that_no_table_knows(tmp_path, monkeypatch, capsys):
    path = tmp_path / "reasons.csv"
    path.write_text("".join(line for line in coverage.REASONS.read_text().splitlines(keepends=True) if "from_file" not in line))
    monkeypatch.setattr(coverage, "REASONS", path)
    coverage.main()
    said = capsys.readouterr().out
    assert said.startswith("note: ") and re.search(r"\bfrom_file\b", said)
