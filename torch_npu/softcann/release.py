"""softcann as an older CANN: a copy of its tree that says it is that release and has only the functions that are known to be in it.

A function is taken away by making its symbol local in the library's dynamic symbol table: neither a linker nor ``dlsym`` finds it then,
while the library itself may still call it.
"""

import csv
import os
import pathlib
import shutil
import struct

from torch_npu import softcann

#: Short names of releases; the full ones are those of ``functions.csv``.
SHORT = {"7.0": "7.0.0", "8.0": "8.0.0", "8.1": "8.1.RC1", "8.2": "8.2.RC1", "8.3": "8.3.RC1", "8.5": "8.5.0", "9.0": "9.0.0", "9.1": "9.1.0"}
#: What makes softcann recognisable is in every tree.
OWN = {"softcannVersion", "softcannRelease"}
#: Stays a link to the original, next to which it finds torch.
KERNELS = "libsoftcann_kernels.so"

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_PT_LOAD, _SHT_DYNSYM, _STV_HIDDEN = 1, 11, 2


class Library:
    """The dynamic symbols of an ELF file that are defined in it."""

    def __init__(self, path):
        self.path = path
        self.data = bytearray(path.read_bytes())
        head = _HEADER.unpack_from(self.data)
        if head[0][:6] != b"\x7fELF\x02\x01":
            raise ValueError(f"{path} is not a 64-bit little-endian ELF file")
        _, _, _, _, _, segments, sections, _, _, segment_size, segment_count, section_size, section_count, _ = head
        self._segments = [_SEGMENT.unpack_from(self.data, segments + i * segment_size) for i in range(segment_count)]
        table = [_SECTION.unpack_from(self.data, sections + i * section_size) for i in range(section_count)]
        self.symbols = {}  # name -> (offset of the entry, address, size)
        for _, kind, _, _, offset, size, link, _, _, entry in table:
            if kind != _SHT_DYNSYM:
                continue
            for at in range(offset, offset + size, entry):
                name, _, _, section, address, length = _SYMBOL.unpack_from(self.data, at)
                if section != 0:
                    self.symbols[self._text(table[link][4] + name)] = (at, address, length)

    def _text(self, at):
        return self.data[at : self.data.index(0, at)].decode()

    def hide(self, name):
        at = self.symbols[name][0]
        self.data[at + 4] &= 0x0F  # STB_LOCAL; the type stays
        self.data[at + 5] |= _STV_HIDDEN

    def write_text(self, name, text):
        """Overwrites a char array."""
        _, address, size = self.symbols[name]
        if len(text) >= size:
            raise ValueError(f"{text!r} does not fit into the {size} bytes of {name}")
        for kind, _, offset, start, _, in_file, _, _ in self._segments:
            if kind == _PT_LOAD and start <= address < start + in_file:
                at = offset + address - start
                self.data[at : at + size] = text.encode().ljust(size, b"\0")
                return
        raise ValueError(f"{name} of {self.path} is not in the file")


def releases():
    """The CANN releases that can be made, oldest first."""
    return [r["release"] for r in _table("releases.csv")]


def full_name(release):
    """``8.0`` -> ``8.0.0``; raises for what is not known."""
    name = SHORT.get(release, release)
    if name not in releases():
        raise ValueError(f"softcann cannot be CANN {release}: known are {', '.join(releases())}")
    return name


def missing(release):
    """The functions that are not known to be in a release. Of an operator the name of its second phase stands for all."""
    order = {r: i for i, r in enumerate(releases())}
    mine = order[full_name(release)]
    late = len(order)
    return {r["name"] for r in _table("functions.csv") if r["since"] and order.get(r["since"].replace("<=", ""), late) > mine}


def make(release, directory, without=()):
    """Writes the tree of a release, less the functions ``without``, to ``directory``; returns its path."""
    name, source, target = full_name(release), softcann.prefix(), pathlib.Path(directory).resolve()
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(f"{target} is not empty")
    gone = (missing(release) | set(without)) - OWN
    known = {r["name"] for r in _table("functions.csv")}
    if unknown := set(without) - known:
        raise ValueError(f"not a function of CANN: {', '.join(sorted(unknown))}")
    operators = {phase: op for op in gone if op.startswith("acl") for phase in (op + "GetWorkspaceSize", op + "GetMaxWorkspaceSize")}
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(KERNELS), dirs_exist_ok=True)
    os.symlink(source / "lib64" / KERNELS, target / "lib64" / KERNELS)
    for path in sorted((target / "lib64").glob("*.so")):
        if path.name == KERNELS:
            continue
        library = Library(path)
        for symbol in library.symbols:
            if symbol in gone or symbol in operators:
                library.hide(symbol)
        if "softcannRelease" in library.symbols:
            library.write_text("softcannRelease", name)
        path.write_bytes(library.data)
    for path in [target / "version.cfg", *target.glob("*/version.info"), *target.glob("*/ascend_toolkit_install.info")]:
        path.write_text(path.read_text().replace(softcann.CANN_VERSION, name))
    return target


def _table(name):
    with open(pathlib.Path(__file__).resolve().parent / name, newline="") as f:
        return list(csv.DictReader(f))
