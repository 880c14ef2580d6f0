"""Label maps of pictures: the Python API and the command line.

    from fcn_jax.predict import Segmenter
    labels = Segmenter.load("runs/quickstart").labels(image)["semantic"]

    python -m fcn_jax.predict --checkpoint=runs/quickstart --output=predictions photos/

A checkpoint knows its network, preprocessing and classes: give raw RGB pixels.
"""

import glob
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import logging
from PIL import Image
from rich.console import Console
from rich.progress import track

from fcn_jax import assembly, checkpoint
from fcn_jax.assembly import Trained
from fcn_jax.data.images import COLOR_FORMATS, read_color
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Classes
from fcn_jax.paths import unflatten
from fcn_jax.preprocessing import preprocess
from fcn_jax.program import Parser, error_sentence, run, set_up_logging
from fcn_jax.report.panels import overlay
from fcn_jax.workdir import write_atomically

CANVAS_MULTIPLE = 64
SUFFIXES = (".jpg", ".jpeg", ".png")
Picture = np.ndarray | Mapping[str, np.ndarray]


class Segmenter:
    """A trained or converted network that labels pictures of any size.

    Attributes:
        outputs: classes of each output.
    """

    def __init__(self, trained: Trained, params: Mapping[str, Any]):
        self.outputs = dict(trained.outputs)
        self._records = trained.records
        self._smallest_image = trained.smallest_image
        self._params = jax.device_put(params)
        model, dtype = trained.model, trained.dtype

        @jax.jit
        def forward(params: Any, inputs: Any, sizes: Any) -> Any:
            ready = preprocess(inputs, trained.records, dtype)
            maps: Any = model.apply({"params": params}, ready, train=False, sizes=sizes)
            return {name: feature_map.values for name, feature_map in maps.items()}

        self._forward = forward

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Segmenter":
        """Load the best (else newest) of a work directory, or a converted checkpoint.

        Raises:
            CheckpointError: if there is none that can be trusted.
        """
        found = checkpoint.load(path)
        logging.info("predicting with %s", found.directory)
        return cls(assembly.trained(found.record), unflatten(found.params))

    def scores(self, image: Picture) -> dict[str, np.ndarray]:
        """Unnormalised scores of every pixel.

        Args:
            image: `[H, W, 3] uint8` RGB; or a mapping by input name: "color" and
                "hha" `[H, W, 3] uint8`, "depth" `[H, W]` in millimetres.

        Returns:
            For each output `[H, W, K] float32`.

        Raises:
            ValueError: if an input is missing, or has another type or shape.
        """
        inputs = self._checked(image)
        height, width = next(iter(inputs.values())).shape[:2]
        # Canvases grow in steps, so that a folder of sizes compiles a few programs;
        # the network's masks make the result that of the image alone.
        rows, columns = (
            -(-length // CANVAS_MULTIPLE) * CANVAS_MULTIPLE
            for length in (height, width)
        )
        padding = ((0, rows - height), (0, columns - width), (0, 0))
        padded = {name: np.pad(value, padding)[None] for name, value in inputs.items()}
        sizes = np.array([[height, width]], np.int32)
        scores = self._forward(self._params, padded, sizes)
        return {
            name: np.asarray(value[0, :height, :width], np.float32)
            for name, value in scores.items()
        }

    def labels(self, image: Picture) -> dict[str, np.ndarray]:
        """Class of every pixel, for each output: `[H, W] uint8`; see `scores`."""
        return {
            name: scores.argmax(axis=-1).astype(np.uint8)
            for name, scores in self.scores(image).items()
        }

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that the network reads."""
        return tuple(self._records)

    def refuse_small(self, size: Sequence[int], name: str) -> None:
        """Refuse an image of `size` (height, width) whose maps would be empty."""
        if min(size) < self._smallest_image:
            raise ValueError(assembly.too_small(name, size, self._smallest_image))

    def _checked(self, image: Picture) -> dict[str, np.ndarray]:
        given = dict(image) if isinstance(image, Mapping) else {"color": image}
        if set(given) != set(self._records):
            raise ValueError(
                f"the network reads the inputs {sorted(self._records)}, but the image "
                f"has {sorted(given)}"
            )
        inputs = {name: _checked_input(name, value) for name, value in given.items()}
        sizes = {name: value.shape[:2] for name, value in inputs.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the inputs have different sizes: {sizes}")
        self.refuse_small(next(iter(sizes.values())), "the image")
        return inputs


def _checked_input(name: str, value: np.ndarray) -> np.ndarray:
    """One input as `[H, W, C]`, uint8 or, for depth, float32."""
    value = np.asarray(value)
    if name == "depth":
        if value.ndim != 2 or 0 in value.shape:
            raise ValueError(f"depth has shape {value.shape}; it must be [H, W]")
        depth = value.astype(np.float32)
        bad = int((~(np.isfinite(depth) & (depth > 0))).sum())
        if bad:
            raise ValueError(
                f"depth has {bad} values that are not positive and finite, which have "
                "no logarithm; fill the holes first"
            )
        return depth[:, :, None]
    if value.ndim != 3 or value.shape[2] != 3 or 0 in value.shape:
        raise ValueError(f"{name} has shape {value.shape}; it must be [H, W, 3] RGB")
    if value.dtype != np.uint8:
        raise ValueError(
            f"{name} is {value.dtype}; it must be uint8, 0..255, without normalisation"
        )
    return value


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    set_up_logging()
    files = find_pictures(options.images)
    segmenter = Segmenter.load(options.checkpoint)
    if segmenter.inputs != ("color",):
        raise ValueError(
            f"this network reads {segmenter.inputs}; the command line gives colour "
            "only: call fcn_jax.predict.Segmenter from Python with all its inputs"
        )
    output = Path(options.output)
    _refuse_overwriting(files, output, segmenter, options.overlay)
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    console = Console(stderr=True)
    bar = partial(track, console=console, disable=not console.is_terminal)
    for file in bar(files, description="predicting"):
        try:
            image = read_color(file, where=str(file), rotate=True)
            segmenter.refuse_small(image.shape[:2], str(file))
        except (ValueError, OSError) as error:
            failed.append(error_sentence(error))
            continue
        write_prediction(
            segmenter,
            image,
            output,
            file.stem,
            overlays=options.overlay,
            scores=options.scores,
        )
    print(f"{len(files) - len(failed)} of {len(files)} pictures labelled in {output}")
    for sentence in failed:
        print(f"error: {sentence}", file=sys.stderr)
    return 2 if failed else 0


def _refuse_overwriting(
    files: Sequence[Path], output: Path, segmenter: Segmenter, overlays: bool
) -> None:
    """Refuse label maps that would replace a picture, or one another."""
    others = [f"_{name}" for name in list(segmenter.outputs)[1:]]
    ends = [
        f"{own}{o}" for own in ("", *others) for o in ("", "_overlay")[: 1 + overlays]
    ]
    sources = {file.resolve() for file in files}
    targets: set[Path] = set()
    for file in files:
        for end in ends:
            target = (output / f"{file.stem}{end}.png").resolve()
            if target in sources or target in targets:
                raise ValueError(
                    f"the label map of {file} would overwrite {target}, a picture or "
                    "the label map of one; give another --output directory, and "
                    "pictures of equal names one each"
                )
            targets.add(target)


def _parser() -> Parser:
    parser = Parser(
        prog="python -m fcn_jax.predict", description="Label every pixel of pictures."
    )
    parser.add_argument(
        "--checkpoint", required=True, help="work directory or converted checkpoint"
    )
    parser.add_argument("--output", required=True, help="directory for the label maps")
    parser.add_argument(
        "--overlay", action="store_true", help="also write <stem>_overlay.png"
    )
    parser.add_argument(
        "--scores", action="store_true", help="also write <stem>.npy, [H, W, K] float32"
    )
    parser.add_argument(
        "images", nargs="+", metavar="IMAGE", help="files, folders or globs"
    )
    return parser


def find_pictures(names: Sequence[str]) -> list[Path]:
    """The files that names, folders and globs stand for, each once, in order.

    Raises:
        ValueError: if a name stands for no picture.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            matches = [
                p for p in sorted(path.iterdir()) if p.suffix.lower() in SUFFIXES
            ]
        elif path.is_file():
            matches = [path]
        else:
            matches = [Path(match) for match in sorted(glob.glob(name, recursive=True))]
            matches = [match for match in matches if match.is_file()]
        if not matches:
            raise ValueError(
                f"{name} is no picture, and no folder or glob of pictures "
                f"({', '.join(COLOR_FORMATS)})"
            )
        found.update(dict.fromkeys(matches))
    return list(found)


def write_prediction(
    segmenter: Segmenter,
    image: np.ndarray,
    output: Path,
    stem: str,
    *,
    overlays: bool,
    scores: bool,
) -> None:
    """Write the label map of a picture, and its overlay and scores if asked.

    The first output is `<stem>.png`, others `<stem>_<output>.png`; the pixels of the
    palette PNG are class ids.
    """
    found = segmenter.scores(image)
    for index, (name, values) in enumerate(found.items()):
        classes = segmenter.outputs[name]
        labels = values.argmax(axis=-1).astype(np.uint8)
        own = stem if index == 0 else f"{stem}_{name}"
        _write(output / f"{own}.png", partial(_save_labels, labels, classes))
        if overlays:
            picture = Image.fromarray(overlay(image, labels, classes))
            _write(output / f"{own}_overlay.png", partial(picture.save, format="PNG"))
        if scores:
            own = stem if len(found) == 1 else f"{stem}_{name}"
            _write(output / f"{own}.npy", partial(_save_scores, values))


def _save_scores(scores: np.ndarray, file: io.BytesIO) -> None:
    np.save(file, scores)


def _save_labels(labels: np.ndarray, classes: Classes, file: io.BytesIO) -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.palette
    palette[IGNORE] = VOID_COLOR
    picture = Image.fromarray(labels)
    picture.putpalette(palette.tobytes())
    picture.save(file, format="PNG")


def _write(path: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Write a whole file or none."""
    content = io.BytesIO()
    save(content)
    write_atomically(path, content.getvalue())


if __name__ == "__main__":
    run(main)
