"""Label maps and classes of pictures: the Python API and the command line.

    from fcn_jax.predict import Classifier, Segmenter
    labels = Segmenter.load("runs/quickstart").labels(image)["semantic"]
    scores = Classifier.load("third_party_weights/vgg16").scores(image)

    python -m fcn_jax.predict --checkpoint=runs/quickstart --output=predictions photos/

A checkpoint knows its network, preprocessing and classes: give raw RGB pixels.
"""

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

from fcn_jax import assembly, checkpoint, restored
from fcn_jax.classify import Classifier, write_classes
from fcn_jax.data.images import read_color
from fcn_jax.data.labels import IGNORE, VOID_COLOR, Classes
from fcn_jax.paths import unflatten
from fcn_jax.pictures import (
    checked_input,
    find_pictures,
    refuse_overwriting,
    write_scores,
    write_whole,
)
from fcn_jax.preprocessing import preprocess
from fcn_jax.program import Parser, error_sentence, run, set_up_logging
from fcn_jax.report.panels import overlay
from fcn_jax.restored import Trained

__all__ = ["Classifier", "Segmenter"]

CANVAS_MULTIPLE = 64
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
        own = restored.fcn(found.record, str(found.directory))
        return cls(own, unflatten(found.params))

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
        inputs = {name: checked_input(name, value) for name, value in given.items()}
        sizes = {name: value.shape[:2] for name, value in inputs.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the inputs have different sizes: {sizes}")
        self.refuse_small(next(iter(sizes.values())), "the image")
        return inputs


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    set_up_logging()
    files = find_pictures(options.images)
    output = Path(options.output)
    act, verb = (_classify if options.classify else _label)(options, files, output)
    output.mkdir(parents=True, exist_ok=True)
    failed = []
    console = Console(stderr=True)
    bar = partial(track, console=console, disable=not console.is_terminal)
    for file in bar(files, description="predicting"):
        try:
            act(file, read_color(file, where=str(file), rotate=True))
        except (ValueError, OSError) as error:
            failed.append(error_sentence(error))
    print(f"{len(files) - len(failed)} of {len(files)} pictures {verb} in {output}")
    for sentence in failed:
        print(f"error: {sentence}", file=sys.stderr)
    return 2 if failed else 0


Act = Callable[[Path, np.ndarray], None]
"""What is done with a picture: its file, and `[H, W, 3] uint8`."""


def _label(options: Any, files: Sequence[Path], output: Path) -> tuple[Act, str]:
    segmenter = Segmenter.load(options.checkpoint)
    if segmenter.inputs != ("color",):
        raise ValueError(
            f"this network reads {segmenter.inputs}; the command line gives colour "
            "only: call fcn_jax.predict.Segmenter from Python with all its inputs"
        )
    others = [f"_{name}" for name in list(segmenter.outputs)[1:]]
    ends = [
        f"{own}{end}.png"
        for own in ("", *others)
        for end in ("", "_overlay")[: 1 + options.overlay]
    ]
    refuse_overwriting(files, output, ends)

    def act(file: Path, image: np.ndarray) -> None:
        segmenter.refuse_small(image.shape[:2], str(file))
        write_prediction(
            segmenter,
            image,
            output,
            file.stem,
            overlays=options.overlay,
            scores=options.scores,
        )

    return act, "labelled"


def _classify(options: Any, files: Sequence[Path], output: Path) -> tuple[Act, str]:
    if options.overlay:
        raise ValueError("--overlay belongs to label maps; leave it out of --classify")
    classifier = Classifier.load(options.checkpoint)
    refuse_overwriting(files, output, ["_heat.png"])

    def act(file: Path, image: np.ndarray) -> None:
        classifier.refuse_small(image, str(file))
        scores = classifier.scores(image)
        lines = write_classes(classifier, image, scores, output, file.stem)
        if options.scores:
            write_scores(output / f"{file.stem}.npy", scores)
        print("\n".join([f"{file}:", *lines]))

    return act, "classified"


def _parser() -> Parser:
    parser = Parser(
        prog="python -m fcn_jax.predict",
        description="Label every pixel of pictures, or classify them.",
    )
    parser.add_argument(
        "--checkpoint", required=True, help="work directory or converted checkpoint"
    )
    parser.add_argument("--output", required=True, help="directory for the results")
    parser.add_argument(
        "--classify",
        action="store_true",
        help="an ImageNet classifier: print the likeliest classes and draw where",
    )
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
        write_whole(output / f"{own}.png", partial(_save_labels, labels, classes))
        if overlays:
            picture = Image.fromarray(overlay(image, labels, classes))
            write_whole(
                output / f"{own}_overlay.png", partial(picture.save, format="PNG")
            )
        if scores:
            own = stem if len(found) == 1 else f"{stem}_{name}"
            write_scores(output / f"{own}.npy", values)


def _save_labels(labels: np.ndarray, classes: Classes, file: io.BytesIO) -> None:
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = classes.palette
    palette[IGNORE] = VOID_COLOR
    picture = Image.fromarray(labels)
    picture.putpalette(palette.tobytes())
    picture.save(file, format="PNG")


if __name__ == "__main__":
    run(main)
