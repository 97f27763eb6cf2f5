"""Generate the adapter's operator kernels from ``csrc/ops/*.yaml``, ``abi/aclnn.csv`` and the installed torch's torchgen.

    python codegen/gen_ops.py --out BUILD/gen/ops [--units N] [--list]

A row names an ATen function (``base.overload``, the functional spelling where there is one) and says how it is computed:

    abs:
      aclnn: aclnnAbs(self, out)                # C++ expressions over the schema's argument names
    acos: aclnnAcos                             # the same, arguments in schema order, outputs last
    add.Tensor:
      aclnn: aclnnAdd(self, other, alpha, out)
      cpu_scalar: {other: "aclnnAdds(self, other, alpha, out)"}   # used when that argument is a 0-dim CPU tensor
    clamp.Tensor:
      aclnn: aclnnClampTensor(self, *min, *max, out)
      instead: {"!max.has_value()": "aclnnClampMinTensor(self, *min, out)"}   # other calls, by C++ condition
    native_layer_norm:
      outputs: {out: like(input), mean: ..., rstd: ...}           # only where ATen has no structured meta function
      aclnn: aclnnLayerNorm(...)
    silu_backward:
      compose: return at::mul(...);             # a C++ body built of other operators
    special_i1:
      value: special::bessel_i(1, real(self))   # the result, for an operator whose shape and dtype ATen's meta function gives;
                                                # real(x) is x in the float type to compute in. A bare name takes all tensors so
    copysign.Tensor:
      write: out.copy_(at::where(...));         # the same, but ATen's meta function (or `outputs`) makes the outputs it writes
    lgamma:
      aclnn: aclnnLgamma
      widen: Float                              # dtypes CANN documents no support for are computed in float
    heaviside:
      aclnn: aclnnHeaviside
      otherwise: {"true": "out.copy_(...)"}     # or by these statements, instead of the CPU fallback
    convolution_overrideable:
      aclnn: aclnnConvolution(...)
      undocumented: return fallback<...>(...);  # for other dtypes, where ATen's CPU has no function of the same name
    _linalg_det:
      write: aten                               # ATen's own code, where that consists of other operators
    linalg_cholesky_ex:
      aclnn: aclnnLinalgCholesky(self, upper, L)
      finish: cholesky_info(L, info);           # C++ after the calls
    geqrf:
      only: "!self.is_complex()"                # else the CPU fallback
      compose: ...
    _scaled_mm:
      needs: use_fast_accum                     # a torch whose function has no such argument does without the row
      ...
    _foreach_norm.Scalar:
      lacks: {dtype: optional<at::ScalarType>}  # an argument that older versions lack, and the type of the empty value in its place
      ...
    _foreach_pow.List:                          # tensor lists: `when` is a further condition for the call, else ATen's loop runs
      aclnn: aclnnForeachPowList(self, exponent, out)
      when: floating(self)

``include: [ops/x.h]`` in a table gives its expressions a header of their own.

Functional, in-place and ``out=`` variants all come from the one row. See docs/adding_an_operator.md.
"""
import argparse
import re
import sys
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import yaml
from torchgen import local
from torchgen.api import meta, structured
from torchgen.api.translate import translate
from torchgen.api.types import DispatcherSignature
from torchgen.context import native_function_manager
from torchgen.gen import get_grouped_native_functions
from torchgen.model import NativeFunctionsGroup, SchemaKind

sys.path.insert(0, str(Path(__file__).resolve().parent))
import abi_model  # noqa: E402
import layouts  # noqa: E402

OPS = Path(__file__).resolve().parent.parent / "csrc" / "ops"

#: documented dtype name -> ScalarType
DTYPES = {
    "FLOAT": "Float", "FLOAT32": "Float", "FLOAT16": "Half", "BFLOAT16": "BFloat16", "DOUBLE": "Double", "INT8": "Char",
    "INT16": "Short", "INT32": "Int", "INT64": "Long", "UINT8": "Byte", "UINT16": "UInt16", "UINT32": "UInt32",
    "UINT64": "UInt64", "BOOL": "Bool", "COMPLEX32": "ComplexHalf", "COMPLEX64": "ComplexFloat",
    "COMPLEX128": "ComplexDouble", "FLOAT8_E5M2": "Float8_e5m2", "FLOAT8_E4M3FN": "Float8_e4m3fn",
    "FLOAT8_E4M3": "Float8_e4m3fn", "FLOAT8_E8M0": "Float8_e8m0fnu",
}

C_TYPES = {
    "T": "void*", "L": "void*", "S": "void*", "Z": "void*", "I": "void*", "B": "void*", "F": "void*", "s": "void*",
    "l": "int64_t", "i": "int32_t", "c": "int8_t", "b": "bool", "d": "double", "f": "float",
}

