"""`pyruntime`: finds the command and turns errors into one line and an exit code.

Exit codes: 0 done, 1 something the user can mend (the message says how), 2 wrong usage, 3 a limit
was not met.
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
    "tune": "fit the choice of kernels to this machine, in under a minute",
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
        description="Compressed neural networks that are smaller and faster on the CPU you have.",
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
        from pyruntime.plan.file import producer

        sys.stdout.write(f"{producer()}\n")
        return 0
    if parsed.command is None:
        parser.print_help()
        return 2
    command = importlib.import_module(f"pyruntime.cli.{parsed.command}")
    try:
        return int(command.run(parsed))
    except LimitError as error:
        return _complain(parsed.command, str(error), 3)
    except PyruntimeError as error:
        return _complain(parsed.command, str(error), 1)
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        named = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        return _complain(parsed.command, named, 1)
    except KeyboardInterrupt:
        return _complain(parsed.command, "interrupted", 130)


def _complain(command: str, message: str, code: int) -> int:
    """One line on stderr, whatever the message holds."""
    line = "; ".join(part.strip() for part in message.splitlines() if part.strip())
    sys.stderr.write(f"pyruntime {command}: {line}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
