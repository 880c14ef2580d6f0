"""The lines of a small text file in any of the common encodings."""

import codecs
import re
from pathlib import Path

from fcn_jax.data.examples import DataError

LARGEST = 2**26  # bytes; a list of a million paths has fewer

# Editors that mark the encoding put one of these first; UTF-32 begins as UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

_UNSEEN = re.compile(
    "[\\x00-\\x1f\\x7f-\\x9f\\u200b\\u2028-\\u202e\\u2060-\\u2069\\ufeff\\ud800-\\udfff]"
)


def has_unseen(text: str) -> bool:
    """Whether a text has characters that move, hide or break what is shown of it."""
    return _UNSEEN.search(text) is not None


def read_lines(path: Path) -> list[str]:
    """Stripped lines of a file in UTF-8, or in UTF-16 or 32 that is marked as such.

    Returns:
        The lines, without empty ones at the end; a byte order mark is no text.

    Raises:
        DataError: for a file that cannot be read, is too large or is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    if len(content) > LARGEST:
        raise DataError(f"{path} has more than {LARGEST} bytes; it is no list of names")
    encoding = next((e for mark, e in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not {encoding.upper()} text ({error.reason} at byte "
            f"{error.start}); save it as UTF-8"
        ) from error
    if "\0" in text:
        raise DataError(f"{path} is no text, or not UTF-8; save it as UTF-8")
    text = text.rstrip()
    return [line.strip() for line in re.split("\r\n|\r|\n", text)] if text else []
