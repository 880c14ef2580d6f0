"""Pictures as they are written: the same bytes, or the same pixels as PNG."""

import io
from pathlib import Path

from PIL import Image, ImageOps

from fcn_jax.data.examples import DataError
from fcn_jax.data.importing.export import Entry
from fcn_jax.data.importing.opening import SIDEWAYS, UNTURNED, opened, orientation
from fcn_jax.data.importing.options import STORED, TURNED

_ENDINGS = {"JPEG": ".jpg", "PNG": ".png"}
_PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")


def written_picture(
    entry: Entry, turned: bool | None, exif: str
) -> tuple[bytes, str, tuple[int, int], str]:
    """The picture of an entry as it is written.

    JPEG and PNG files without a turn in their EXIF tag keep their bytes; others become
    PNG without one.

    Args:
      entry: has the picture, and the size that was annotated.
      turned: whether its tool shows pictures turned by the tag; None if not known.
      exif: "turned" or "stored" where the user says so; empty else.

    Returns:
      The bytes, the ending of the file, (height, width), and what was done, for the table.

    Raises:
      DataError: for a picture that is not readable or has 16 bits a channel, one of
        another size than was annotated, and a turned one of which nothing says how it was
        annotated.
    """
    where = f"{entry.name} ({entry.where})"
    content = (
        entry.picture
        if isinstance(entry.picture, bytes)
        else _bytes(entry.picture, where)
    )
    with opened(content, where) as image:
        turn = orientation(image) != UNTURNED and _is_turned(
            image, entry.size, turned, exif, where
        )
        size = (image.height, image.width)
        if turn and orientation(image) in SIDEWAYS:
            size = (image.width, image.height)
        if entry.size is not None and size != entry.size:
            raise DataError(
                f"{where}: the picture is {size[0]}x{size[1]} pixels (height x width) and "
                f"its annotation {entry.size[0]}x{entry.size[1]}; they are not of one "
                "picture, or one was resized"
            )
        if orientation(image) == UNTURNED and image.format in _ENDINGS:
            return content, _ending(entry, image.format), size, "copied byte for byte"
        done = f"converted from {image.format} to PNG"
        if orientation(image) != UNTURNED:
            done = f"{'turned' if turn else 'not turned'} by the EXIF tag, as PNG"
        return _png(image, turn, where), ".png", size, done


def _bytes(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"{where}: there is no file {path}") from error


def _ending(entry: Entry, form: str) -> str:
    given = entry.name.suffix.lower()
    return given if form == "JPEG" and given == ".jpeg" else _ENDINGS[form]


def _is_turned(
    image: Image.Image,
    annotated: tuple[int, int] | None,
    turned: bool | None,
    exif: str,
    where: str,
) -> bool:
    """Whether the annotation is of the picture as its EXIF tag turns it."""
    if exif:
        return exif == TURNED
    sides = (image.height, image.width)
    if orientation(image) in SIDEWAYS and sides[0] != sides[1]:
        if annotated == sides:
            return False
        if annotated == sides[::-1]:
            return True
    if turned is None:
        raise DataError(
            f"{where}: its EXIF tag turns the picture (orientation {orientation(image)}), "
            "and nothing says whether it was annotated turned or as stored; give "
            f"--exif={TURNED} or --exif={STORED}"
        )
    return turned


def _png(image: Image.Image, turn: bool, where: str) -> bytes:
    """The pixels of an image as PNG without a tag."""
    if image.mode == "CMYK" and image.format == "JPEG":
        raise DataError(f"{where}: CMYK and a turned picture; convert it to RGB")
    if image.mode not in _PNG_MODES:
        raise DataError(
            f"{where}: colour mode {image.mode}, which has no equal of 8 bits a channel; "
            "convert it, so that it is you who chooses how its values are scaled"
        )
    image.load()
    plain = ImageOps.exif_transpose(image) if turn else image
    plain.info = {
        key: plain.info[key] for key in ("transparency",) if key in plain.info
    }
    buffer = io.BytesIO()
    plain.save(buffer, format="PNG", exif=b"")
    return buffer.getvalue()