PACK = {
    "T": "tensor", "L": "tensors", "S": "scalar", "Z": "scalars", "I": "ints", "B": "bools", "F": "floats",
    "l": "integer", "i": "integer", "c": "integer", "b": "boolean", "d": "real", "f": "real", "s": "string",
}


class RowError(Exception):
    pass


def native_functions():
    return layouts.parsed().native_functions


@lru_cache
def operator_names():
    return {f.root_name for f in native_functions()}


@lru_cache
def groups():
    """ATen name (functional spelling, or the name itself) -> NativeFunctionsGroup or NativeFunction."""
    out = {}
    for g in get_grouped_native_functions(native_functions()):
        if isinstance(g, NativeFunctionsGroup):
            for f in g.functions():
                out[str(f.func.name)] = g
        else:
            out[str(g.func.name)] = g
    return out


@dataclass
class Call:
    """``aclnnAdd(self, other, alpha, out)``"""
    function: abi_model.AclnnOp
    arguments: list

    @staticmethod
    def parse(text, target=None):
        """A bare function name stands for the schema's arguments in order, then its outputs."""
        if re.fullmatch(r"\w+", text) and isinstance(target, NativeFunctionsGroup):
            names = [a.name for a in target.functional.func.arguments.flat_all]
            text = f"{text}({', '.join(names + [a.name for a in target.out.func.arguments.out])})"
        m = re.fullmatch(r"\s*(\w+)\((.*)\)\s*", text, re.S)
        if not m:
            raise RowError(f"not a call: {text!r}")
        ops = abi_model.aclnn_ops()
        if m[1] not in ops:
            raise RowError(f"{m[1]} is not in abi/aclnn.csv")
        arguments = split_arguments(m[2])
        function = ops[m[1]]
        if len(arguments) != len(function.parameters):
            raise RowError(f"{m[1]} takes {len(function.parameters)} arguments "
                           f"({', '.join(p.declare() for p in function.parameters)}), the row gives {len(arguments)}")
        return Call(function, arguments)

    def without_output(self, output):
        """The in-place twin (aclnnInplaceX) if CANN has one with the same parameters less the output."""
        twin = abi_model.aclnn_ops().get("aclnnInplace" + self.function.name[len("aclnn"):])
        if twin is None or self.arguments[-1] != output or twin.kinds != self.function.kinds[:-1]:
            return None
        return Call(twin, self.arguments[:-1])


@dataclass
class InPlace:
    """A call made in place by its twin, where the twin documents the dtypes."""
    twin: Call
    plain: Call

    def narrower(self):
        """[(number, argument)] of the tensors for which the twin documents less."""
        pairs = zip(self.twin.function.parameters, self.plain.function.parameters, self.twin.arguments)
        twin, plain = self.twin.function.dtypes, self.plain.function.dtypes
        return [(i, a) for i, (t, p, a) in enumerate(pairs)
                if t.kind == "T" and a.isidentifier() and t.name in twin and set(plain.get(p.name, ())) - set(twin[t.name])]


def split_arguments(text):
    out, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
        elif c == "," and depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
    last = text[start:].strip()
    return out + [last] if last else out


@dataclass
class Row:
    name: str
    target: object                       # NativeFunctionsGroup or NativeFunction
    aclnn: list = field(default_factory=list)   # [Call]; more than one are made in order
    cpu_scalar: dict = field(default_factory=dict)
    instead: dict = field(default_factory=dict)   # C++ condition -> Call, or statements as in `write`
    outputs: dict = field(default_factory=dict)
    prepare: str = ""
    compose: str = ""
    value: str = ""
    write: str = ""
    otherwise: dict = field(default_factory=dict)   # C++ condition -> statements that write the outputs
    inplace: str = "auto"
    returns: str = ""
    undocumented: str = ""
    source: str = ""
    when: str = ""
    only: str = ""
    finish: str = ""
    lacks: dict = field(default_factory=dict)       # of tensor lists: argument that older versions lack -> its C++ type


KEYS = {"aclnn", "cpu_scalar", "instead", "outputs", "prepare", "compose", "value", "write", "otherwise", "widen", "inplace", "returns",
        "undocumented", "when", "only", "finish", "needs", "lacks"}


