"""Write libopapi.so's entries from ``abi/aclnn.csv`` and libsoftcann_kernels.so's functions from ``softcann/ops/*.yaml``.

    python codegen/gen_opapi.py --torch-include DIR --torchgen FILE --out BUILD/gen/opapi

A row is ``aclnnFunction: expression`` or ``aclnnFunction: [statement, ...]`` or a mapping with the keys

    run        the expression or statements
    each       instead of run: a statement for every element of the tensor lists; the lists' names are their elements
    optional   parameters that may be null besides those whose name says Optional
    check      statements that throw for wrong shapes, for phase 1, where trying the row on tensors of zeros and ones says nothing
    types      {parameter: any} or {parameter: [FLOAT, ...]}: where the documented data types are wrong or too narrow

A statement is C++ over the parameters' names, or ``out = expression`` (stores a result of the output's shape), ``(a, b) = expression``
(a tuple), ``out := expression`` (the result also decides the output's shape) or a block ``{ ... }``. A family may have functions of its
own in ``kernels/<family>.h``.
"""
import argparse
import re
from functools import lru_cache
from pathlib import Path

import abi_model
import yaml
from output import write_if_changed

OPS = Path(__file__).resolve().parent.parent / "softcann" / "ops"

#: Entries per generated unit of libopapi.so.
ENTRIES = 330


def is_optional_name(name):
    return re.search(r"Optional(Ref)?$|_optional$", name) is not None


class RowError(Exception):
    pass


class Absent(Exception):
    """The installed torch has no such function."""


class Row:
    def __init__(self, name, value, family):
        ops = abi_model.aclnn_ops()
        if name not in ops:
            raise RowError(f"{family}.yaml: {name} is not in abi/aclnn.csv")
        self.op, self.family = ops[name], family
        spec = value if isinstance(value, dict) else {"run": value}
        unknown = set(spec) - {"run", "each", "optional", "types", "check"}
        if unknown or ("run" in spec) == ("each" in spec):
            raise RowError(f"{family}.yaml: {name}: unknown keys {sorted(unknown)}, or not one of run and each")
        self.each = "each" in spec
        run = spec.get("run", spec.get("each"))
        self.statements = [s.strip() for s in (run if isinstance(run, list) else [run])]
        self.optional = spec.get("optional", [])
        self.types = spec.get("types", {})
        check = spec.get("check")
        self.check = [check] if isinstance(check, str) else check
        names = {p.name for p in self.op.parameters}
        for given in (*self.optional, *self.types):
            if given not in names:
                raise RowError(f"{family}.yaml: {name} has no parameter {given}; it has {', '.join(sorted(names))}")

    def is_optional(self, parameter):
        return is_optional_name(parameter.name) or parameter.name in self.optional


@lru_cache
def rows():
    out = {}
    for path in sorted(OPS.glob("*.yaml")):
        for name, value in (yaml.safe_load(path.read_text(encoding="utf-8")) or {}).items():
            if name in out:
                raise RowError(f"{name} is in {out[name].family}.yaml and in {path.name}")
            out[name] = Row(name, value, path.stem)
    return out


# ---- libopapi.so

#: Names of data types in abi/aclnn.csv -> enumerators.
TYPE_ALIASES = {"BFLOAT16": "ACL_BF16", "FLOAT8_E4M3": "ACL_FLOAT8_E4M3FN"}


def type_mask(names):
    if not names:
        return "0"
    return " | ".join(f"bit({TYPE_ALIASES.get(n, 'ACL_' + n)})" for n in sorted(names))


def parameter_types(op, row, parameter):
    if parameter.kind not in "TL":
        return frozenset()
    override = row.types.get(parameter.name) if row else None
    if override == "any":
        return frozenset()
    return frozenset(override) if override else op.dtypes.get(parameter.name, frozenset())


DIRECTIONS = {"in": "kIn", "out": "kOut", "inout": "kInOut"}


def direction(parameter):
    if parameter.direction in ("in", "") and parameter.name.endswith("Ref"):
        return "kInOut"
    return DIRECTIONS[parameter.direction or ("in" if parameter.type.startswith("const ") else "out")]


def slot(parameter):
    text = parameter.name
    if re.sub("^const ", "", parameter.type) == "aclDataType":
        return f"static_cast<int32_t>({text})"
    if parameter.kind == "f":
        return f"static_cast<double>({text})"
    return text


