"""The manifest of published weight files: third_party_weights/manifest.json.

The manifest is a list of records with all attributes of `Entry`. It describes files;
nothing is downloaded.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcn_jax.convert.layouts.weight_layouts import WEIGHT_LAYOUTS
from fcn_jax.runtime import shipped

DIGITS = {"sha256": 64, "sha256_prefix": 8, "sha1": 40, "md5": 32}
"""Hexadecimal digits of each kind of checksum, the strongest first."""

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Entry:
    """A published file, as its publisher describes it; None for what is not published.

    Attributes:
        file: its name, without a directory.
        net: its value of --net.
        origin: one of `WEIGHT_LAYOUTS`.
        format: as in `WeightFile`: "caffemodel", "pytorch", "keras", "npz", "npy", ...
        bytes: size.
        sha256: all 64 digits.
        sha256_prefix: the first 8, which torchvision puts into the name.
        sha1: all 40 digits.
        md5: all 32 digits.
        url: where it was published.
        licence: in a few words.
        input: channel order, range, mean and standard deviation of its images.
        refused: why it cannot be converted; None where it can.
    """

    file: str
    net: str
    origin: str
    format: str
    bytes: int | None
    sha256: str | None
    sha256_prefix: str | None
    sha1: str | None
    md5: str | None
    url: str | None
    licence: str
    input: str
    refused: str | None

    def checksums(self) -> dict[str, str]:
        """The published checksums by kind, the strongest first."""
        kinds = {kind: getattr(self, kind) for kind in DIGITS}
        return {kind: digest for kind, digest in kinds.items() if digest}


@dataclass(frozen=True)
class Verdict:
    """The result of looking up a file in the manifest.

    Attributes:
        status: "known" where a published checksum proves which file it is, "mismatch"
            where the checksum or size published for its name is another, "unknown"
            otherwise.
        sha256: the file's.
        entry: by checksum, else by name; None where the manifest has neither.
        sentence: the result in words, with the remedy for a mismatch.
    """

    status: Literal["known", "unknown", "mismatch"]
    sha256: str
    entry: Entry | None
    sentence: str


def default_manifest() -> tuple[Entry, ...]:
    """The entries of third_party_weights/manifest.json, as it comes with the package.

    Raises:
        OSError: if it is missing.
        ValueError: if it is damaged.
    """
    return read_manifest(shipped.directory("third_party_weights") / "manifest.json")


def read_manifest(path: str | Path) -> tuple[Entry, ...]:
    """The entries of a manifest, in its order.

    Args:
        path: a JSON file, a list of objects with the keys of `Entry`.

    Raises:
        OSError: if it cannot be read.
        ValueError: for text that is no such list, a missing, repeated or unknown key, a
            value of another type or form, or a file listed twice.
    """
    try:
        text = Path(path).read_bytes().decode()
        records = json.loads(text, object_pairs_hook=_unrepeated)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"manifest {path}: {error}; restore the file as it was published"
        ) from None
    if not isinstance(records, list):
        raise ValueError(
            f"manifest {path} holds a {type(records).__name__}; it has to be a list of "
            "entries"
        )
    entries = tuple(
        _entry(record, where=f"manifest {path}, entry {index}")
        for index, record in enumerate(records, start=1)
    )
    names = [entry.file for entry in entries]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"manifest {path} lists {', '.join(repeated)} more than once")
    return entries


def _unrepeated(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError(f"a key is repeated in {[key for key, _ in pairs]}")
    return record


def _entry(record: Any, *, where: str) -> Entry:
    if not isinstance(record, dict):
        raise ValueError(f"{where} is {record!r}; an entry is an object")
    keys = [field.name for field in fields(Entry)]
    missing = [key for key in keys if key not in record]
    unknown = sorted(set(record) - set(keys))
    if missing or unknown:
        raise ValueError(
            f"{where} lacks the keys {missing} and has the unknown keys {unknown}; "
            f"an entry has {', '.join(keys)}, null where nothing is known"
        )
    for key in keys:
        problem = _problem(key, record[key])
        if problem:
            raise ValueError(f"{where}: {key} is {record[key]!r}; {problem}")
    return Entry(**record)


def _problem(key: str, value: Any) -> str:
    """What is wrong with the value of a key; "" if it is valid."""
    if value is None:
        optional = key in ("bytes", *DIGITS, "url", "refused")
        return "" if optional else "it has to be given"
    if key == "bytes":
        return "" if type(value) is int and value > 0 else "a size is a whole number"
    if not isinstance(value, str) or not value or not value.isprintable():
        return "it has to be text in one line"
    if key in DIGITS and not re.fullmatch(f"[0-9a-f]{{{DIGITS[key]}}}", value):
        return f"it has to be {DIGITS[key]} digits 0..9, a..f"
    if key == "origin" and value not in WEIGHT_LAYOUTS:
        return f"an origin is one of {', '.join(WEIGHT_LAYOUTS)}"
    if key == "file" and re.search(r"[\\/\s]", value):
        return "it has to be a name without a directory"
    if key == "url" and not re.match(r"https?://", value):
        return "it has to begin with http:// or https://"
    return ""


def digest(path: str | Path, kinds: Iterable[str] = ("sha256",)) -> dict[str, str]:
    """Checksums of a file, read once in pieces.

    Args:
        path: the file.
        kinds: "sha256", "sha1" or "md5".

    Raises:
        OSError: if it cannot be read.
    """
    hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in kinds}
    with open(path, "rb") as file:
        while piece := file.read(_CHUNK_BYTES):
            for state in hashes.values():
                state.update(piece)
    return {kind: state.hexdigest() for kind, state in hashes.items()}


def find(
    path: str | Path, digests: Mapping[str, str], entries: Iterable[Entry]
) -> Entry | None:
    """The entry of a file: by a checksum, else by the file's name, else None.

    Args:
        path: the file; only its name counts.
        digests: its checksums by kind, as `digest` gives them.
        entries: the manifest.
    """
    entries = tuple(entries)
    name = Path(path).name
    proved = (entry for entry in entries if _proof(name, digests, entry))
    named = (entry for entry in entries if entry.file == name)
    return next(proved, None) or next(named, None)


def _proof(name: str, digests: Mapping[str, str], entry: Entry) -> str:
    """The kind of the strongest checksum in common if it agrees, "" otherwise.

    Eight digits alone do not identify a file, so they count only with the file's name.
    """
    for kind, published in entry.checksums().items():
        if kind == "sha256_prefix":
            agrees = entry.file == name and digests["sha256"].startswith(published)
            return kind if agrees else ""
        if kind in digests:
            return kind if digests[kind] == published else ""
    return ""


def check(path: str | Path, net: str, entries: Iterable[Entry]) -> Verdict:
    """Look a file up in the manifest.

    Reads it once for its sha256, and a second time for its md5 and sha1 only if its
    sha256 is not known and there are files of which nothing else is published.

    Args:
        path: the file.
        net: the value of --net.
        entries: the manifest; () where there is none.

    Raises:
        OSError: if the file cannot be read.
    """
    entries = tuple(entries)
    name, size = Path(path).name, Path(path).stat().st_size
    digests = digest(path)
    further = _further_kinds(entries, size)
    if further and not any(_proof(name, digests, entry) for entry in entries):
        digests |= digest(path, further)
    entry = find(path, digests, entries)
    kind = _proof(name, digests, entry) if entry else ""
    contradiction = "" if kind or not entry else _contradiction(entry, digests, size)
    if entry is None:
        status, sentence = "unknown", _unlisted(path, digests["sha256"], entries)
    elif contradiction:
        status = "mismatch"
        sentence = (
            f"{path} is not the file that the manifest lists under its name: "
            f"{contradiction}; fetch it again from {entry.url or 'its publisher'}, or "
            "rename a file of your own"
        )
    elif kind:
        status, sentence = "known", f"{path} is {entry.file}, proved by its {kind}"
    else:
        status = "unknown"
        sentence = (
            f"{path} has the name of a published file of which no checksum is "
            f"published, so its sha256 {digests['sha256']} proves nothing"
        )
    if entry is not None and entry.net != net:
        sentence += f"; it holds the weights of {entry.net}, not of {net}"
    return Verdict(status, digests["sha256"], entry, sentence)


def _further_kinds(entries: Iterable[Entry], size: int) -> list[str]:
    """Kinds of checksum by which a file of this size may be known, beside sha256."""
    kinds = set()
    for entry in entries:
        published = entry.checksums()
        if entry.bytes in (None, size) and published:
            kinds.add(next(iter(published)))
    return sorted(kinds & {"sha1", "md5"})


def _contradiction(entry: Entry, digests: Mapping[str, str], size: int) -> str:
    """How a file differs from the entry of its name."""
    if entry.bytes not in (None, size):
        return f"it has {size:,} bytes and the manifest says {entry.bytes:,}"
    for kind, published in entry.checksums().items():
        if kind == "sha256_prefix":
            return f"its sha256 is {digests['sha256']} and has to begin {published}"
        return f"its {kind} is {digests[kind]} and the manifest says {published}"
    return ""


def _unlisted(path: str | Path, sha256: str, entries: Sequence[Entry]) -> str:
    if not entries:
        return f"{path} (sha256 {sha256}) was not looked up, as there is no manifest"
    return f"{path} is not in the manifest, by name or by its sha256 {sha256}"


def print_list(entries: Sequence[Entry], console: Console) -> None:
    """Print the manifest: a table on a terminal, elsewhere every value of every file.

    Args:
        entries: the manifest.
        console: where to; a terminal of 80 columns or more shows every word.

    Raises:
        ValueError: if there are no entries, as for a package without its repository.
    """
    if not entries:
        raise ValueError(
            "there is no manifest to list: third_party_weights/manifest.json is in the "
            "repository and not in an installed copy; run from a clone"
        )
    if console.is_terminal:
        console.print(_table(entries))
        return
    for entry in entries:
        print(entry.file, file=console.file)
        for field in fields(Entry)[1:]:
            value = getattr(entry, field.name)
            if value is not None:
                print(f"  {field.name}: {value}", file=console.file)


def _table(entries: Iterable[Entry]) -> Table:
    table = Table(show_lines=True)
    table.add_column("file, net, origin", overflow="fold", ratio=5)
    table.add_column("MB", justify="right", no_wrap=True)
    table.add_column("checksum", no_wrap=True)
    table.add_column("licence; input", overflow="fold", ratio=4)
    for entry in entries:
        kind = next(iter(entry.checksums()), "none").replace("_prefix", ", 8")
        remarks = f"{entry.licence}; {entry.input}"
        if entry.refused:
            remarks = f"refused: {entry.refused}"
        table.add_row(
            escape(f"{entry.file}\n{entry.net}, {entry.origin}"),
            f"{entry.bytes / 1e6:.1f}" if entry.bytes else "?",
            kind,
            escape(remarks),
        )
    return table
