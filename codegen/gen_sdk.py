"""Write the SDK's headers, CANN's include paths filled from ``abi/``.

    python codegen/gen_sdk.py --out BUILD/gen/include [--layout BUILD/gen/abi_layout.inc]

Every header stands alone and is valid C11 and C++.  ``--layout`` writes static assertions of every size and offset in
the tables, behind an include of every header; tests/cpp/abi_layout.* compiles it in both languages.
"""
import argparse
import re
from collections import defaultdict
from functools import lru_cache
from pathlib import Path

import abi_model
from output import write_if_changed

#: Headers of packages that are not CANN (driver, communication libraries of their own): their libraries are not shipped.
FOREIGN = ("shmem/", "dcmi/", "driver/", "aml/", "lcal_api.h")

#: Headers that clients expect to bring others along.
UMBRELLAS = {
    "acl/acl_base.h": ("acl/acl_base_rt.h", "acl/acl_base_mdl.h", "acl/error_codes/rt_error_codes.h",
                       "acl/error_codes/ge_error_codes.h"),
    "acl/acl.h": ("acl/acl_rt.h", "acl/acl_rt_allocator.h", "acl/acl_rt_memory_soma.h", "acl/acl_platform.h", "acl/acl_op.h",
                  "acl/acl_mdl.h"),
    "aclnn/aclnn_base.h": ("aclnn/acl_meta.h",),
    "aclnn/acl_meta.h": ("acl/acl_base.h", "aclnn/opdev/op_errno.h"),
    "hccl/hccl.h": ("hccl/hccl_types.h", "hccl/hccl_comm.h", "acl/acl.h"),
    "mspti/mspti.h": ("mspti/mspti_result.h", "mspti/mspti_activity.h", "mspti/mspti_callback.h"),
    "runtime/kernel.h": ("runtime/rt_external_kernel.h",),
    "runtime/rt.h": ("runtime/base.h", "runtime/config.h", "runtime/dev.h", "runtime/kernel.h", "runtime/rt_ffts.h"),
    "profiling/aprof_pub.h": ("profiling/prof_common.h",),
}
for _name in ("acl_rt.h", "acl_op.h", "acl_mdl.h", "acl_prof.h", "acl_tdt.h", "acl_tdt_queue.h", "acl_dump.h",
              "acl_op_compiler.h", "acl_rt_allocator.h", "acl_rt_memory_soma.h", "acl_platform.h"):
    UMBRELLAS.setdefault(f"acl/{_name}", ("acl/acl_base.h",))

#: Functions that CANN defines inline in a header, so no library has them.
INLINE = {
    "hccl/hccl_comm.h": """
/* Marks every field as "not set"; call it before filling a configuration in. */
static inline void HcclCommConfigInit(HcclCommConfig* config) {
  struct {
    size_t size;
    uint32_t magic;
    uint32_t version;
    uint64_t reserved;
  } info = {sizeof(HcclCommConfig), HCCL_COMM_CONFIG_MAGIC_WORD, HCCL_COMM_CONFIG_VERSION, 0};
  if (config == NULL) return;
  memset(config, 0, sizeof(*config));
  memcpy(config->reserved, &info, sizeof(info));
  config->hcclBufferSize = HCCL_COMM_BUFFSIZE_CONFIG_NOT_SET;
  config->hcclDeterministic = HCCL_COMM_DETERMINISTIC_CONFIG_NOT_SET;
  config->hcclOpExpansionMode = HCCL_COMM_DEFAULT_OP_EXPANSION_MODE;
  config->hcclRdmaTrafficClass = HCCL_COMM_TRAFFIC_CLASS_CONFIG_NOT_SET;
  config->hcclRdmaServiceLevel = HCCL_COMM_SERVICE_LEVEL_CONFIG_NOT_SET;
  config->hcclExecTimeOut = HCCL_COMM_EXECTIMEOUT_CONFIG_NOT_SET;
  config->hcclQos = HCCL_COMM_QOS_CONFIG_NOT_SET;
  config->hcclSymWinMaxMemSizePerRank = HCCL_DEFAULT_SYMMETRIC_MEMORY_STRIDE;
  config->hcclChannelSqDepth = HCCL_COMM_SQ_DEPTH_CONFIG_NOT_SET;
}
""",
    "hccl/hccl_launch.h": """
static inline HcclResult HcclOpDescInit(HcclOpDesc* opDesc) {
  if (opDesc == NULL) return HCCL_E_PTR;
  memset(opDesc, 0, sizeof(*opDesc));
  opDesc->header.version = HCCL_OPDESC_VERSION;
  opDesc->header.magicWord = HCCL_OPDESC_MAGIC_WORD;
  opDesc->header.size = (uint32_t)sizeof(*opDesc);
  return HCCL_SUCCESS;
}

static inline HcclResult HcclKernelLaunchCfgInit(HcclKernelLaunchCfg* kernelLaunchCfg) {
  if (kernelLaunchCfg == NULL) return HCCL_E_PTR;
  memset(kernelLaunchCfg, 0, sizeof(*kernelLaunchCfg));
  kernelLaunchCfg->header.version = HCCL_KERNEL_LAUNCH_CFG_VERSION;
  kernelLaunchCfg->header.magicWord = HCCL_KERNEL_LAUNCH_CFG_MAGIC_WORD;
  kernelLaunchCfg->header.size = (uint32_t)sizeof(*kernelLaunchCfg);
  return HCCL_SUCCESS;
}
""",
}