def load_rows(directory=OPS):
    rows, absent = [], []
    seen = {}
    for path in sorted(directory.glob("*.yaml")):
        for name, spec in (yaml.safe_load(path.read_text()) or {}).items():
            if name == "include":
                continue
            where = f"{path.name}: {name}"
            if name in seen:
                raise RowError(f"{where}: already in {seen[name]}")
            seen[name] = path.name
            target = groups().get(name)
            if target is None:
                absent.append(name)  # this torch does not have it
                continue
            if isinstance(spec, str):
                spec = {"aclnn": spec}
            if unknown := set(spec) - KEYS:
                raise RowError(f"{where}: unknown keys {sorted(unknown)}")
            if not set(spec.get("needs", "").split()) <= arguments_of(target):
                absent.append(name)
                continue
            for key in ("outputs", "cpu_scalar", "instead", "otherwise"):
                for k, v in spec.get(key, {}).items():
                    if v is None or (key in ("outputs", "cpu_scalar") and not k.isidentifier()):
                        raise RowError(f"{where}: {key} has {k!r}: quote an expression that holds a comma")
            try:
                calls = spec.get("aclnn", [])
                rows.append(Row(
                    name, target, [Call.parse(c, target) for c in ([calls] if isinstance(calls, str) else calls)],
                    {k: Call.parse(v) for k, v in spec.get("cpu_scalar", {}).items()},
                    {k: Call.parse(v) if v.startswith("aclnn") else v for k, v in spec.get("instead", {}).items()},
                    spec.get("outputs", {}), spec.get("prepare", ""), spec.get("compose", ""), spec.get("value", ""), spec.get("write", ""),
                    {**spec.get("otherwise", {}), **widened(target, spec.get("widen", []))},
                    spec.get("inplace", "auto"), spec.get("returns", ""), spec.get("undocumented", ""), path.name,
                    *(spec.get(k, "") for k in ("when", "only", "finish")), spec.get("lacks", {})))
            except RowError as e:
                raise RowError(f"{where}: {e}") from None
    return rows, absent


def arguments_of(target):
    function = target.functional if isinstance(target, NativeFunctionsGroup) else target
    return {a.name for a in function.func.arguments.flat_all}


def widened(target, dtypes):
    """`otherwise` of a row that is computed in the first of these dtypes which holds what its inputs hold."""
    if not dtypes:
        return {}
    function = target.functional.func
    arguments = function.arguments.flat_all
    tensors = [a.name for a in arguments if str(a.type) == "Tensor"]
    cases = {}
    for dtype in [dtypes] if isinstance(dtypes, str) else dtypes:
        given = ", ".join(f"{a.name}.to(at::k{dtype})" if a.name in tensors else a.name for a in arguments)
        call = f"at::{function.name.name.base}({given})"
        outs = [a.name for a in target.out.func.arguments.out]
        write = f"{outs[0]}.copy_({call});" if len(outs) == 1 else (
            f"const auto wide = {call}; " + " ".join(f"{o}.copy_(std::get<{i}>(wide));" for i, o in enumerate(outs)))
        cases[" && ".join(f"widens({t}, at::k{dtype})" for t in tensors)] = write
    return cases


def identifier(f):
    return "npu_" + re.sub(r"\W", "_", str(f.func.name))


def signature(f):
    return DispatcherSignature.from_schema(f.func, symint=False)


