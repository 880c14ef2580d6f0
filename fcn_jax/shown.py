"""Values in messages: short, on one line, and never the bytes of a file."""

import reprlib

LONGEST = 120
"""Characters of a value that a message shows."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 4
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 12
_SHORT.maxstring = _SHORT.maxother = LONGEST
_SHORT.maxlong = 40


def shown(value: object) -> str:
    """The value as Python writes it, with its middle left out where it is long."""
    text = _SHORT.repr(value)
    if not text.isprintable():
        text = ascii(text)[1:-1]
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return f"{text[:half]} ... {text[-half:]}"
