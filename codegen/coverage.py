"""How each ATen function runs on npu: read from the operator tables, the hand-written kernels and ``csrc/ops/without_kernel.csv``.

Asked about are the functions of the installed torch's ``native_functions.yaml`` that no composite implementation serves. They are

    dense    ATen has a kernel for ordinary CPU or CUDA tensors
    layout   only sparse, nested, quantized or mkldnn tensors have one
    other    nothing but a test of PyTorch's, or an interface of one vendor's library

and each runs in one of these ways:

    native     a kernel that calls aclnn functions (or only changes sizes, strides and storage)
    composed   a kernel made of other operators
    fallback   on the CPU, or refused; ``without_kernel.csv`` has the reason
    vendor     cannot exist here: an interface of another vendor's library or hardware

Run as a program, it names the functions that are in none of these, which is what a newer torch adds.
"""
import csv
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import gen_ops
import layouts
import torchgen
from torchgen import local

ROOT = Path(__file__).resolve().parent.parent
OPS = ROOT / "csrc" / "ops"
REASONS = OPS / "without_kernel.csv"
COMPAT = ROOT / "csrc" / "compat"
REASONS_OF_OLDER = COMPAT / "without_kernel.csv"  # for functions that only older versions of torch have so
ACLNN = re.compile(r"(?<!found\(aclnn::)\b(aclnn[A-Z]\w*)\b")  # asking for one is not calling it
IMPL = re.compile(r'm\.impl\(\s*"(?:aten::)?([\w.]+)",\s*(?:TORCH_FN\(([\w:<>]+)\)|([^;]*);)', re.S)


@dataclass(frozen=True)
class Kernel:
    """One registered function: where it comes from and which aclnn functions it calls."""
    source: str      # "unary.yaml", "index.cpp" or "layouts.py"
    aclnn: tuple
    composed: bool

    @property
    def by_hand(self):
        return self.source.endswith(".cpp")


@dataclass(frozen=True)
class Function:
    name: str        # "add.out"
    base: str        # "add"
    way: str         # native, composed, fallback, vendor
    kind: str        # dense, layout, other
    detail: str      # aclnn functions, or the reason


# ---- kernels --------------------------------------------------------------------------------------------------------

def _rows():
    """{function: Kernel} of the generated kernels."""
    found = {}
    with local.parametrize(use_const_ref_for_mutable_tensors=False, use_ilistref_for_tensor_lists=False):
        rows, _ = gen_ops.load_rows()
        generator = gen_ops.Generator()
        for row in rows:
            code, _, functions = generator.row(row)
            calls = tuple(dict.fromkeys(ACLNN.findall(re.sub(r"documented\([^)]*\)", "", "\n".join(code)))))
            for f in functions:
                found[str(f.func.name)] = Kernel(row.source, calls, bool(row.compose))
    return found


def _bodies(text):
    """{name: body} of the functions defined at the start of a line."""
    return {m[1]: m[2] for m in re.finditer(r"^[\w:<>,&*\s\[\]]*?\b(\w+)\([^;{]*\)\s*(?:const\s*)?\{(.*?)^\}", text, re.M | re.S)}


def _calls(name, bodies, seen):
    """aclnn functions that the function reaches within its file."""
    if name in seen or name not in bodies:
        return []
    seen.add(name)
    found = ACLNN.findall(bodies[name])
    for called in re.findall(r"\b(\w+)(?:<[^;()]*>)?\(", bodies[name]):
        found += _calls(called, bodies, seen)
    return found


@lru_cache
def _sources():
    """The C++ sources of kernels: csrc/ops, and of csrc/compat what the torch at hand needs."""
    version = re.search(r"__version__ = '(\d+)\.(\d+)", (Path(torchgen.__file__).parent.parent / "torch" / "version.py").read_text())
    bounds = {d: tuple(map(int, d.name.split("_")[1:])) for d in COMPAT.glob("before_*")}
    older = [d for d, bound in bounds.items() if tuple(map(int, version.groups())) < bound]
    return sorted(p for d in (OPS, *older) for p in d.rglob("*.cpp"))


def _by_hand(key):
    """{function: Kernel} of the kernels that C++ sources register under the dispatch key."""
    found = {}
    for path in _sources():
        text = path.read_text(encoding="utf-8")
        bodies = _bodies(text)
        for block in re.finditer(rf"TORCH_LIBRARY_IMPL\(aten, {key}, m\)\s*\{{(.*?)(?:^\}}|\}}$)", text, re.M | re.S):
            for name, function, expression in IMPL.findall(block[1]):
                calls = _calls(re.sub(r".*::|<.*", "", function), bodies, set()) if function else ACLNN.findall(expression)
                metadata = path.name in ("view.cpp", "factory.cpp", "copy.cpp", "stream_use.cpp", "pinned_memory.cpp")
                found[name] = Kernel(path.name, tuple(dict.fromkeys(calls)), not calls and not metadata)
    return found