def render_entry(index, op):
    declared = "".join(p.declare() + ", " for p in op.parameters)
    slots = ", ".join(f"Slot({slot(p)})" for p in op.parameters) or "Slot(int64_t{0})"
    phases = [f"{op.name}GetWorkspaceSize"] + ([f"{op.name}GetMaxWorkspaceSize"] if op.max_workspace else [])
    out = []
    for phase in phases:
        out.append(f"ENTRY {phase}({declared}uint64_t* workspaceSize, aclOpExecutor** executor) {{\n"
                   f"  const Slot arguments[] = {{{slots}}};\n"
                   f"  return phase1(kOps[{index}], arguments, workspaceSize, executor);\n}}\n")
    out.append(f"ENTRY {op.name}(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream) {{\n"
               f"  return phase2(kOps[{index}], workspace, workspaceSize, executor, stream);\n}}\n")
    return "".join(out)


def render_entries(ops):
    out = ["// Generated by codegen/gen_opapi.py.", '#include "softcann/ops/call.h"', "", "namespace softcann::ops {", "namespace {", "",
           "using D = nnop::Direction;", "constexpr uint64_t bit(aclDataType type) { return uint64_t{1} << type; }", ""]
    descriptions = []
    for op in ops:
        row = rows().get(op.name)
        cells = []
        for p in op.parameters:
            optional = row.is_optional(p) if row else is_optional_name(p.name)
            cells.append(f'    {{"{p.name}", \'{p.kind}\', D::{direction(p)}, {str(optional).lower()}, '
                         f"{type_mask(parameter_types(op, row, p))}}},")
        if cells:
            out += [f"constexpr Parameter {op.name}_parameters[] = {{", *cells, "};"]
        pointer = f"{op.name}_parameters" if cells else "nullptr"
        descriptions.append(f'    {{"{op.name}", "{op.name}GetWorkspaceSize", {pointer}, {len(cells)}}},')
    out += ["", "const OpDesc kOps[] = {", *descriptions, "};", "", "}  // namespace", "}  // namespace softcann::ops", "",
            "using softcann::ops::Slot;", "using softcann::ops::kOps;", "using softcann::ops::phase1;", "using softcann::ops::phase2;",
            '#define ENTRY extern "C" [[gnu::visibility("default")]] aclnnStatus', ""]
    out += [render_entry(i, op) for i, op in enumerate(ops)]
    return "\n".join(out)


def entry_units():
    ops = list(abi_model.aclnn_ops().values())
    return [ops[i:i + ENTRIES] for i in range(0, len(ops), ENTRIES)]


# ---- libsoftcann_kernels.so

ACCESS = {
    "T": "at::Tensor& {0} = call.tensor({1});", "L": "const at::TensorList {0} = call.tensors({1});",
    "S": "const at::Scalar& {0} = call.scalar({1});", "S?": "const optional<at::Scalar> {0} = call.optional_scalar({1});",
    "Z": "const at::ArrayRef<at::Scalar> {0} = call.scalars({1});", "I": "const at::IntArrayRef {0} = call.ints({1});",
    "I?": "const at::OptionalIntArrayRef {0} = call.optional_ints({1});", "B": "const c10::ArrayRef<bool> {0} = call.bools({1});",
    "F": "const c10::ArrayRef<double> {0} = call.floats({1});", "s": "const string_view {0} = call.text({1});",
    "l": "const int64_t {0} = call.integer({1});", "i": "const int64_t {0} = call.integer({1});", "c": "const int64_t {0} = call.integer({1});",
    "b": "const bool {0} = call.integer({1}) != 0;", "d": "const double {0} = call.real({1});", "f": "const double {0} = call.real({1});",
}

AT_CALL = re.compile(r"\bat::([a-z_]\w*)\(")
WORD = re.compile(r"(?<![\w.:>])[A-Za-z_]\w*")


#: Structured operators whose shape functions look at data, or are not meant for use without the kernel.
NO_CHECK = {"index", "isin"}


