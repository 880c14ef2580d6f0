"""Label maps and classes of pictures, on the command line and from Python.

    from fcn_jax import Classifier, Segmenter
    labels = Segmenter.load("runs/quickstart").labels(image)["semantic"]
    scores = Classifier.load("third_party_weights/vgg16").scores(image)

    python -m fcn_jax.predict --checkpoint=runs/quickstart --output=predictions photos/

A checkpoint knows its network, preprocessing and classes: give raw RGB pixels.
"""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from absl import logging
from rich.progress import track

import fcn_jax
from fcn_jax.data.decoding.images import PICTURE_FORMATS, image_size, read_color
from fcn_jax.data.pipeline.buckets import Canvas, picture_canvases
from fcn_jax.inference.image_files import (
    refuse_overwriting,
    write_label_map,
    write_overlay,
    write_scores,
)
from fcn_jax.inference.picture_folders import Picture, find_pictures
from fcn_jax.runtime import atomic, terminal
from fcn_jax.runtime.cli import Parser, run, set_up_logging
from fcn_jax.runtime.compilation import enable_compilation_cache, trim_compiler_memory
from fcn_jax.runtime.concurrency import in_threads
from fcn_jax.runtime.devices import start_devices
from fcn_jax.runtime.locations import refuse_file
from fcn_jax.runtime.memory import refuse_more
from fcn_jax.runtime.messages import error_sentence
from fcn_jax.runtime.timing import StartupTimer

if TYPE_CHECKING:
    from fcn_jax.inference.classifier import Classifier
    from fcn_jax.inference.segmenter import Segmenter

__all__ = ["Classifier", "Segmenter"]

READERS = 2  # threads; the device needs what they read, or the processor their time
READ_AHEAD = 4  # pictures
BYTES_A_PIXEL = 16  # at most, while one is read
WRITE_BEHIND = 1  # pictures, besides the one that is written


