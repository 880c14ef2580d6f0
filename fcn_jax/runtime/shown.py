"""Values in messages: short, on one line, and never the bytes of a file."""

import reprlib

LONGEST = 120
"""Characters of a value that a message shows."""

SENTENCE = 400
"""Characters of what another part says, within a message."""

_SHORT = reprlib.Repr()
_SHORT.maxlevel = 4
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxset = 12
_SHORT.maxstring = _SHORT.maxother = LONGEST
_SHORT.maxlong = 40


def shown(value: object) -> str:
    """The value as Python writes it, with its middle left out where it is long."""
    return shortened(_SHORT.repr(value))


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text with its middle left out where it is long, and nothing unprintable."""
    if len(text) > longest:
        half = longest // 2
        text = f"{text[:half]} ... {text[-half:]}"
    return text if text.isprintable() else ascii(text)[1:-1]
