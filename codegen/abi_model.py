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
        return self.KINDS[re.sub("^const ", "", self.type)]

    @property
    def is_output(self):
        return self.direction in ("out", "inout")

    def declare(self):
        return declare(self.type, self.name)

    def declare_type(self):
        return self.type if self.type == "..." else declare(self.type, "")


def declare(ctype, name):
    """C declaration of ``name``: ``int (*)(int)`` and ``int[2]`` wrap around the name."""
    if "(*" in ctype:
        return re.sub(r"\((\*\s*(?:const)?)\)", lambda m: f"({m[1]}{' ' if 'const' in m[1] else ''}{name})", ctype, count=1)
    base, bracket, dimensions = ctype.partition("[")
    return f"{base} {name}{bracket}{dimensions}".rstrip()


def parse_parameters(text):
    out = []
    for part in filter(None, text.split("; ")):
        if part == "...":
            out.append(Parameter("...", "", ""))
            continue
        m = re.fullmatch(r"(.*?) (\w+(?:\[\d*\])?)(?: \[(in|out|inout)\])?", part)
        out.append(Parameter(m[1], m[2], m[3] or ""))
    return tuple(out)


#: CANN's releases in order, as far as functions are recorded for them. The first is the oldest one that the adapter supports;
#: "master" is in no release yet.
RELEASES = ("7.0.0", "8.0.RC1", "8.0.RC2", "8.0.RC3", "8.0.0", "8.1.RC1", "8.2.RC1", "8.3.RC1", "8.5.0", "9.0.0", "9.1.0",
            "9.2.0-beta.2", "master")


@dataclass(frozen=True)
class AclnnOp:
    name: str                    # "aclnnAdd"
    header: str                  # "aclnnop/aclnn_add.h"
    parameters: tuple            # without workspaceSize and executor
    dtypes: dict = field(hash=False)   # parameter name -> frozenset of "FLOAT", "INT8", ...; absent = undocumented
    since: str = ""              # as Function.since
    used_by_adapter: bool = False
    max_workspace: bool = False        # there is also <name>GetMaxWorkspaceSize with the parameters of the first phase

    @property
    def kinds(self):
        return "".join(p.kind for p in self.parameters)

    @property
    def always(self):
        """Whether every supported CANN has it."""
        return self.since == f"<={RELEASES[0]}"


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
                         r["used_by_adapter"] == "yes", r["max_workspace"] == "yes")
        for r in read_table("aclnn.csv")
    }


@dataclass(frozen=True)
class Library:
    name: str        # "libascendcl.so"
    shipped: bool
    sources: tuple   # directories below softcann/
    needs: tuple     # other libraries of this table
    reason: str

    @property
    def id(self):
        """"ascendcl": CMake target, generated file names, the adapter's enumerator."""
        return re.sub(r"^lib|\.so$", "", self.name)


@dataclass(frozen=True)
class Function:
    name: str
    library: str     # compatible spelling, "libascendcl.so"
    result: str
    parameters: tuple
    header: str      # "" = no header of the SDK declares it
    since: str       # "8.5.0": the CANN release it came with; "<=8.1.RC1": the oldest one it is recorded in; "" = not recorded
    required: bool   # by the adapter

    @property
    def variadic(self):
        return bool(self.parameters) and self.parameters[-1].type == "..."

    def parameter_list(self):
        return ", ".join(p.declare() for p in self.parameters)

    def prototype(self):
        return f"{self.result} {self.name}({self.parameter_list() or 'void'})"

    def function_type(self):
        """``aclError(void**, size_t)``"""
        return f"{self.result}({', '.join(p.declare_type() for p in self.parameters)})"


@dataclass(frozen=True)
class Field:
    name: str        # "" = anonymous union
    type: str        # "uint32_t", "char[128]", "union{T a;U b}"
    offset: int


@dataclass(frozen=True)
class Type:
    name: str
    kind: str        # struct, union, opaque, typedef, enum
    header: str
    size: int = 0
    fields: tuple = ()       # struct, union
    target: str = ""         # typedef
    constants: tuple = ()    # enum: ((name, value), ...)


@lru_cache
def libraries():
    """{"libascendcl.so": Library, ...}"""
    return {
        r["library"]: Library(r["library"], r["shipped"] == "yes", tuple(r["sources"].split()), tuple(r["needs"].split()),
                              r["reason"])
        for r in read_table("libraries.csv")
    }


@lru_cache
def functions():
    """{"aclrtMalloc": Function, ...}: everything but the two-phase operators."""
    return {
        r["name"]: Function(r["name"], r["library"], r["return"], parse_parameters(r["parameters"]), r["header"], r["since"],
                            r["requirement"] == "required")
        for r in read_table("functions.csv") + read_table("functions_manual.csv")
    }


def functions_of(library):
    return [f for f in functions().values() if f.library == library]


@lru_cache
def _constants():
    return read_table("constants.csv") + read_table("constants_manual.csv")


#: ``type`` of a constant that is no enumerator: C types of ``static const`` values, and macros.
SCALARS = ("int", "int32_t", "uint16_t", "uint32_t", "uint64_t", "aclnnStatus", "#define")


def loose_constants():
    """[(name, C type or "#define", value, header)]: everything that is not an enumerator."""
    return [(r["name"], r["type"], r["value"], r["header"]) for r in _constants() if r["type"] in SCALARS]


@lru_cache
def types():
    """{"aclrtMemLocation": Type, ...}; rows of structs_manual.csv add a field to, or replace one of, a struct."""
    groups = {}
    for r in read_table("structs.csv") + read_table("structs_manual.csv"):
        groups.setdefault(r["name"], []).append(r)
    out = {}
    for name, rows in groups.items():
        first = rows[0]
        if first["kind"] in ("struct", "union"):
            fields = {}
            for r in rows:
                fields[r["field"]] = Field(r["field"], r["type"], int(r["offset"]))
            ordered = tuple(sorted(fields.values(), key=lambda f: f.offset)) if first["kind"] == "struct" \
                else tuple(fields.values())
            out[name] = Type(name, first["kind"], first["header"], int(first["size"]), ordered)
        else:
            out[name] = Type(name, first["kind"], first["header"], target=first["type"])
    enums = {}
    for r in _constants():
        if r["type"] not in SCALARS:
            enums.setdefault(r["type"], []).append(r)
    for name, rows in enums.items():
        out[name] = Type(name, "enum", rows[0]["header"], 4, constants=tuple((r["name"], r["value"]) for r in rows))
    return out


@dataclass(frozen=True)
class ErrorCode:
    code: int
    name: str
    family: str      # acl, aclnn, hccl
    cause: str
    hint: str


@lru_cache
def errors():
    return [ErrorCode(int(r["code"]), r["name"], r["family"], r["cause"], r["hint"]) for r in read_table("errors.csv")]