def __getattr__(name: str) -> Any:
    """The two classes, under the name that they had in 0.1.0."""
    if name in ("Classifier", "Segmenter"):
        return getattr(fcn_jax, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Stages(NamedTuple):
    """What is done with a picture between reading it and telling of it.

    Attributes:
        begin: queues `[H, W, 3] uint8` on the device; its result goes to `finish`.
        finish: waits for the device and writes; returns what is printed.
        verb: what the pictures then are.
    """

    begin: Callable[[Picture, np.ndarray], Any]
    finish: Callable[[Picture, np.ndarray, Any], list[str]]
    verb: str


class Failure(NamedTuple):
    """Why a picture has no result."""

    sentence: str


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status."""
    timer = StartupTimer()
    options = _parser().parse_args(arguments)
    for flag in ("checkpoint", "output"):
        if not getattr(options, flag):
            raise ValueError(f"--{flag} is given and empty; give it a directory")
    set_up_logging()
    if options.classify and options.overlay:
        raise ValueError("--overlay belongs to label maps; leave it out of --classify")
    output = Path(options.output)
    found = find_pictures(options.images, output)
    if not Path(options.checkpoint).exists():
        raise ValueError(
            f"there is no checkpoint {options.checkpoint}; give a work directory or "
            "a converted checkpoint"
        )
    refuse_file(options.checkpoint, "--checkpoint")
    start_devices()
    enable_compilation_cache()
    trim_compiler_memory()
    stages = (_classifying if options.classify else _labelling)(options, found.pictures)
    output.mkdir(parents=True, exist_ok=True)
    atomic.remove_unfinished(output, alone=False)
    failed = []
    for outcome in _overlapping(found.pictures, stages, timer):
        if isinstance(outcome, Failure):
            failed.append(outcome.sentence)
        elif outcome:
            print("\n".join(outcome))
    if timer.seconds:
        logging.info("%s", timer.sentence("first picture"))
    total = len(found.pictures)
    print(f"{total - len(failed)} of {total} pictures {stages.verb} in {output}")
    if found.left_out:
        print(found.sentence())
    for sentence in failed:
        print(f"error: {sentence}", file=sys.stderr)
    return 2 if failed else 0


def _overlapping(
    pictures: Sequence[Picture], stages: Stages, timer: StartupTimer
) -> Iterator[list[str] | Failure]:
    """What came of each picture, in order, under a progress bar.

    The next pictures are read, and the last ones written, while the device computes.
    """

    def read(picture: Picture) -> tuple[Picture, np.ndarray]:
        where = str(picture.file)
        height, width = _size(picture)
        refuse_more(BYTES_A_PIXEL * height * width, "it")
        image = read_color(
            picture.file, where=where, rotate=True, formats=PICTURE_FORMATS
        )
        return picture, image

    begin = timer.first_call(stages.begin)

    def queue(read: tuple[Picture, np.ndarray]) -> tuple[Picture, np.ndarray, Any]:
        return *read, begin(*read)

    def finish(begun: tuple[Picture, np.ndarray, Any]) -> list[str]:
        lines = stages.finish(*begun)
        timer.result()
        return lines

    images = in_threads(_attempt(read), pictures, threads=READERS, ahead=READ_AHEAD)
    queued = map(_attempt(queue), images)
    done = in_threads(_attempt(finish), queued, threads=1, ahead=WRITE_BEHIND)
    console = terminal.console(stderr=True)
    with contextlib.closing(images), contextlib.closing(done):
        yield from track(
            done,
            total=len(pictures),
            description="predicting",
            console=console,
            disable=not console.is_terminal,
        )


def _attempt(stage: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The stage for one picture; what went wrong with one is no reason to stop."""

    def attempted(given: Any) -> Any:
        if isinstance(given, Failure):
            return given
        try:
            return stage(given)
        except Exception as error:
            picture = given if isinstance(given, Picture) else given[0]
            return Failure(_sentence(picture.file, error))

    return attempted


def _sentence(file: Path, error: Exception) -> str:
    """What went wrong with a picture; a defect of the package shows its traceback."""
    text = error_sentence(error)
    if "RESOURCE_EXHAUSTED" in text or str(error) == "":
        text = "there is too little memory for it; make it smaller or cut it into tiles"
    elif not isinstance(error, (ValueError, OSError, MemoryError)):
        logging.error("%s", file, exc_info=error)
        text = f"{type(error).__name__}: {text}"
    return text if str(file) in text else f"{file}: {text}"


def _labelling(options: argparse.Namespace, pictures: Sequence[Picture]) -> Stages:
    from fcn_jax.inference.segmenter import Segmentation, Segmenter

    segmenter = Segmenter.load(options.checkpoint, _canvases(pictures))
    if segmenter.inputs != ("color",):
        raise ValueError(
            f"this network reads {segmenter.inputs}; the command line gives colour "
            "only: call fcn_jax.predict.Segmenter from Python with all its inputs"
        )
    output = Path(options.output)
    others = [f"_{name}" for name in list(segmenter.outputs)[1:]]
    ends = [
        f"{own}{end}.png"
        for own in ("", *others)
        for end in ("", "_overlay")[: 1 + options.overlay]
    ]
    refuse_overwriting(pictures, output, ends)

    def begin(picture: Picture, image: np.ndarray) -> Segmentation:
        segmenter.refuse_small(image.shape[:2], str(picture.file))
        return segmenter.begin(image, scores=options.scores)

    def finish(picture: Picture, image: np.ndarray, found: Segmentation) -> list[str]:
        for index, (name, labels) in enumerate(found.labels().items()):
            stem = picture.stem if index == 0 else f"{picture.stem}_{name}"
            classes = segmenter.outputs[name]
            write_label_map(output / f"{stem}.png", labels, classes)
            if options.overlay:
                write_overlay(output / f"{stem}_overlay.png", image, labels, classes)
        if options.scores:
            scores = found.scores()
            for name, values in scores.items():
                stem = picture.stem if len(scores) == 1 else f"{picture.stem}_{name}"
                write_scores(output / f"{stem}.npy", values)
        return []

    return Stages(begin, finish, "labelled")


def _canvases(pictures: Sequence[Picture]) -> tuple[Canvas, ...]:
    """Canvases for the pictures whose headers can be read."""
    sizes = []
    for picture in pictures:
        with contextlib.suppress(ValueError, OSError):  # told when it is read whole
            sizes.append(_size(picture))
    return picture_canvases(np.array(sizes)) if sizes else ()


def _size(picture: Picture) -> tuple[int, int]:
    """Height and width of a picture turned upright."""
    return image_size(
        picture.file, where=str(picture.file), rotate=True, formats=PICTURE_FORMATS
    )


def _classifying(options: argparse.Namespace, pictures: Sequence[Picture]) -> Stages:
    from fcn_jax.inference.classifier import Classifier, write_classes

    classifier = Classifier.load(options.checkpoint)
    output = Path(options.output)
    refuse_overwriting(pictures, output, ["_heat.png"])

    def begin(picture: Picture, image: np.ndarray) -> Any:
        classifier.refuse_small(image, str(picture.file))
        return classifier.begin(image)

    def finish(picture: Picture, image: np.ndarray, found: Any) -> list[str]:
        scores = np.asarray(found, np.float32)
        lines = write_classes(classifier, image, scores, output, str(picture.stem))
        if options.scores:
            write_scores(output / f"{picture.stem}.npy", scores)
        return [f"{picture.file}:", *lines]

    return Stages(begin, finish, "classified")


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
        "images",
        nargs="+",
        metavar="IMAGE",
        help="files, folders (with those in them) or globs",
    )
    return parser


if __name__ == "__main__":
    run(main)
