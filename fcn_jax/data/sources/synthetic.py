"""A procedural data set: textured shapes before textured grounds, drawn in memory.

A real, small segmentation task that needs no files: a class is a shape together with a
texture and a range of hues that overlaps its neighbours', objects hide one another, the
light varies, every image has its own size, and a border of void (255) runs round each
object as in PASCAL VOC. Image i of a split depends on (seed, split, i) alone.
"""

import colorsys
import dataclasses
from collections.abc import Mapping

import numpy as np

from fcn_jax.data.examples import Example, check_index, checked_example, digest
from fcn_jax.data.labels import IGNORE, Classes, voc_palette
from fcn_jax.data.sources import shapes

SPLITS = ("train", "val")
MAX_CLASSES = 1 + len(shapes.SHAPES) * len(shapes.TEXTURES)
MIN_SIDE = 16

_EDITION = 1  # increased whenever the same parameters draw different images


@dataclasses.dataclass(frozen=True, kw_only=True)
class SyntheticSpec:
    """Parameters of the procedural data set.

    Attributes:
        num_classes: 2..21, the background included.
        num_train: images of the split train.
        num_val: images of the split val.
        min_size: least (height, width), at least 16 each.
        max_size: greatest (height, width); each image draws its own in between.
        seed: at least 0; another seed is another data set.

    Raises:
        ValueError: for a value outside its range.
    """

    num_classes: int
    num_train: int
    num_val: int
    min_size: tuple[int, int]
    max_size: tuple[int, int]
    seed: int

    def __post_init__(self):
        if not 2 <= self.num_classes <= MAX_CLASSES:
            raise ValueError(
                f"num_classes is {self.num_classes}; the synthetic data set has "
                f"2..{MAX_CLASSES} classes, background included"
            )
        if self.num_train < 0 or self.num_val < 0 or self.seed < 0:
            raise ValueError(
                f"num_train {self.num_train}, num_val {self.num_val} and seed "
                f"{self.seed} must each be at least 0"
            )
        for least, greatest in zip(self.min_size, self.max_size, strict=True):
            if not MIN_SIDE <= least <= greatest:
                raise ValueError(
                    f"min_size {self.min_size} and max_size {self.max_size} must be "
                    f"(height, width) with {MIN_SIDE} <= least <= greatest"
                )


def synthetic_classes(num_classes: int) -> Classes:
    """The first classes: background, then each shape once with each texture in turn.

    Args:
        num_classes: 2..21, background included.
    """
    kinds = [_kind(c) for c in range(1, num_classes)]
    names = tuple(
        f"{shapes.TEXTURES[texture]}_{shapes.SHAPES[shape]}" for shape, texture in kinds
    )
    return Classes(("background", *names), voc_palette(num_classes))


@dataclasses.dataclass(frozen=True)
class SyntheticSource:
    """One split of the procedural data set; a `Source`.

    Attributes:
        spec: the data set.
        split: "train" or "val", drawn from different random numbers.

    Raises:
        ValueError: for another split.
    """

    spec: SyntheticSpec
    split: str

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(
                f"the synthetic data set has no split {self.split!r}; "
                f"it has {', '.join(SPLITS)}"
            )

    @property
    def outputs(self) -> Mapping[str, Classes]:
        """The classes, under "semantic"."""
        return {"semantic": synthetic_classes(self.spec.num_classes)}

    @property
    def fingerprint(self) -> str:
        """Digest of the parameters and of the edition of the drawing."""
        parameters = dataclasses.asdict(self.spec)
        return digest(["synthetic", _EDITION, self.split, len(self), parameters])

    def __len__(self) -> int:
        return self.spec.num_train if self.split == "train" else self.spec.num_val

    def __getitem__(self, index: int) -> Example:
        check_index(index, len(self), f"synthetic {self.split}")
        rng = self._rng(index)
        image, labels = draw_scene(
            rng, self._draw_size(rng), num_classes=self.spec.num_classes
        )
        example = Example(self.name(index), {"color": image}, {"semantic": labels})
        where = f"data set synthetic, split {self.split}, example {example.name}"
        return checked_example(example, outputs=self.outputs, where=where)

    def name(self, index: int) -> str:
        """`train_000012` for example 12."""
        return f"{self.split}_{index:06d}"

    def sizes(self) -> np.ndarray:
        """`[n, 2] int32` (height, width); the first numbers drawn for each image."""
        sizes = [self._draw_size(self._rng(index)) for index in range(len(self))]
        return np.array(sizes, np.int32).reshape(-1, 2)

    def _rng(self, index: int) -> np.random.Generator:
        return np.random.default_rng(
            (self.spec.seed, SPLITS.index(self.split), int(index))
        )

    def _draw_size(self, rng: np.random.Generator) -> tuple[int, int]:
        size = rng.integers(self.spec.min_size, self.spec.max_size, endpoint=True)
        return int(size[0]), int(size[1])


