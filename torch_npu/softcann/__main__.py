"""``python -m torch_npu.softcann``: the software device's tree, for programs that are built and run against it."""

import argparse
import shlex
import sys

from torch_npu import softcann
from torch_npu.softcann import release as releases


def main():
    parser = argparse.ArgumentParser(
        prog="python -m torch_npu.softcann", description="The software Ascend device that is shipped with torch_npu.",
        epilog='In a shell: source "$(python -m torch_npu.softcann --prefix)/set_env.sh"')
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--prefix", action="store_true", help="print the directory that is laid out like an installed CANN")
    what.add_argument("--version", action="store_true", help="print softcann's version and the CANN release it has the interface of")
    what.add_argument("--env", action="store_true", help="print export commands: what set_env.sh does, for eval")
    what.add_argument("--release", nargs=2, metavar=("RELEASE", "DIRECTORY"),
                      help="write a tree to DIRECTORY that is softcann as an older CANN, for example 8.0: with that version and without "
                      "the functions that are not known to be in it")  # fmt: skip
    parser.add_argument("--without", action="append", default=[], metavar="FUNCTION", help="with --release: leave out this function, too")
    args = parser.parse_args()
    if args.without and not args.release:
        parser.error("--without belongs to --release")
    try:
        if args.prefix:
            print(softcann.prefix())
        elif args.version:
            print(f"softcann {softcann.__version__} (CANN {softcann.CANN_VERSION})")
        elif args.release:
            print(releases.make(*args.release, without=args.without))
        else:
            for name, value in softcann.environment().items():
                print(f"export {name}={shlex.quote(value)}")
    except (FileNotFoundError, FileExistsError, ValueError) as e:
        print(e, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