def _of_aten(key):
    return {str(f.func.name): Kernel("layouts.py", (), True) for f, _ in layouts.registrations().get(key, ())}


LAYOUT_KEYS = tuple(layouts.KEYS)


@lru_cache
def kernels():
    """{function: Kernel} for ordinary tensors."""
    rows, by_hand = _rows(), _by_hand("PrivateUse1")
    if both := sorted(set(rows) & set(by_hand)):
        raise ValueError(f"registered by a row and by hand: {', '.join(both)}")
    return {**_of_aten("PrivateUse1"), **rows, **by_hand}


@lru_cache
def layout_kernels():
    """{function: Kernel} for sparse and nested tensors."""
    return {name: k for key in LAYOUT_KEYS for name, k in {**_of_aten(key), **_by_hand(key)}.items()}


# ---- ATen's functions -----------------------------------------------------------------------------------------------

@lru_cache
def _dispatch_keys():
    """{function: dispatch keys that native_functions.yaml gives it}."""
    keys = {}
    for key, index in layouts.parsed().backend_indices.items():
        for name in index.index:
            keys.setdefault(str(name), set()).add(str(key))
    return keys


def _kind(f):
    keys = set(_dispatch_keys().get(str(f.func.name), ()))
    if f.structured_delegate is not None:
        keys |= _dispatch_keys().get(str(f.structured_delegate), set())
    if keys & {"CPU", "CUDA"}:
        return "dense"
    return "layout" if any(k.startswith(("Sparse", "Nested", "Quantized", "Mkldnn")) for k in keys) else "other"


@dataclass
class Reason:
    pattern: str
    way: str
    text: str
    used: bool = False


def _reasons(path):
    with open(path, newline="", encoding="utf-8") as f:
        return [Reason(r["functions"], r["way"], r["reason"]) for r in csv.DictReader(f)]


def _sorted_out(reasons):
    """[Function], and the names of the functions that have neither a kernel nor a reason."""
    found, unexplained = [], []
    reasons = [*reasons, *_reasons(REASONS_OF_OLDER)]
    for f in gen_ops.native_functions():
        if f.has_composite_kernel:
            continue
        name, base = str(f.func.name), f.func.name.name.base
        kernel = kernels().get(name) or (_kind(f) == "layout" and layout_kernels().get(name)) or None
        if kernel is not None:
            found.append(Function(name, base, "composed" if kernel.composed else "native", _kind(f), " ".join(kernel.aclnn)))
            continue
        reason = next((r for r in reasons if re.fullmatch(r.pattern, name)), None)
        if reason is None:
            unexplained.append(name)
            continue
        reason.used = True
        found.append(Function(name, base, reason.way, _kind(f), reason.text))
    return found, unexplained


@lru_cache
def functions():
    """[Function] in the order of native_functions.yaml. Raises if a function without kernel has no reason, or a reason no function."""
    reasons = _reasons(REASONS)
    found, unexplained = _sorted_out(reasons)
    stale = [r.pattern for r in reasons if not r.used]
    if unexplained or stale:
        raise ValueError(f"{REASONS.name}: no line for {', '.join(unexplained) or 'none'}; lines for nothing: {', '.join(stale) or 'none'}")
    return found


def totals(kind=None):
    """{way: (functions, base operators)}; a base operator counts as its best function does."""
    order = ("native", "composed", "fallback", "vendor")
    chosen = [f for f in functions() if kind is None or f.kind == kind]
    best = {}
    for f in chosen:
        best[f.base] = min(best.get(f.base, "vendor"), f.way, key=order.index)
    return {way: (sum(f.way == way for f in chosen), sum(w == way for w in best.values())) for way in order}


def hand_written():
    """[(function, Kernel)] registered in C++ sources."""
    return sorted((name, k) for name, k in {**layout_kernels(), **kernels()}.items() if k.by_hand)


def main():
    _, unknown = _sorted_out(_reasons(REASONS))
    if unknown:
        print(f"note: {len(unknown)} functions of this torch have no kernel, and no reason in {REASONS.name}: {', '.join(unknown)}")


if __name__ == "__main__":
    main()
