"""Tables of the statistics of a split, for a terminal."""

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fcn_jax.data.pipeline.padding import padding_notes
from fcn_jax.data.tools.census import absence_notes, absence_problems, useless_problems
from fcn_jax.data.tools.statistics import (
    Channels,
    ClassCounts,
    Statistics,
    canvas_choices,
    size_summary,
)


def print_statistics(
    statistics: Statistics, split: str, title: str, console: Console
) -> None:
    """Print sizes, canvases, channels and classes, and notes about them.

    Args:
        statistics: of a split.
        split: its name.
        title: names data set and split.
        console: where to print; sentences are not wrapped.
    """
    total, read = len(statistics.sizes), statistics.read
    amount = str(total) if read == total else f"{total}, of which {read} were read"
    # Sentences are printed plainly: rich would wrap them and read [..] as markup.
    print(f"{title}; images: {amount}", file=console.file)
    for line in (_size_line(statistics), *_canvas_lines(statistics)):
        print(line, file=console.file)
    console.print(_channel_table(statistics.inputs))
    for key, counts in statistics.outputs.items():
        console.print(_class_table(key, counts))
    found = {split: statistics.census}
    sizes = {
        name: (int(height), int(width))
        for name, (height, width) in zip(
            statistics.names, statistics.sizes, strict=True
        )
    }
    for note in (*absence_notes(found), *padding_notes(sizes)):
        print(f"note: {note}", file=console.file)
    for problem in (*useless_problems(found), *absence_problems(found)):
        print(f"problem: {problem}", file=console.file)


def _size_line(statistics: Statistics) -> str:
    own = size_summary(statistics.sizes)
    heights, widths = (
        f"{own['least'][axis]}, {own['median'][axis]:g}, {own['greatest'][axis]}"
        for axis in (0, 1)
    )
    height, width = own["most_frequent"]
    return (
        f"least, median, greatest height {heights}, width {widths}; "
        f"different sizes: {own['different']}, most often {height}x{width} "
        f"(height x width; images: {own['images_of_it']})"
    )


def _canvas_lines(statistics: Statistics) -> list[str]:
    lines = ["padding, with one image a batch:"]
    for choice in canvas_choices(statistics.sizes):
        canvases = [f"{height}x{width}" for height, width in choice["canvases"]]
        noun = "canvas" if len(canvases) == 1 else "canvases"
        lines.append(
            f"  {len(canvases)} {noun}: {choice['waste']:.1%} ({', '.join(canvases)})"
        )
    return lines


def _channel_table(inputs: Mapping[str, Channels]) -> Table:
    table = Table("input", "channel", "mean", "deviation", "least", "greatest")
    for key, channels in inputs.items():
        rows = zip(
            channels.mean,
            channels.std,
            channels.least,
            channels.greatest,
            strict=True,
        )
        for index, (mean, std, least, greatest) in enumerate(rows):
            numbers = (f"{mean:.4f}", f"{std:.4f}", f"{least:g}", f"{greatest:g}")
            table.add_row(key, str(index), *numbers)
    return table


def _class_table(key: str, counts: ClassCounts) -> Table:
    table = Table("id", key, "pixels", "share", "images", "weight")
    rows = zip(
        counts.classes.names,
        counts.pixels,
        counts.frequencies,
        counts.images,
        counts.weights,
        strict=True,
    )
    for label, (name, pixels, share, images, weight) in enumerate(rows):
        table.add_row(
            str(label),
            escape(name),
            f"{pixels:,}",
            f"{share:.4%}",
            str(images),
            "" if weight is None else f"{weight:.4f}",
        )
    ignored = (str(counts.classes.ignore), "(ignored)", f"{counts.ignored:,}")
    table.add_row(*ignored)
    return table
