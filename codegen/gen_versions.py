"""Write the tables of docs/versions.md that are not written by hand.

    python codegen/gen_versions.py [--tested TABLE]

What CANN's vendor pairs comes from ``abi/versions.csv``. ``--tested`` is a file with the table that ``bash ci/matrix.sh --table`` prints, ``-`` for
standard input; without it the one in the page stays.
"""
import argparse
import re
from pathlib import Path

import abi_model

PAGE = Path(__file__).resolve().parent.parent / "docs" / "versions.md"
OLDEST = (7, 0)


def vendors_pairs():
    """A row per CANN release and PyTorch, from the oldest CANN that the adapter works with on."""
    out = ["| CANN | PyTorch | vendor's adapter | Python |", "|---|---|---|---|"]
    for r in abi_model.read_table("versions.csv"):
        if tuple(int(n) for n in re.findall(r"\d+", r["cann"])[:2]) >= OLDEST and "7.0.RC" not in r["cann"]:
            out.append(f"| {r['cann']} | {r['torch']} | {r['vendor_adapter']} | {r['python'].replace(' ', ', ')} |")
    return "\n".join(out)


def put(text, title, table):
    begin, end = f"<!-- {title}: begin -->", f"<!-- {title}: end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{PAGE} has no place for {title!r}: {begin} ... {end}")
    return f"{before}{begin}\n{table.strip()}\n{end}{after}"


def render(page, tested=None):
    page = put(page, "vendor's pairs", vendors_pairs())
    return page if tested is None else put(page, "tested combinations", tested)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tested", type=argparse.FileType(encoding="utf-8"))
    args = parser.parse_args()
    PAGE.write_text(render(PAGE.read_text(), args.tested and args.tested.read()))


if __name__ == "__main__":
    main()