def draw_scene(
    rng: np.random.Generator, size: tuple[int, int], *, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one image and its labels, far objects first.

    Args:
        rng: every choice is drawn from it.
        size: (height, width).
        num_classes: 2..21.

    Returns:
        `[H, W, 3] uint8` RGB and `[H, W] uint8` labels with void borders.
    """
    height, width = size
    image = shapes.ground(rng, size)
    labels = np.zeros(size, np.uint8)
    for _ in range(int(rng.integers(2, 5))):
        class_id = int(rng.integers(1, num_classes))
        _draw_object(rng, image, labels, class_id, num_classes)
    light = shapes.smooth_noise(rng, size, cells=3) * 0.22 + rng.uniform(0.8, 1.15)
    image *= light[..., None]
    image += rng.standard_normal((height, width, 1), np.float32) * rng.uniform(2, 8)
    image += rng.standard_normal((height, width, 3), np.float32) * rng.uniform(1, 5)
    return np.clip(image + 0.5, 0, 255).astype(np.uint8), labels


def _kind(class_id: int) -> tuple[int, int]:
    """(shape, texture) of a class; a pair comes once in 20 classes."""
    turn, shape = divmod(class_id - 1, len(shapes.SHAPES))
    return shape, (shape + turn) % len(shapes.TEXTURES)


def _draw_object(
    rng: np.random.Generator,
    image: np.ndarray,
    labels: np.ndarray,
    class_id: int,
    num_classes: int,
) -> None:
    """Paint an object of a class over the image and its labels, in place."""
    height, width = labels.shape
    shape, texture = _kind(class_id)
    radius = 0.5 * min(height, width) * rng.uniform(0.28, 0.6)
    row = rng.uniform(0.6 * radius, height - 0.6 * radius)
    column = rng.uniform(0.6 * radius, width - 0.6 * radius)
    reach = 1.5 * radius + 2
    top, bottom = max(0, int(row - reach)), min(height, int(row + reach) + 2)
    left, right = max(0, int(column - reach)), min(width, int(column + reach) + 2)
    window = (slice(top, bottom), slice(left, right))
    v = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(row)
    u = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(column)

    distance = shapes.signed_distance(rng, shape, u, v, radius)
    first, second = _colors(rng, class_id, num_classes)
    amount = shapes.pattern(rng, texture, u, v, radius)[..., None]
    shade = 1 + 0.25 * rng.uniform() * (u * rng.uniform(-1, 1) - np.abs(v)) / radius
    paint = (first + (second - first) * amount) * shade[..., None]

    cover = np.clip(0.5 - distance, 0, 1)[..., None]
    image[window] += cover * (paint - image[window])
    border = rng.uniform(0.5, 1.0)  # 1-2 pixels wide, half on either side of the edge
    labels[window][distance < border] = IGNORE
    labels[window][distance <= -border] = class_id


def _colors(
    rng: np.random.Generator, class_id: int, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Two colours of one hue, 0..255; hues reach into those of the next classes."""
    span = 1 / (num_classes - 1)
    hue = (class_id - 1) * span + rng.uniform(-0.75, 0.75) * min(span, 0.2)
    light = (rng.uniform(0.5, 0.9), rng.uniform(0.75, 1.0))
    dark = (rng.uniform(0.6, 1.0), rng.uniform(0.2, 0.45))
    first, second = (
        np.array(colorsys.hsv_to_rgb(hue % 1, *tone), np.float32) * 255
        for tone in (light, dark)
    )
    return first, second
