"""Safe file and directory names made from any text or path."""

import hashlib
import os
import re
import unicodedata

_DIGITS = 8


def folder_name(folder: str) -> str:
    """A name for a folder: its last part and a digest of its absolute path."""
    place = os.path.abspath(folder)
    return "-".join(filter(None, (plain(os.path.basename(place)), digest(place))))


def file_name(text: str) -> str:
    """A part of a file name for any text; different texts give different names.

    Letters and digits of any script, '_' and single '-' are kept, in composed form; where
    anything else was there, a digest of the text follows.
    """
    kept = plain(text)
    return kept if kept == text else "-".join(filter(None, (kept, digest(text))))


def digest(text: str) -> str:
    """A few hexadecimal digits for a text."""
    encoded = text.encode(errors="surrogateescape")
    return hashlib.sha256(encoded).hexdigest()[:_DIGITS]


def plain(text: str) -> str:
    """Return letters, digits and "_" of any script, all else as a single "-"."""
    composed = unicodedata.normalize("NFC", text)
    return re.sub(r"[^\w]+", "-", composed).strip("-")
