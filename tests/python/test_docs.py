"""The documentation keeps up with the code."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Written in full in the sources, in quotes; CANN's own names that set_env.sh exports are documented by CANN.
VARIABLE = re.compile(r'"((?:TORCH_NPU|SOFTCANN|PYTORCH(?:_NO)?|TASK_QUEUE|ASCEND)_[A-Z_]+[A-Z])"')
OTHER_MEANINGS = {"ASCEND_AICPU_PATH"}


def test_every_environment_variable_is_documented():
    text = (ROOT / "docs" / "environment.md").read_text()
    sources = [p for d in ("csrc", "softcann", "torch_npu") for p in (ROOT / d).rglob("*") if p.suffix in (".cpp", ".h", ".py")]
    read = {name for p in sources for name in VARIABLE.findall(p.read_text())} - OTHER_MEANINGS
    assert {"TORCH_NPU_FALLBACK", "SOFTCANN_TRACE", "TASK_QUEUE_ENABLE"} <= read
    assert sorted(name for name in read if f"`{name}`" not in text) == []


def test_links_lead_somewhere():
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_the_vendors_pairs_are_those_of_the_table():
    sys.path.insert(0, str(ROOT / "codegen"))
    import gen_versions

    page = (ROOT / "docs" / "versions.md").read_text()
    assert gen_versions.render(page) == page
