"""`pyruntime`: finds the command and turns errors into one line and an exit code.

Exit codes: 0 done, 1 something the user can mend (the message says how), 2 wrong usage, 3 a limit was not met.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from pyruntime.errors import LimitError, PyruntimeError

COMMANDS = {
    "inspect": "what is in a model: layers, sizes, which steps run natively and why",
    "compress": "make a model smaller and faster, and compile it",
    "compile": "turn an ONNX model into one .pyrt file, without reducing anything",
    "run": "run a model on arrays, images or sound",
    "bench": "measure latency, memory and load time",
    "profile": "time per step",
    "demo": "see five compressions of a real network side by side",
}

EPILOG = """examples:
  pyruntime inspect model.onnx
  pyruntime compress model.onnx --recipe prune:0.9+int8 --calibration images/ -o model.pyrt
  pyruntime run model.pyrt photo.png --labels names.txt
  pyruntime bench model.pyrt

Each command explains itself: pyruntime compress --help"""


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pyruntime",
        description="Compressed neural networks that really are smaller and faster, on the CPU you have.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    subparsers = parser.add_subparsers(dest="command", metavar="command")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == wanted:  # only this command's imports are paid for
            importlib.import_module(f"pyruntime.cli.{name}").add_arguments(subparser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    wanted = next((word for word in given if word in COMMANDS), None)
    parser = _parser(wanted)
    parsed = parser.parse_args(given)
    if parsed.version:
        from pyruntime import __version__

        sys.stdout.write(f"pyruntime {__version__}\n")
        return 0
    if parsed.command is None:
        parser.print_help()
        return 2
    command = importlib.import_module(f"pyruntime.cli.{parsed.command}")
    try:
        return int(command.run(parsed))
    except LimitError as error:
        sys.stderr.write(f"pyruntime {parsed.command}: {error}\n")
        return 3
    except (PyruntimeError, OSError) as error:
        sys.stderr.write(f"pyruntime {parsed.command}: {error}\n")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"pyruntime {parsed.command}: interrupted\n")
        return 130


if __name__ == "__main__":
    sys.exit(main())