class Generator:
    def __init__(self, named=()):
        self.used = {}      # aclnn name -> AclnnOp
        self.named = named  # functions that have a row of their own

    # ---- pieces -------------------------------------------------------------------------------------------------

    def pack(self, call, op):
        self.used[call.function.name] = call.function
        lines, packed = [], []
        for i, (p, argument) in enumerate(zip(call.function.parameters, call.arguments)):
            # Tensors made for one call live until it is submitted: the memory of one must not become that of the next.
            if p.kind == "T" and "(" in argument:
                lines.append(f"const auto made_{i} = {argument};")
                argument = f"made_{i}"
            packed.append(f"l.{PACK[p.kind]}({argument});")
        lines += [f'Launch l(aclnn::{call.function.name}, "{op}");', *packed]
        return "{ " + " ".join(lines) + " l.submit(); }"

    def pack_in_place(self, call, op):
        tests = [] if call.twin.function.always else [f"launch::found(aclnn::{call.twin.function.name})"]
        tests += [f"launch::dtype_documented(aclnn::{call.twin.function.name}, {i}, {a}.scalar_type())" for i, a in call.narrower()]
        if not tests:
            return self.pack(call.twin, op)
        return f"if ({' && '.join(tests)}) {self.pack(call.twin, op)}\n  else {self.pack(call.plain, op)}"

    def launches(self, row, op, calls=None):
        if row.write:
            return row.write
        if row.value:
            return self.store_value(row)
        if calls is None:
            calls = row.aclnn
        body = "\n  ".join(self.pack_in_place(c, op) if isinstance(c, InPlace) else self.pack(c, op) for c in calls)
        cases = [*((f"is_cpu_scalar({a})", c) for a, c in row.cpu_scalar.items()), *row.instead.items()]
        for condition, call in cases:  # the last one is asked first
            case = self.pack(call, op) if isinstance(call, Call) else f"{{ {call} }}"
            body = f"if ({condition}) {case}\n  else {{\n  {body}\n  }}"
        return body

    def guard(self, row, f, names, produce):
        """Device scope; for dtypes that CANN documents no support for, and with a CANN that lacks the function, `otherwise` or the
        fallback."""
        tensors = [a for a in f.func.arguments.flat_all if str(a.type) in ("Tensor", "Tensor?", "Tensor[]", "Tensor?[]")]
        if not tensors:
            return ""
        scope = f"const DeviceScope scope({', '.join(a.name for a in tensors)});\n  "
        calls = [*row.aclnn, *row.cpu_scalar.values(), *(c for c in row.instead.values() if isinstance(c, Call))]
        tests = [f"available(aclnn::{name})" for name in sorted({c.function.name for c in calls if not c.function.always})]
        inputs = {a.name for a in f.func.arguments.flat_non_out if str(a.type) in ("Tensor", "Tensor?", "Tensor[]")}
        for call in row.aclnn[:1]:
            for i, (p, argument) in enumerate(zip(call.function.parameters, call.arguments)):
                argument = re.sub(r"^nonempty\((\w+)\)$", r"\1", argument)
                if argument in inputs and p.name in call.function.dtypes and p.kind in "TL":
                    self.used[call.function.name] = call.function
                    test = "documented_on_device" if argument in row.cpu_scalar else "documented"
                    tests.append(f"{test}(aclnn::{call.function.name}, {i}, {argument})")
        if row.only:
            tests.append(row.only)
        if not tests:
            return scope
        last = row.undocumented or self.fall_back(f, names)
        cases = "".join(f"if ({condition}) {{\n  explain_next_fallback(nullptr, {{}});\n  {produce(statements)}\n  }}\n    " for condition, statements in row.otherwise.items())
        return f"{scope}if (C10_UNLIKELY(!({' && '.join(tests)}))) {{\n    {cases}{last}\n  }}\n  "

    def guard_results(self, row, f, names, results):
        """The fallback for dtypes of results that CANN documents no support for: of type promotion, of ``dtype=`` and ``out=``.
        ``results`` is {the row's name: variable}."""
        tests = []
        own = row.undocumented or any(isinstance(c, str) for c in row.instead.values())  # the row sees to dtypes itself
        for call in () if own else row.aclnn[:1]:
            for i, (p, argument) in enumerate(zip(call.function.parameters, call.arguments)):
                if argument in results and p.name in call.function.dtypes and p.kind == "T":
                    self.used[call.function.name] = call.function
                    tests.append(f"documented(aclnn::{call.function.name}, {i}, {results[argument]})")
        return f"if (C10_UNLIKELY(!({' && '.join(tests)}))) {self.fall_back(f, names)}\n  " if tests else ""

    @staticmethod
    def fall_back(f, names):
        sig = signature(f)
        types = ", ".join(a.type for a in sig.arguments())
        return (f"return fallback<{sig.returns_type().cpp_type()}({types})>(\"aten::{f.func.name.name}\", "
                f"\"{f.func.name.overload_name}\"{''.join(', ' + n for n in names)});")

    def header(self, f):
        sig = signature(f)
        arguments = ", ".join(f"{a.type} {a.name}" for a in sig.arguments())
        return f"{sig.returns_type().cpp_type()} {identifier(f)}({arguments})"

    # ---- kernels ------------------------------------------------------------------------------------------------

    def structured(self, row, g):
        aten = row.write == "aten"
        base = g.functional.root_name
        meta_class = f"at::native::structured_{base}_out" if aten else f"at::meta::structured_{meta.name(g)}"
        outs = [a.name for a in g.out.func.arguments.out]
        n = len(outs)
        code = []
        for f in g.functions():
            if f not in self.registrations(g):
                continue
            kind = f.func.kind()
            op = f"aten::{f.func.name}"
            names = [a.name for a in signature(f).arguments()]
            meta_args = ", ".join(
                e.expr for e in translate(signature(f).arguments(), structured.meta_arguments(g), method=False))
            if kind == SchemaKind.functional:
                make = f"Functional<{meta_class}, {n}> meta;"
                result = "return meta.take();"
            elif kind == SchemaKind.inplace:
                make = f"InPlace<{meta_class}> meta(self);"
                result = "meta.finish();\n  return self;"
            else:
                make = f"Out<{meta_class}, {n}> meta({', '.join(outs)});"
                returned = outs[0] if n == 1 else f"{signature(f).returns_type().cpp_type()}({', '.join(outs)})"
                result = f"meta.finish();\n  return {returned};"
            quick = [] if row.write or row.value else self.alike_operands(g)  # what a row writes itself may ask `meta`
            if quick:
                operands = ", ".join(quick)
                ask = f"{make} meta.meta({meta_args});"
                make = f"static ResultDtypes results;\n  const AlikeOperands operands({operands});\n  "
                if kind == SchemaKind.functional:
                    make += (f"at::Tensor {outs[0]}_ = operands.output(results);\n  if (C10_UNLIKELY(!{outs[0]}_.defined())) {{\n    {ask}\n"
                             f"    {outs[0]}_ = meta.take();\n    operands.learn(results, {outs[0]}_);\n  }}\n  ")
                    result = f"return {outs[0]}_;"
                else:
                    given = "self" if kind == SchemaKind.inplace else outs[0]
                    make += (f"if (C10_UNLIKELY(!operands.fit(results, {given}, {operands}))) {{\n    {ask}\n    operands.learn(results, {given});\n  }}\n  "
                             f"[[maybe_unused]] const at::Tensor& {outs[0]}_ = {given};\n  ")
                    result = f"return {given};"
            else:
                make += f"\n  meta.meta({meta_args});\n  " + "".join(
                    f"[[maybe_unused]] const at::Tensor& {o}_ = meta.maybe_get_output({i});\n  " for i, o in enumerate(outs))
            calls = row.aclnn
            if kind == SchemaKind.inplace and row.inplace == "auto" and len(calls) == 1:
                twin = calls[0].without_output(outs[0])
                calls = [InPlace(twin, calls[0])] if twin else calls

            # In the row an output is called by its schema name; the meta object owns the tensor it stands for.
            def produce(body):
                for o in outs:
                    body = re.sub(rf"(?<![\w.:>]){o}(?![\w(])", f"{o}_", body)
                return f"{make}{check}{row.prepare}\n  {body}\n  {result}"

            if aten:
                body = f"meta.impl({', '.join([a.name for a in g.functional.func.arguments.flat_all] + outs)});"
            else:
                body = self.launches(row, op, calls)
            if row.finish:
                body += "\n  " + row.finish
            check = ""  # what stands in for undocumented dtypes is not held to the documentation of what it stands in for
            guard = self.guard(row, f, names, produce)
            check = self.guard_results(row, f, names, {o: f"{o}_" for o in outs})
            code.append(f"{self.header(f)} {{\n  {guard}{produce(body)}\n}}\n")
        return code, [f"#include <ATen/ops/{base}_{'native' if aten else 'meta'}.h>"], self.registrations(g)

    #: Elementwise operators whose result has the same shape and dtype whatever the (real) numbers are that they are given.
    ANY_NUMBERS = {
        "add.Tensor", "addcdiv", "addcmul", "clamp", "clamp_max", "clamp_min", "elu", "eq.Scalar", "ge.Scalar", "gt.Scalar",
        "hardshrink", "le.Scalar", "leaky_relu", "lerp.Scalar", "lt.Scalar", "ne.Scalar", "pow.Tensor_Scalar", "softplus",
        "softplus_backward", "sub.Tensor", "threshold", "threshold_backward",
    }
    #: What gelu takes besides its operands does not matter either.
    ANY_TEXT = {"gelu", "gelu_backward"}

    def alike_operands(self, g):
        """Names of the operands of an elementwise operator, if its result's shape and dtype depend on nothing but those of the
        tensors among them: see AlikeOperands in structured.h."""
        if g.out.structured_inherits != "TensorIteratorBase" or len(g.out.func.arguments.out) != 1:
            return []
        name = str(g.functional.func.name)
        operands = []
        for a in g.functional.func.arguments.flat_all:
            if str(a.type) == "Tensor" or (str(a.type) in ("Scalar", "Scalar?") and name in self.ANY_NUMBERS):
                operands.append(a.name)
            elif not (str(a.type) == "str" and name in self.ANY_TEXT):
                return []
        return operands

    def store_value(self, row):
        value = row.value
        if re.fullmatch(r"[\w:]+", value):
            tensors = [a.name for a in row.target.functional.func.arguments.flat_all if str(a.type) == "Tensor"]
            value += f"({', '.join(f'real({t})' for t in tensors)})"
        return ("[[maybe_unused]] const auto real = [type = compute_type(meta)](const at::Tensor& t) { return cast_to(t, type); };\n  "
                f"meta.store(0, cast_to({value}, meta.common_dtype()));")

    def registrations(self, g):
        return [f for f in g.functions()
                if f.func.kind() in (SchemaKind.functional, SchemaKind.inplace, SchemaKind.out)
                and "generated" not in f.tags]

    def unstructured(self, row, functions):
        """Rows with ``outputs``: shapes and dtypes from the row's own rules."""
        code, registered = [], []
        names = list(row.outputs)
        for f in functions:
            kind = f.func.kind()
            if "generated" in f.tags or kind not in (SchemaKind.functional, SchemaKind.inplace, SchemaKind.out):
                continue
            op = f"aten::{f.func.name}"
            args = [a.name for a in signature(f).arguments()]
            lines = [f"const Spec {o}_spec = {re.sub('^exactly ', '', spec)};" for o, spec in row.outputs.items()]
            twin = None
            if kind == SchemaKind.functional:
                lines += [f"at::Tensor {o} = allocate({o}_spec);" for o in names]
                result = f"return {names[0]};" if len(names) == 1 else f"return std::make_tuple({', '.join(names)});"
                finish = ""
            else:
                given = [a.name for a in f.func.arguments.out] if kind == SchemaKind.out else ["self"]
                verb = "Given" if kind == SchemaKind.out else "GivenInPlace"
                lines += [f"TORCH_CHECK({g}.scalar_type() == {o}_spec.dtype, \"Expected out tensor to have dtype \", {o}_spec.dtype, "
                          f"\", but got \", {g}.scalar_type(), \" instead\");"
                          for o, g in zip(names, given) if row.outputs[o].startswith("exactly ")]
                lines += [f"{verb} {o}_given({g}, {o}_spec);\n  [[maybe_unused]] const at::Tensor& {o}_ = {o}_given.tensor();"
                          for o, g in zip(names, given)]
                finish = "".join(f"{o}_given.finish();\n  " for o in names)
                result = (f"return {given[0]};" if len(given) == 1
                          else f"return {signature(f).returns_type().cpp_type()}({', '.join(given)});")
                if kind == SchemaKind.inplace and len(row.aclnn) == 1 and row.inplace == "auto":
                    twin = row.aclnn[0].without_output(names[0])
            calls = self.launches(row, op)
            if twin:  # a result that is converted into self is not computed in it
                calls = f"if ({names[0]}_given.direct()) {{ {self.launches(row, op, [InPlace(twin, row.aclnn[0])])} }}\n  else {{\n  {calls}\n  }}"
            if row.returns and kind == SchemaKind.functional:
                result = f"return {row.returns};"

            def produce(body):
                if kind != SchemaKind.functional:
                    for o in names:
                        body = re.sub(rf"(?<![\w.:>]){o}(?![\w(])", f"{o}_", body)
                return f"{row.prepare}\n  " + "\n  ".join(lines) + f"\n  {check}{body}\n  {finish}{result}"

            check = ""
            guard = self.guard(row, f, args, produce)
            check = self.guard_results(row, f, args, {o: o if kind == SchemaKind.functional else f"{o}_" for o in names})
            code.append(f"{self.header(f)} {{\n  {guard}{produce(calls)}\n}}\n")
            registered.append(f)
        return code, [], registered

    def no_output(self, row, f):
        """A function that only writes into its arguments (in-place or ``out=`` without rules)."""
        args = [a.name for a in signature(f).arguments()]
        mutated = [a.name for a in f.func.arguments.flat_all if a.annotation is not None and a.annotation.is_write]
        if row.returns:
            result = f"return {row.returns};"
        elif not f.func.returns:
            result = "return;"
        elif len(f.func.returns) == 1:
            result = f"return {mutated[0]};"
        else:
            result = f"return {signature(f).returns_type().cpp_type()}({', '.join(mutated)});"
        op = f"aten::{f.func.name}"
        tensors = {a.name for a in f.func.arguments.flat_all if str(a.type) == "Tensor"}
        checks = "".join(f"check_written({n});\n  " for n in mutated if n in tensors)

        def produce(body):
            return f"{checks}{row.prepare}\n  {body}\n  {result}"

        return [f"{self.header(f)} {{\n  {self.guard(row, f, args, produce)}{produce(self.launches(row, op))}\n}}\n"], [], [f]

    def composed(self, row, f, g):
        guard = self.guard(row, f, [a.name for a in signature(f).arguments()], None) if row.only else ""
        code = [f"{self.header(f)} {{\n  {guard}{row.compose}\n}}\n"]
        registered = [f]
        if isinstance(g, NativeFunctionsGroup) and str(f.func.name) == str(g.functional.func.name):
            plain = [a.name for a in signature(g.functional).arguments()]
            for v in g.functions():
                if v is f or "generated" in v.tags or str(v.func.name) in self.named or v.func.kind() not in (SchemaKind.inplace, SchemaKind.out):
                    continue
                given = ["self"] if v.func.kind() == SchemaKind.inplace else [a.name for a in v.func.arguments.out]
                call = f"{identifier(f)}({', '.join(plain)})"
                if len(given) == 1:
                    store = "store_in_place" if v.func.kind() == SchemaKind.inplace else "store_result"
                    body = f"{store}({given[0]}, {call});\n  return {given[0]};"
                else:
                    stores = " ".join(f"store_result({o}, std::get<{i}>(r));" for i, o in enumerate(given))
                    body = f"auto r = {call};\n  {stores}\n  return {signature(v).returns_type().cpp_type()}({', '.join(given)});"
                code.append(f"{self.header(v)} {{\n  {body}\n}}\n")
                registered.append(v)
        return code, [], registered

    def foreach(self, row, functions):
        """Functions over tensor lists: one aclnn call per stretch of the lists, or ATen's loop over the elements."""
        code, registered = [], []
        call, = row.aclnn
        self.used[call.function.name] = call.function
        for f in functions:
            if "generated" in f.tags or f.func.kind() == SchemaKind.out:
                continue
            functional = bool(f.func.returns)
            types = {a.name: str(a.type) for a in f.func.arguments.flat_all}
            lists = [n for n, t in types.items() if t == "Tensor[]"]
            scalars = [n for n, t in types.items() if t in ("Scalar", "Scalar[]")]
            promoting = scalars if not row.outputs else []  # a row with outputs decides about its scalars in `when`
            fused = f"foreach_fused({{{', '.join(lists)}}}{''.join(', ' + n for n in promoting)})"
            conditions = [fused, *([row.when] if row.when else [])]
            if not call.function.always:
                conditions.append(f"launch::found(aclnn::{call.function.name})")
            pack = []
            for i, (p, argument) in enumerate(zip(call.function.parameters, call.arguments)):
                if argument in lists and p.name in call.function.dtypes:
                    conditions.append(f"foreach_documented(aclnn::{call.function.name}, {i}, {argument})")
                value = {"L": "part({})", "T": "part({})", "Z": f"part(foreach_scalars({{}}, {lists[0]}))",
                         "S": f"foreach_scalar({{}}, {lists[0]})"}[p.kind].format(argument)
                pack.append(f"l.{PACK[p.kind]}({value});")
            loop = f"at::{layouts.loop_namespace(f)}::{f.func.name.name}({', '.join(a.name for a in signature(f).arguments())})"
            out = f"const auto out = {row.outputs.get('out', f'like_each({lists[0]})')};" if functional else f"const at::TensorList out = {lists[0]};"
            if not functional:
                bump = f"for (const at::Tensor& t : {lists[0]}) t.unsafeGetTensorImpl()->bump_version();"  # autograd leaves it to the kernel
                out = f"{out if 'out' in call.arguments else ''}\n  {bump}"
            lacking = "".join(f"  const {t} {a};\n" for a, t in row.lacks.items() if a not in types)
            code.append(
                f"{self.header(f)} {{\n{lacking}  if (!({' && '.join(conditions)})) return {loop};\n  const DeviceScope scope({lists[0]});\n"
                f"  {row.prepare}\n  {out}\n  for (ForeachPart part({lists[0]}.size(), {sum(p.kind == 'L' for p in call.function.parameters)}); "
                f"part.more(); part.next()) {{\n    Launch l(aclnn::{call.function.name}, \"aten::{f.func.name}\"); {' '.join(pack)} "
                f"l.submit();\n  }}{' return out;' if functional else ''}\n}}\n")
            registered.append(f)
        headers = {f"#include <ATen/ops/{f.root_name}_{layouts.loop_namespace(f)}_dispatch.h>" for f in registered}
        return code, sorted(headers), registered

    def row(self, row):
        with native_function_manager(row.target):  # structured groups spell tensor lists differently
            return self._row(row)

    def _row(self, row):
        g = row.target
        functions = list(g.functions()) if isinstance(g, NativeFunctionsGroup) else [g]
        if row.name.startswith("_foreach_") and row.aclnn:
            return self.foreach(row, functions)
        if isinstance(g, NativeFunctionsGroup):
            named = next(f for f in g.functions() if str(f.func.name) == row.name)
            if row.compose:
                return self.composed(row, named, g)
            if str(g.functional.func.name) == row.name:
                if g.structured and not row.outputs:
                    return self.structured(row, g)
                if row.outputs:
                    return self.unstructured(row, list(g.functions()))
                raise RowError(f"{row.name}: has no structured meta function in ATen, so the row needs `outputs`")
            return self.no_output(row, named)
        if row.compose:
            return self.composed(row, g, g)
        if row.outputs:
            return self.unstructured(row, [g])
        return self.no_output(row, g)

    # ---- files --------------------------------------------------------------------------------------------------

    def table(self):
        """aclnn_table.{h,cpp}: the AclnnFunction objects and one invoker per distinct C signature."""
        ops = [self.used[n] for n in sorted(self.used)]
        header = ["// Generated by codegen/gen_ops.py from abi/aclnn.csv.", "#pragma once", '#include "launch/aclnn.h"',
                  "namespace torch_npu::aclnn {", "using launch::AclnnFunction;"]
        # All of CANN's functions, so that a new row does not touch the header that every unit includes; used ones are defined.
        header += [f"extern const AclnnFunction {name};" for name in sorted(abi_model.aclnn_ops())] + ["}  // namespace torch_npu::aclnn", ""]
        source = ["// Generated by codegen/gen_ops.py from abi/aclnn.csv.", '#include "ops/aclnn_table.h"', "", "#include <iterator>",
                  "namespace torch_npu::aclnn {", "namespace {", "using launch::ArgValue;",
                  "constexpr uint64_t bit(c10::ScalarType t) { return uint64_t{1} << static_cast<int>(t); }"]
        for kinds in sorted({op.kinds for op in ops}):
            types = ", ".join([C_TYPES[k] for k in kinds] + ["uint64_t*", "aclOpExecutor**"])
            args = []
            for i, k in enumerate(kinds):
                member = {"void*": "pointer", "double": "real", "float": "real"}.get(C_TYPES[k], "integer")
                value = f"a[{i}].{member}"
                args.append(value if C_TYPES[k] in ("void*", "int64_t", "double") else f"static_cast<{C_TYPES[k]}>({value})")
            source.append(f"int call_{kinds}(void* f, const ArgValue* a, uint64_t* size, aclOpExecutor** executor) {{ "
                          f"return reinterpret_cast<int (*)({types})>(f)({', '.join(args + ['size', 'executor'])}); }}")
        for op in ops:
            params = ", ".join(f'"{p.name}"' for p in op.parameters)
            masks = []
            for p in op.parameters:
                known = sorted({DTYPES[d] for d in op.dtypes.get(p.name, ()) if d in DTYPES})
                masks.append(" | ".join(f"bit(at::k{d})" for d in known) or "0")
            source.append(f"constexpr const char* {op.name}_parameters[] = {{{params}}};")
            source.append(f"constexpr uint64_t {op.name}_dtypes[] = {{{', '.join(masks)}}};")
        source.append("}  // namespace")
        for op in ops:
            directions = "".join({"out": "o", "inout": "b"}.get(p.direction, "i") for p in op.parameters)
            cacheable = "false" if any(p.name.lower() in ("seed", "offset") for p in op.parameters) else "true"
            source.append(f'const AclnnFunction {op.name}{{"{op.name}", "{op.kinds}", {op.name}_parameters, {op.name}_dtypes, '
                          f'"{directions}", call_{op.kinds}, {cacheable}, "{op.since}"}};')
        source += ["namespace {", f"const AclnnFunction* const functions[] = {{{', '.join(f'&{op.name}' for op in ops)}}};",
                   "}  // namespace"]
        source += ["}  // namespace torch_npu::aclnn", "", "namespace torch_npu::launch {",
                   "AclnnFunctions all_functions() { return {aclnn::functions, std::size(aclnn::functions)}; }",
                   "}  // namespace torch_npu::launch", ""]
        return "\n".join(header), "\n".join(source)

    def unit(self, rows, family):
        table = yaml.safe_load((OPS / f"{family}.yaml").read_text()) or {}
        includes, code, registrations = {f'#include "{h}"' for h in table.get("include", [])}, [], []
        for row in rows:
            try:
                c, inc, functions = self.row(row)
            except RowError as e:
                raise RowError(f"{row.source}: {e}") from None
            includes.update(inc)
            code += [f"// {row.source}: {row.name}", *c]
            registrations += functions
        used = {re.sub(r"_out$", "", name) for name in re.findall(r"\bat::([a-z_]\w*)\(", "\n".join(code))}
        includes |= {f"#include <ATen/ops/{name}.h>" for name in used if name in operator_names()}
        loops = re.findall(r"\bat::compositeexplicitautograd::(\w+)\(", "\n".join(code))
        includes |= {f"#include <ATen/ops/{name}_compositeexplicitautograd_dispatch.h>" for name in loops if name in operator_names()}
        lines = ["// Generated by codegen/gen_ops.py.", '#include "ops/kernel_prelude.h"', *sorted(includes),
                 "namespace torch_npu::ops {", "namespace {", *code, "}  // namespace",
                 "TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {"]
        lines += [f'  m.impl("{f.func.name}", TORCH_FN({identifier(f)}));' for f in registrations]
        lines += ["}", "}  // namespace torch_npu::ops", ""]
        return "\n".join(lines)


