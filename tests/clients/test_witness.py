"""A few operators of the comparison with the vendor's adapter (python -m tests.clients.witness runs all)."""
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))
from tests.clients.test_vendor_adapter import vendor_python  # noqa: E402, F401
from tests.clients.witness import trace  # noqa: E402
from tests.clients.witness.__main__ import collect, operators, verdict  # noqa: E402

SELECTION = r"^(add|bmm|clamp|gather|nn\.functional\.(layer_norm|conv2d|avg_pool2d|gelu)|sort|sum|topk|var|where)$"
LINES = """\
# sample 0 add
# begin
softcann 0.1 tid 9 aclnnAddGetWorkspaceSize(self="FLOAT[2, 3]", other="FLOAT[]", alpha="FLOAT 1", out="FLOAT[2, 3]") = 0, 7.0 us -> executor=0x1
softcann 0.1 tid 9 aclnnAdd(workspace=null, workspaceSize=0, executor=0x1, stream=0x2) = 0, 5.0 us
# end
softcann 0.1 tid 9 aclnnMul(workspace=null, workspaceSize=0, executor=0x1, stream=0x2) = 0, 5.0 us
"""


def test_calls_of_a_trace():
    arguments = {"self": "FLOAT[2, 3]", "other": "FLOAT[]", "alpha": "FLOAT 1", "out": "FLOAT[2, 3]"}
    assert trace.calls(LINES.splitlines(), {}) == {"add": {0: [("aclnnAdd", arguments)]}}


def test_calls_are_as_listed(vendor_python):  # noqa: F811
    names = operators(SELECTION)
    found, trouble, ours_wrong, _, _ = collect(names, samples=4, progress=lambda text: None)
    assert verdict(names, found, trouble) == []
    assert ours_wrong == []
