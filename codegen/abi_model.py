"""CANN's surface as Python objects, read from ``abi/*.csv``.  Every generator starts here."""
import csv
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

ABI = Path(__file__).resolve().parent.parent / "abi"


def read_table(name):
    with open(ABI / name, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


@dataclass(frozen=True)
class Parameter:
    type: str        # C spelling, e.g. "const aclTensor*"
    name: str
    direction: str   # "in", "out", "inout" or "" where the sources do not say

    #: How an argument of this C type travels: one letter, used by the launcher, by softcann and in signatures.
    KINDS = {
        "aclTensor*": "T", "aclTensorList*": "L", "aclScalar*": "S", "aclScalarList*": "Z",
        "aclIntArray*": "I", "aclBoolArray*": "B", "aclFloatArray*": "F",
        "int64_t": "l", "uint64_t": "l", "int32_t": "i", "uint32_t": "i", "int": "i", "aclDataType": "i",
        "int8_t": "c", "bool": "b", "double": "d", "float": "f", "char*": "s",
    }

    @property
    def kind(self):
        return self.KINDS[self.type.removeprefix("const ")]

    @property
    def is_output(self):
        return self.direction in ("out", "inout")

    def declare(self):
        return f"{self.type} {self.name}"


def parse_parameters(text):
    out = []
    for part in filter(None, text.split("; ")):
        m = re.fullmatch(r"(.*?) (\w+(?:\[\d*\])?)(?: \[(in|out|inout)\])?", part)
        out.append(Parameter(m[1], m[2], m[3] or ""))
    return tuple(out)


@dataclass(frozen=True)
class AclnnOp:
    name: str                    # "aclnnAdd"
    header: str                  # "aclnnop/aclnn_add.h"
    parameters: tuple            # without workspaceSize and executor
    dtypes: dict = field(hash=False)   # parameter name -> frozenset of "FLOAT", "INT8", ...; absent = undocumented
    since: str = ""
    used_by_adapter: bool = False

    @property
    def kinds(self):
        return "".join(p.kind for p in self.parameters)


def _dtypes(text):
    """``a,b: X|Y; c: Z`` -> {"a": {X, Y}, "b": {X, Y}, "c": {Z}}"""
    out = {}
    for part in filter(None, (p.strip() for p in text.split(";"))):
        names, sep, types = part.partition(":")
        if sep:
            for name in names.split(","):
                out[name.strip()] = frozenset(t.strip() for t in types.split("|"))
    return out


@lru_cache
def aclnn_ops():
    """{"aclnnAdd": AclnnOp, ...}"""
    return {
        r["op"]: AclnnOp(r["op"], r["header"], parse_parameters(r["parameters"]), _dtypes(r["dtypes"]), r["since"],
                         r["used_by_adapter"] == "yes")
        for r in read_table("aclnn.csv")
    }
