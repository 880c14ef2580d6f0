"""Pictures as they are written: the same bytes, or the same pixels as PNG."""

import io

import numpy as np
from PIL import Image

from fcn_jax.data.decoding.image_files import MAX_PIXELS, decode, size_of, upright
from fcn_jax.data.decoding.metadata import UPRIGHT
from fcn_jax.data.decoding.png import SIGNATURE
from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import Entry
from fcn_jax.data.importing.masks import FORMATS
from fcn_jax.data.importing.options import STORED, TURNED

_ENDINGS = {"JPEG": ".jpg", "PNG": ".png"}
_KEPT = {b"\xff\xd8\xff": "JPEG", SIGNATURE: "PNG"}
_PNG_MODES = ("1", "L", "LA", "RGB", "RGBA")

SIDEWAYS = range(5, 9)  # orientations that exchange height and width


def written_picture(
    entry: Entry, turned: bool | None, exif: str
) -> tuple[bytes, str, tuple[int, int], str]:
    """Return the picture of an entry as it is written.

    JPEG and PNG files without a turn in their EXIF tag keep their bytes; others become
    PNG without one.

    Args:
        entry: has the picture, and the size that was annotated.
        turned: whether its tool shows pictures turned by the tag; None if not known.
        exif: "turned" or "stored" where the user says so; empty else.

    Returns:
        The bytes, the ending of the file, (height, width), and what was done, for the
        table.

    Raises:
        DataError: for a picture that is not readable or has 16 bits a channel, one of
            another size than was annotated, and a turned one of which nothing says how
            it was annotated.
    """
    where = f"{entry.name} ({entry.where})"
    content = entry.picture()
    form = next(
        (form for start, form in _KEPT.items() if content.startswith(start)), ""
    )
    height, width, tag = size_of(content, FORMATS, where=where, max_pixels=MAX_PIXELS)
    turn = tag != UPRIGHT and _is_turned(
        (height, width), tag, entry.size, turned, exif, where
    )
    size = (width, height) if turn and tag in SIDEWAYS else (height, width)
    if entry.size is not None and size != entry.size:
        raise DataError(
            f"{where}: the picture is {size[0]}x{size[1]} pixels (height x width) and "
            f"its annotation {entry.size[0]}x{entry.size[1]}; they are not of one "
            "picture, or one was resized"
        )
    if tag == UPRIGHT and form:
        return content, _ending(entry, form), size, "copied byte for byte"
    done = "converted to PNG"
    if tag != UPRIGHT:
        done = f"{'turned' if turn else 'not turned'} by the EXIF tag, as PNG"
    return _png(content, turn, where), ".png", size, done


def _ending(entry: Entry, form: str) -> str:
    given = entry.name.suffix.lower()
    return given if form == "JPEG" and given == ".jpeg" else _ENDINGS[form]


def _is_turned(
    stored: tuple[int, int],
    tag: int,
    annotated: tuple[int, int] | None,
    turned: bool | None,
    exif: str,
    where: str,
) -> bool:
    """Tell whether the annotation is of the picture as its EXIF tag turns it."""
    if exif:
        return exif == TURNED
    if tag in SIDEWAYS and stored[0] != stored[1]:
        if annotated == stored:
            return False
        if annotated == stored[::-1]:
            return True
    if turned is None:
        raise DataError(
            f"{where}: its EXIF tag turns the picture (orientation {tag}), and nothing "
            "says whether it was annotated turned or as stored; give "
            f"--exif={TURNED} or --exif={STORED}"
        )
    return turned


def _png(content: bytes, turn: bool, where: str) -> bytes:
    """Return the pixels of an image as PNG without a tag."""
    found = decode(content, FORMATS, where=where, max_pixels=MAX_PIXELS, result_bytes=4)
    image = found.image
    if image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    if image.mode not in _PNG_MODES or found.depth > 8:
        raise DataError(
            f"{where}: colour mode {image.mode} with {found.depth} bits a channel, which "
            "has no equal as PNG of 8 bits; convert it, so that it is you who chooses how"
        )
    if image.mode == "1":
        image = image.convert("L")
    pixels = upright(np.asarray(image), found.orientation if turn else UPRIGHT)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
