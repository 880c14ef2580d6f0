"""The report of a conversion: every parameter with its source, and unused arrays."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fcn_jax.convert.readers.weight_file import printable


@dataclass(frozen=True)
class Copied:
    """One parameter and where it came from.

    Attributes:
        path: of the parameter.
        shape: as it is here.
        source: name of the array in the file.
        source_shape: as it was there.
        how: the operations on the array, in words.
    """

    path: str
    shape: tuple[int, ...]
    source: str
    source_shape: tuple[int, ...]
    how: str


@dataclass(frozen=True)
class Report:
    """The report of a conversion; stored in the checkpoint.

    Attributes:
        file: the source.
        bytes: its size.
        sha256: its digest.
        status: "known", "unknown" or "mismatch", by the manifest.
        verdict: that result as a sentence.
        format: of the file.
        title: what the file calls its net.
        net: what it was converted to.
        origin: name of the layout of the file's names, kernels and colours.
        copied: every parameter.
        checked: arrays that were compared, not copied, with the result.
        unused: arrays without a parameter, with the reason that this is not an error.
        missing: parameters that the file does not have; the checkpoint is partial
            if there are any.
        warnings: doubts about the file that are not errors.
    """

    file: str
    bytes: int
    sha256: str
    status: str
    verdict: str
    format: str
    title: str
    net: str
    origin: str
    copied: tuple[Copied, ...]
    checked: Mapping[str, str]
    unused: Mapping[str, str]
    missing: tuple[str, ...]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON stores it."""
        return asdict(self) | {"checked": dict(self.checked)}

    def lines(self) -> list[str]:
        """The report as text, one line a parameter."""
        width = max((len(row.path) for row in self.copied), default=0)
        source = max((len(row.source) for row in self.copied), default=0)
        lines = [
            f"{self.file}: {self.format}, {self.bytes:,} bytes",
            f"sha256 {self.sha256}: {self.status}; {self.verdict}",
            f"as {self.net}, from {self.origin}"
            + (f" (the file calls itself {self.title!r})" if self.title else ""),
            "",
        ]
        lines += [
            f"{row.path:<{width}}  {_dims(row.shape):>15}  <-  {row.source:<{source}}  "
            f"{_dims(row.source_shape):>15}  {row.how}"
            for row in self.copied
        ]
        lines += [f"{name}: {result}" for name, result in self.checked.items()]
        lines += [f"unused: {name} ({why})" for name, why in self.unused.items()]
        lines += [f"not in the file: {path}" for path in self.missing]
        if self.missing:
            lines.append(
                "the checkpoint is partial: it initialises, and scores nothing"
            )
        lines += [f"warning: {self.file}: {sentence}" for sentence in self.warnings]
        return [printable(line) for line in lines]


def _dims(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"
