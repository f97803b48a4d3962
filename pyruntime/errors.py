"""Every error this library raises on purpose, under one base.

Each message says what is wrong, where, and what to do about it. The C library uses the same kinds
as error codes (`csrc/base/status.h`, `csrc/include/pyruntime.h`).
"""


class PyruntimeError(Exception):
    """Base of all errors of this library."""


class FormatError(PyruntimeError, ValueError):
    """A model file (ONNX or .pyrt) is damaged or says something that cannot be true."""


class UnsupportedError(PyruntimeError):
    """Something valid that this version, or this machine, cannot do."""


class ShapeError(PyruntimeError, ValueError):
    """Dimensions that do not fit the model or each other."""


class DTypeError(PyruntimeError, TypeError):
    """An element type that does not fit."""


class ResourceError(PyruntimeError):
    """Memory, threads or a limit set by the caller is exhausted."""


class Cancelled(PyruntimeError):  # noqa: N818 - named in the design; it is an outcome more than an error
    """The caller asked a run to stop."""


class ArgumentError(PyruntimeError, ValueError):
    """A name, option or value that the call does not accept."""


class MissingExtraError(PyruntimeError, ImportError):
    """An optional dependency is not installed; the message says which `pip install` brings it."""


class LimitError(PyruntimeError):
    """A limit set by the caller (accuracy, size, time) cannot be met."""
