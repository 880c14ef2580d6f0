"""What messages are made of: values and errors, short and on one line.

A value never shows the bytes of a file; an error of a library or of the machine becomes
one sentence.
"""

import contextlib
import reprlib
from collections.abc import Iterator

from absl import flags

LONGEST = 120
"""Characters of a value that a message shows."""

SENTENCE = 400
"""Characters of another part's message within a message."""

_LONGEST_CAUSE = 300
_REMEDY = "remedy: "  # of the notes of an exception, which others write too

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 4
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 12
_SHORT.maxstring = _SHORT.maxother = LONGEST
_SHORT.maxlong = 40


def shown(value: object) -> str:
    """The `repr` of a value; the middle of a long one is left out."""
    return shortened(_SHORT.repr(value))


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text without unprintable characters; the middle of a long one is left out."""
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text if text.isprintable() else ascii(text)[1:-1]


class RunError(RuntimeError):
    """A failure of a run for a reason outside the program.

    The base of the package's own run-time errors: a work directory in use, a checkpoint
    that cannot be written or read. Its message is one sentence with the remedy.
    """


# flags.Error: a mistyped flag is bad input too, and absl derives it from Exception.
REPORTED = (ValueError, OSError, RunError, flags.Error)
"""Bad input and expected failures: a command ends them in one sentence."""

NO_MEMORY = "memory is exhausted"
_MACHINE = (
    ("MemoryError", "", NO_MEMORY),
    ("JaxRuntimeError", "RESOURCE_EXHAUSTED", NO_MEMORY),
    ("JaxRuntimeError", "Out of memory", NO_MEMORY),
    ("JaxRuntimeError", "CUDA_ERROR", "the device failed"),
    ("JaxRuntimeError", "UNAVAILABLE", "the device failed"),
    ("SafetensorError", "I/O error", "a file could not be read or written"),
    ("RuntimeError", "can't start new thread", "no more threads are allowed"),
    ("RuntimeError", "No space left on device", "a file could not be written"),
    ("RuntimeError", "File too large", "a file could not be written"),
    ("RuntimeError", "Disk quota exceeded", "a file could not be written"),
    ("RuntimeError", "Input/output error", "a file could not be read or written"),
)
"""Failures of the machine, as libraries report them: (type, part of the text, what)."""


def machine_failure(error: BaseException) -> str | None:
    """Return what failed if an exception reports a failure of the machine, else None.

    Compares names of types, as most programs do not import the libraries that define
    them.
    """
    if isinstance(error, REPORTED):
        return None
    names = {own.__name__ for own in type(error).__mro__}
    for name, words, what in _MACHINE:
        if name in names and words in str(error):
            return what
    return None


@contextlib.contextmanager
def remedy(sentence: str, failure: str | None = None) -> Iterator[None]:
    """Adds to the sentence of a failure of the machine where, or what to do about it.

    Args:
      sentence: what is added.
      failure: only to this one, as `machine_failure` names it; else to all.
    """
    try:
        yield
    except Exception as error:
        found = machine_failure(error)
        if found is not None and failure in (None, found):
            error.add_note(f"{_REMEDY}{sentence}")
        raise


def error_sentence(error: BaseException) -> str:
    """The text of an exception on one line; an OSError's without its number."""
    if isinstance(error, OSError) and error.strerror:
        names = [str(n) for n in (error.filename, error.filename2) if n is not None]
        text = ": ".join(
            [" -> ".join(names), error.strerror] if names else [error.strerror]
        )
    else:
        text = str(error)
    text = " ".join(text.split()) or type(error).__name__
    what = machine_failure(error)
    if what is None:
        return text
    if len(text) > _LONGEST_CAUSE:  # XLA lists every buffer
        text = f"{text[:_LONGEST_CAUSE]} ..."
    notes = getattr(error, "__notes__", ())
    own = [note[len(_REMEDY) :] for note in notes if note.startswith(_REMEDY)]
    return "; ".join([f"{what} ({text})", *own])