class Torch:
    """What the generator asks of the installed torch."""

    def __init__(self, include, native_functions):
        self.include = Path(include)
        #: base name -> numbers of results of its structured overloads
        self.structured = {}
        for block in re.split(r"^- func: ", Path(native_functions).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            schema = block.splitlines()[0]
            if re.search(r"^  structured_delegate:", block, re.MULTILINE) and not re.match(r"\w+_[.(]", schema):
                results = schema.rsplit("->", 1)[1]
                self.structured.setdefault(re.match(r"\w+", schema)[0], set()).add(results.count("Tensor"))

    def results_of(self, function):
        """How many tensors the C++ shape function of ``at::function`` gives; 0 if there is none, or it depends on the overload."""
        if function in NO_CHECK:
            return 0
        counts = self.structured.get(function, ())
        return next(iter(counts)) if len(counts) == 1 else 0

    def header(self, function):
        for name in (function, re.sub(r"_outf?$", "", function), re.sub(r"_$", "", function)):
            if (self.include / "ATen" / "ops" / f"{name}.h").exists():
                return f"ATen/ops/{name}.h"
        raise Absent(f"at::{function}")


def split_arguments(text):
    """``"a, f(b, c)"`` -> ["a", "f(b, c)"]"""
    out, depth, start = [], 0, 0
    for i, c in enumerate(text):
        depth += (c in "([{") - (c in ")]}")
        if c == "," and depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
    return [*out, text[start:].strip()]


def render_check(row, torch):
    """The body of the row's check with ATen's shape function, and the header; or None. For rows that are one call of ATen."""
    if len(row.statements) != 1:
        return None
    m = re.fullmatch(r"(?:(\w+|\([\w, ]+\))\s*=\s*)?at::(\w+)\((.*)\)", row.statements[0], re.DOTALL)
    if not m or "at::" in m[3] or "{" in m[3]:
        return None
    base = re.sub(r"_out$", "", m[2])
    count, header = torch.results_of(base), f"ATen/ops/{base}_meta_dispatch.h"
    if not count or not (torch.include / header).exists():
        return None
    arguments = split_arguments(m[3])
    if m[2].endswith("_out"):
        targets, arguments = arguments[:count], arguments[count:]
    else:
        targets = [t.strip() for t in m[1].strip("()").split(",")]
    if set(targets) - {p.name for p in row.op.parameters}:
        return None
    return f"call.expect_all(SHAPES(at::meta::{base})({', '.join(arguments)}), {', '.join(targets)});", {header}


def render_statement(row, text):
    """C++ lines of one statement, and the parameters that it resizes."""
    names = {p.name: i for i, p in enumerate(row.op.parameters)}
    if text.startswith("{"):
        resized = {names[n] for n in re.findall(r"\bcall\.resize\((\w+)_index\b", text)}
        constants = [f"constexpr size_t {row.op.parameters[i].name}_index = {i};" for i in sorted(resized)]
        return [*constants, text], resized
    m = re.match(r"(\w+|\([\w, ]+\))\s*(:?=)(?!=)\s*(.*)$", text, re.DOTALL)
    if not m:
        return [text + ";"], set()
    targets = [t.strip() for t in m[1].strip("()").split(",")]
    for t in targets:
        if t not in names and t != "_":
            raise RowError(f"{row.family}.yaml: {row.op.name} has no parameter {t}")
    resizing = m[2] == ":="

    def assign(target, value):
        return f"call.resize({names[target]}, {value});" if resizing else f"call.store({target}, {value});"

    resized = {names[t] for t in targets if t != "_"} if resizing else set()
    if len(targets) == 1:
        return [assign(targets[0], m[3])], resized
    lines = [f"const auto results = {m[3]};"]
    lines += [assign(t, f"std::get<{i}>(results)") for i, t in enumerate(targets) if t != "_"]
    return ["{", *("  " + line for line in lines), "}"], resized


ELEMENT = {"L": "at::Tensor& {0} = call.element({1}, i);", "Z": "const at::Scalar& {0} = call.scalar_element({1}, i);"}


def declare(row, text):
    """The parameters that `text` names, as variables."""
    words = set(WORD.findall(re.sub(r'"[^"]*"', "", text)))
    out = []
    for i, p in enumerate(row.op.parameters):
        if p.name not in words:
            continue
        if row.each and p.kind in ELEMENT:
            out.append("  " + ELEMENT[p.kind].format(p.name, i))
            continue
        if re.sub("^const ", "", p.type) == "aclDataType":
            out.append(f"  const at::ScalarType {p.name} = call.type({i});")
            continue
        kind = p.kind + "?" if p.kind in "SI" and row.is_optional(p) else p.kind
        out.append("  " + ACCESS[kind].format(p.name, i))
    return out


def render_row(row, torch):
    body, resized = [], 0
    for statement in row.statements:
        lines, indices = render_statement(row, statement)
        body += lines
        for i in indices:
            resized |= 1 << i
    text = "\n".join(body)
    functions = set(AT_CALL.findall(text))
    headers = {torch.header(f) for f in functions}
    lines = [*declare(row, text), *("  " + line for line in body)]
    if row.each:
        first = next(i for i, p in enumerate(row.op.parameters) if p.kind == "L")
        lines = [f"  const size_t count = call.tensors({first}).size();", "  for (size_t i = 0; i < count; ++i) {",
                 *("  " + line for line in lines), "  }"]
    code = [f"void {row.op.name}(Call& call) {{", *lines, "}", ""]
    check, check_name = None, "nullptr"
    if row.check is not None:
        check = "\n".join(line for statement in row.check for line in render_statement(row, statement)[0]), set()
    elif not (resized or row.each):
        check = render_check(row, torch)
    if check:
        check_name = f"&{row.op.name}_check"
        headers |= check[1]
        code += [f"void {row.op.name}_check(Call& call) {{", *declare(row, check[0]), *("  " + line for line in check[0].splitlines()), "}", ""]
    return "\n".join(code), headers, f'    {{"{row.op.name}", &{row.op.name}, {check_name}, {resized:#x}}},'


def rows_of(torch):
    """The rows by function, without those that need what torch lacks."""
    def present(row):
        try:
            render_row(row, torch)
        except Absent:
            return False
        return True

    return {name: row for name, row in rows().items() if present(row)}


def render_family(family, torch, absent):
    """A row that needs what torch lacks is left out: its function answers that it is not supported. ``absent`` takes the reason."""
    headers, code, table = set(), [], []
    for row in rows().values():
        if row.family == family:
            try:
                text, used, entry = render_row(row, torch)
            except Absent as e:
                absent.append(f"{row.op.name} ({e})")
                continue
            headers |= used
            code.append(text)
            table.append(entry)
    own = [f'#include "softcann/ops/kernels/{family}.h"'] if (OPS / "kernels" / f"{family}.h").exists() else []
    return "\n".join([
        f"// Generated by codegen/gen_opapi.py from softcann/ops/{family}.yaml.", '#include "softcann/ops/kernels/call.h"',
        '#include "softcann/ops/kernels/expressions.h"', *own, *(f"#include <{h}>" for h in sorted(headers)), "", "namespace softcann::ops {", "namespace {", "",
        *code, f"constexpr Row kRows[] = {{", *table, "};", "", "}  // namespace", "",
        f"RowTable rows_{family}() {{ return {{kRows, sizeof(kRows) / sizeof(kRows[0])}}; }}", "", "}  // namespace softcann::ops", ""])


def render_tables(families):
    return "\n".join([
        "// Generated by codegen/gen_opapi.py.", '#include "softcann/ops/kernels/row_tables.h"', "", "namespace softcann::ops {", "",
        *(f"RowTable rows_{f}();" for f in families), "", "const std::vector<RowTable>& row_tables() {",
        "  static const auto* tables = new std::vector<RowTable>{" + ", ".join(f"rows_{f}()" for f in families) + "};",
        "  return *tables;", "}", "", "}  // namespace softcann::ops", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch-include", type=Path, required=True)
    parser.add_argument("--torchgen", type=Path, required=True, help="native_functions.yaml of the same torch")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch = Torch(args.torch_include, args.torchgen)
    for i, ops in enumerate(entry_units()):
        write_if_changed(args.out / f"entries_{i}.cpp", render_entries(ops))
    families = sorted({row.family for row in rows().values()})
    absent = []
    for family in families:
        write_if_changed(args.out / f"rows_{family}.cpp", render_family(family, torch, absent))
    if absent:
        print(f"note: {len(absent)} functions need what this torch lacks: {', '.join(absent)}")
    write_if_changed(args.out / "row_tables.cpp", render_tables(families))


if __name__ == "__main__":
    try:
        main()
    except RowError as error:
        raise SystemExit(f"gen_opapi.py: {error}") from None
