"""Write the adapter's view of CANN from ``abi/``.

    python codegen/gen_symbols.py --out BUILD/gen/cann

``symbols.h``: one typed Symbol per function, found by name at run time.  ``error_table.inc``: codes with name, cause, next step.
``functions.csv`` and ``releases.csv``: which CANN release has which function, for softcann as an older CANN.
"""
import argparse
from pathlib import Path

import abi_model
from gen_sdk import headers_for
from output import write_if_changed


def render_symbols():
    libraries = [lib for lib in abi_model.libraries().values() if lib.shipped and abi_model.functions_of(lib.name)]
    functions = [f for lib in libraries for f in abi_model.functions_of(lib.name) if not f.variadic]
    ids = {lib.name: lib.id for lib in libraries}
    out = ["// Generated from abi/ by codegen/gen_symbols.py.", "#pragma once", "", "#include <cstdint>", ""]
    out += [f'#include "{h}"' for h in headers_for(functions)]
    out += ["", "namespace torch_npu::cann {", "", "enum class Library : uint8_t {"]
    out += [f"  {lib.id}," for lib in libraries]
    out += ["};", "", "inline constexpr const char* kLibraryNames[] = {"]
    out += [f'    "{lib.name}",' for lib in libraries]
    out += ["};", "", "}  // namespace torch_npu::cann", "", '#include "cann/symbol.h"', "", "namespace torch_npu::cann {", ""]
    for f in functions:
        requirement = "required" if f.required else "optional"
        out.append(f'inline Symbol<{f.function_type()}> {f.name}{{"{f.name}", Library::{ids[f.library]}, '
                   f'Requirement::{requirement}, "{f.since}"}};')
    return "\n".join([*out, "", "}  // namespace torch_npu::cann", ""])


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def render_errors():
    out = ["// Generated from abi/errors.csv by codegen/gen_symbols.py: ERROR_ENTRY(code, family, name, cause, hint)"]
    out += [f"ERROR_ENTRY({e.code}, {quoted(e.family)}, {quoted(e.name)}, {quoted(e.cause)}, {quoted(e.hint)})"
            for e in abi_model.errors()]
    return "\n".join([*out, ""])


def render_since():
    """What ``python -m torch_npu.softcann --release`` takes away."""
    rows = {f.name: f.since for f in [*abi_model.functions().values(), *abi_model.aclnn_ops().values()]}
    return "\n".join(["name,since", *(f"{name},{since}" for name, since in sorted(rows.items())), ""])


def render_releases():
    return "\n".join(["release", *(r for r in abi_model.RELEASES if r != "master"), ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    write_if_changed(args.out / "symbols.h", render_symbols())
    write_if_changed(args.out / "error_table.inc", render_errors())
    write_if_changed(args.out / "functions.csv", render_since())
    write_if_changed(args.out / "releases.csv", render_releases())


if __name__ == "__main__":
    main()