def write(path, text):
    """Only when changed, so that an unchanged unit is not rebuilt."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--list", action="store_true", help="print the files that would be written, and stop")
    args = parser.parse_args()
    units = {}
    for path in sorted(OPS.glob("*.yaml")):
        units[path.stem] = []
    if args.list:
        files = [f"ops_{u}.cpp" for u in units] + ["layouts.cpp", "aclnn_table.cpp"]
        print(";".join(str(args.out / f) for f in files))
        return
    try:
        with local.parametrize(use_const_ref_for_mutable_tensors=False, use_ilistref_for_tensor_lists=False):
            absent = generate(args.out, units)
    except RowError as e:
        sys.exit(f"error: {e}")
    if absent:
        print(f"note: {len(absent)} rows name functions this torch does not have: {', '.join(absent)}")


def generate(out, units):
    """Writes every file; returns the names of rows this torch has no function for."""
    rows, absent = load_rows()
    generator = Generator({row.name for row in rows})
    for row in rows:
        units[Path(row.source).stem].append(row)
    out.mkdir(parents=True, exist_ok=True)
    for name, members in units.items():
        write(out / f"ops_{name}.cpp", generator.unit(members, name))
    for source in OPS.rglob("*.cpp"):
        for name in re.findall(r"\baclnn::(aclnn\w+)", source.read_text()):
            generator.used[name] = abi_model.aclnn_ops()[name]
    header, source = generator.table()
    write(out / "layouts.cpp", layouts.source())
    write(out / "aclnn_table.h", header)
    write(out / "aclnn_table.cpp", source)
    return absent


if __name__ == "__main__":
    main()
