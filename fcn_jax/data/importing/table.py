"""The one table that says what an import did."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcn_jax.data.importing.export import Export
from fcn_jax.data.importing.writing import Written
from fcn_jax.data.labels import IGNORE


def print_table(export: Export, written: Written, console: Console) -> None:
    """Print what was read, how, and what was left out."""
    table = Table()
    for title in ("what", "how"):
        table.add_column(title, overflow="fold")
    for what, how in rows(export, written):
        table.add_row(escape(what), escape(how))
    console.print(table)


def rows(export: Export, written: Written) -> list[tuple[str, str]]:
    """Return the rows of the table, (what, how)."""
    done = [f"{n} {how}" for how, n in sorted(written.pictures.items())]
    found = [("format", export.format), ("pictures", ", ".join(done))]
    found += export.rules
    found += written.rules
    total = sum(written.pixels.values())
    for number, one in enumerate(export.classes):
        share = _share(written.pixels, number, total)
        found.append((f"class {number} {one.name}", f"{one.origin}; {share}"))
    ignored = ", ".join(export.ignored) or "nothing"
    found.append(
        ("ignored (255)", f"{ignored}; {_share(written.pixels, IGNORE, total)}")
    )
    found += _split_rows(export, written)
    found += [(f"left out: {what}", why) for what, why in export.left_out]
    return found


def _share(pixels: Mapping[int, int], number: int, total: int) -> str:
    return f"{pixels.get(number, 0) / max(total, 1):.2%} of the pixels"


def _split_rows(export: Export, written: Written) -> list[tuple[str, str]]:
    if not written.splits:
        counts = ", ".join(f"{s} {n}" for s, n in written.val_every_fifth.items())
        return [
            ("splits", f"none in the source: every fifth picture is val ({counts})")
        ]
    counts = ", ".join(f"{split} {n}" for split, n in written.splits.items())
    rest = sum(not entry.split for entry in export.entries)
    return [("splits", counts + (f"; {rest} pictures in none" if rest else ""))]