PRIMITIVES = {
    "bool": 1, "char": 1, "unsigned char": 1, "int8_t": 1, "uint8_t": 1, "int16_t": 2, "uint16_t": 2, "int": 4, "unsigned int": 4,
    "int32_t": 4, "uint32_t": 4, "float": 4, "int64_t": 8, "uint64_t": 8, "size_t": 8, "double": 8,
}


def words(text):
    return re.findall(r"[A-Za-z_]\w*", text)


def split_dimensions(ctype):
    base, _, rest = ctype.partition("[")
    return base, [int(d) for d in re.findall(r"\d+", rest)]


def inner_fields(ctype):
    """Fields of ``union{T a;U b}``."""
    body = ctype[ctype.index("{") + 1:-1]
    return [part.rsplit(" ", 1) for part in body.split(";")]


class Layout:
    """Sizes and alignments on 64-bit Linux, and how to make the C compiler agree with the tables."""

    def __init__(self, types):
        self.types = types
        self.known = {}

    def of(self, ctype):
        """(size, alignment) of a C type."""
        if "{" in ctype:
            sizes = [self.of(t) for t, _ in inner_fields(ctype)]
            align = max(a for _, a in sizes)
            if ctype.startswith("union"):
                size = max(s for s, _ in sizes)
            else:
                size = 0
                for s, a in sizes:
                    size = -(-size // a) * a + s
            return -(-size // align) * align, align
        base, dimensions = split_dimensions(ctype)
        base = re.sub(r"^(const|struct|union) ", "", base)
        if base.endswith("*") or "(*" in ctype:
            size = align = 8
        elif base in PRIMITIVES:
            size = align = PRIMITIVES[base]
        else:
            size, align = self.of_named(base)
        for d in dimensions:
            size *= d
        return size, align

    def of_named(self, name):
        if name not in self.known:
            t = self.types[name]
            if t.kind == "enum":
                self.known[name] = (4, 4)
            elif t.kind == "typedef":
                self.known[name] = self.of(t.target)
            else:
                self.known[name] = (t.size, self.plan(t)[1])
        return self.known[name]

    def plan(self, t):
        """(attribute, alignment, bytes to append) that give ``t`` the offsets and the size of the table."""
        end, natural, align = 0, True, 1
        for f in t.fields:
            size, a = self.of(f.type)
            align = max(align, a)
            start = 0 if t.kind == "union" else -(-end // a) * a
            natural &= start == f.offset
            end = max(end, f.offset + size) if t.kind == "union" else f.offset + size
        if natural and t.size % align == 0:
            tail = t.size - end if t.size - end >= align else 0
            return "", align, tail
        end_align = next(a for a in (8, 4, 2, 1) if t.size % a == 0 and t.size - end < a)
        return f"__attribute__((packed, aligned({end_align}))) " if end_align > 1 else "__attribute__((packed)) ", end_align, 0


class Sdk:
    def __init__(self):
        self.types = {n: t for n, t in abi_model.types().items() if not t.header.startswith(FOREIGN)}
        self.layout = Layout(self.types)
        self.body = defaultdict(lambda: {"constants": [], "types": [], "functions": []})
        for c in abi_model.loose_constants():
            if not c[3].startswith(FOREIGN):
                self.body[c[3]]["constants"].append(c)
        for t in self.types.values():
            self.body[t.header]["types"].append(t)
        for f in abi_model.functions().values():
            if f.header and abi_model.libraries()[f.library].shipped:
                self.body[f.header]["functions"].append(f)
        self.operators = defaultdict(list)
        for op in abi_model.aclnn_ops().values():
            self.operators[op.header].append(op)
        for name in list(UMBRELLAS) + list(self.operators):
            self.body[name]

    def headers(self):
        return sorted(self.body)

    def includes(self, name):
        used = set()
        for t in self.body[name]["types"]:
            used.update(words(t.target) if t.kind == "typedef" else ())
            for f in t.fields:
                used.update(words(f.type))
        for _, ctype, _, _ in self.body[name]["constants"]:
            used.update(words(ctype))
        for f in self.body[name]["functions"]:
            used.update(words(f.result))
            for p in f.parameters:
                used.update(words(p.type))
        found = {self.types[w].header for w in used if w in self.types}
        found.update(UMBRELLAS.get(name, ()))
        if name in self.operators:
            found.update(("aclnn/acl_meta.h",))
        return sorted(found - {name})

    def render_enum(self, t):
        lines = [f"  {n} = {literal(v)}," for n, v in t.constants]
        return [f"typedef enum {t.name} {{", *lines, f"}} {t.name};"]

    def render_fields(self, t):
        for f in t.fields:
            if "{" in f.type:
                kind = f.type[:f.type.index("{")]
                inner = " ".join(abi_model.declare(ctype, name) + ";" for ctype, name in inner_fields(f.type))
                yield f"  {kind} {{ {inner} }}{' ' + f.name if f.name else ''};"
            else:
                yield f"  {abi_model.declare(f.type, f.name)};"

    def render_types(self, name):
        """Forward declarations, enums, then what needs a complete type, each after what it is made of."""
        mine = {t.name: t for t in self.body[name]["types"]}
        forward = [f"typedef {'union' if t.kind == 'union' else 'struct'} {t.name} {t.name};"
                   for t in mine.values() if t.kind in ("opaque", "struct", "union")]
        out = [*forward, ""] if forward else []
        for t in mine.values():
            if t.kind == "enum":
                out += [*self.render_enum(t), ""]
        done = {n for n, t in mine.items() if t.kind in ("enum", "opaque")}

        def emit(t):
            if t.name in done:
                return
            done.add(t.name)
            for text in [t.target] if t.kind == "typedef" else [f.type for f in t.fields]:
                for w in words(text):
                    if w in mine and (mine[w].kind == "typedef" or not re.search(rf"\b{w}\*", text)):
                        emit(mine[w])
            if t.kind == "typedef":
                out.append(f"typedef {abi_model.declare(t.target, t.name)};")
                return
            attribute, _, tail = self.layout.plan(t)
            keyword = "union" if t.kind == "union" else "struct"
            out.extend([f"{keyword} {attribute}{t.name} {{", *self.render_fields(t)])
            if tail:
                out.append(f"  uint8_t softcann_unnamed[{tail}];  /* fields without a public name */")
            out.extend(["};", ""])

        for t in mine.values():
            emit(t)
        return out

    def render(self, name):
        body = self.body[name]
        guard = "SOFTCANN_SDK_" + re.sub(r"\W", "_", name).upper()
        out = ["/* Generated from abi/ by codegen/gen_sdk.py: names, values and layouts of CANN's C interface. */",
               f"#ifndef {guard}", f"#define {guard}", "", "#include <stdbool.h>", "#include <stddef.h>", "#include <stdint.h>"]
        if name in INLINE:
            out.append("#include <string.h>")
        out += ["", *(f'#include "{i}"' for i in self.includes(name)), ""]
        for n, ctype, value, _ in body["constants"]:
            if ctype == "#define":
                out.append(f"#define {n} {literal(value)}")
        if name == "acl/acl_base_rt.h":
            out += ["#ifndef ACL_FUNC_VISIBILITY", '#define ACL_FUNC_VISIBILITY __attribute__((visibility("default")))', "#endif"]
        out.append("")
        types = self.render_types(name)
        out += ["#ifdef __cplusplus", 'extern "C" {', "#endif", "", *types]
        for n, ctype, value, _ in body["constants"]:
            if ctype != "#define":
                out.append(f"static const {ctype} {n} = {literal(value)};")
        out.append("")
        for f in body["functions"]:
            only_cpp = any("&" in p.type for p in f.parameters)
            out += (["#ifdef __cplusplus"] if only_cpp else []) + [f"{visible(f.prototype())};"] + (["#endif"] if only_cpp else [])
        for op in self.operators.get(name, ()):
            out += [f"{visible(p)};" for p in operator_prototypes(op)]
        out += [INLINE.get(name, ""), "#ifdef __cplusplus", '}  /* extern "C" */', "#endif", "", "#endif", ""]
        return re.sub(r"\n{3,}", "\n\n", "\n".join(out))

    def render_layout(self):
        """Static assertions over every header, for a C and a C++ compiler."""
        out = ["/* Generated by codegen/gen_sdk.py. */"]
        out += [f'#include "{h}"' for h in self.headers()]
        out += ["#ifdef __cplusplus", "#define LAYOUT(...) static_assert(__VA_ARGS__)", "#else",
                "#define LAYOUT(...) _Static_assert(__VA_ARGS__, #__VA_ARGS__)", "#endif"]
        for t in self.types.values():
            if t.kind in ("struct", "union"):
                out.append(f"LAYOUT(sizeof({t.name}) == {t.size});")
                out += [f"LAYOUT(offsetof({t.name}, {f.name}) == {f.offset});" for f in t.fields if f.name]
            elif t.kind == "enum":
                out.append(f"LAYOUT(sizeof({t.name}) == 4);")
                out += [f"LAYOUT({n} == {literal(v)});" for n, v in t.constants]
        return "\n".join(out) + "\n"


@lru_cache
def type_headers():
    """{"aclDataType": "acl/acl_base_rt.h", ...}"""
    return {t.name: t.header for t in abi_model.types().values() if not t.header.startswith(FOREIGN)}


def headers_for(functions):
    """The headers that declare ``functions`` and their types, and CANN's codes."""
    used = {w for f in functions for text in (f.result, *(p.type for p in f.parameters)) for w in words(text)}
    found = {type_headers()[w] for w in used if w in type_headers()} | {f.header for f in functions if f.header}
    return sorted(found | {"acl/acl_base.h", "aclnn/opdev/op_errno.h"})


def visible(prototype):
    return f'__attribute__((visibility("default"))) {prototype}'


def literal(value):
    if value.startswith('"'):
        return value
    n = int(value, 0)
    if n > 0xFFFFFFFF:
        return f"{n}ULL"
    return f"{n}U" if n > 0x7FFFFFFF else f"({n})" if n < 0 else str(n)


def operator_prototypes(op):
    first = ", ".join([*(p.declare() for p in op.parameters), "uint64_t* workspaceSize", "aclOpExecutor** executor"])
    yield f"aclnnStatus {op.name}GetWorkspaceSize({first})"
    if op.max_workspace:
        yield f"aclnnStatus {op.name}GetMaxWorkspaceSize({first})"
    yield f"aclnnStatus {op.name}(void* workspace, uint64_t workspaceSize, aclOpExecutor* executor, aclrtStream stream)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--layout", type=Path)
    args = parser.parse_args()
    sdk = Sdk()
    for name in sdk.headers():
        write_if_changed(args.out / name, sdk.render(name))
    if args.layout:
        write_if_changed(args.layout, sdk.render_layout())
    write_if_changed(args.out / ".stamp", "")


if __name__ == "__main__":
    main()
