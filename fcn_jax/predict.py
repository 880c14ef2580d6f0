"""Label maps and classes of pictures, on the command line and from Python.

    from fcn_jax import Classifier, Segmenter
    labels = Segmenter.load("runs/quickstart").labels(image)["semantic"]
    scores = Classifier.load("third_party_weights/vgg16").scores(image)

    python -m fcn_jax.predict --checkpoint=runs/quickstart --output=predictions photos/

A checkpoint knows its network, preprocessing and classes: give raw RGB pixels.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

import fcn_jax
from fcn_jax.data.pipeline.buckets import picture_canvases
from fcn_jax.inference.batching import batch_rows
from fcn_jax.inference.image_files import (
    refuse_overwriting,
    write_label_map,
    write_overlay,
    write_scores,
)
from fcn_jax.inference.picture_folders import Picture, find_pictures
from fcn_jax.inference.picture_pipeline import (
    Failure,
    Image,
    Stages,
    results,
    size_of,
    threads_for,
)
from fcn_jax.runtime import atomic, shipped
from fcn_jax.runtime.cli import Parser, run, set_up_logging
from fcn_jax.runtime.compilation import enable_compilation_cache, trim_compiler_memory
from fcn_jax.runtime.devices import log_devices, platform, start_devices
from fcn_jax.runtime.locations import refuse_file
from fcn_jax.runtime.stop import StopRequest
from fcn_jax.runtime.timing import StartupTimer

if TYPE_CHECKING:
    from fcn_jax.inference.classifier import Classifier
    from fcn_jax.inference.segmenter import Segmenter

__all__ = ["Classifier", "Segmenter"]


def __getattr__(name: str) -> Any:
    """The two classes, under the name that they had in 0.1.0."""
    if name in ("Classifier", "Segmenter"):
        return getattr(fcn_jax, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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
    if options.batch < 0:
        raise ValueError(f"--batch is {options.batch}; it must be at least 0")
    standing = f"what is in {options.output} is whole; the same command starts again"
    with StopRequest(standing) as stop, stop.now():
        return _predict(options, timer)


def _predict(options: argparse.Namespace, timer: StartupTimer) -> int:
    output = Path(options.output)
    found = find_pictures(options.images, output)
    _refuse_missing(options.checkpoint)
    start_devices()
    enable_compilation_cache()
    trim_compiler_memory()
    stages = (_classifying if options.classify else _labelling)(options, found.pictures)
    output.mkdir(parents=True, exist_ok=True)
    atomic.remove_unfinished(output, alone=False)
    failed = []
    threads = threads_for(platform())
    for outcome in results(found.pictures, stages, threads, timer):
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


def _refuse_missing(checkpoint: str) -> None:
    if shipped.is_trunk(checkpoint):
        shipped.trunk(checkpoint)
    elif not Path(checkpoint).exists():
        raise ValueError(
            f"there is no checkpoint {checkpoint}; give a work directory or a converted "
            "checkpoint"
        )
    else:
        refuse_file(checkpoint, "--checkpoint")


def _labelling(options: argparse.Namespace, pictures: Sequence[Picture]) -> Stages:
    from fcn_jax.inference.segmenter import Segmentation, Segmenter

    sizes = _sizes(pictures)
    known = [size for size in sizes if size is not None]
    canvases = picture_canvases(np.array(known), platform()) if known else ()
    segmenter = Segmenter.load(options.checkpoint, canvases)
    log_devices(segmenter.dtype, count=1)
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

    def check(picture: Picture, image: np.ndarray) -> None:
        segmenter.refuse_small(image.shape[:2], str(picture.file))

    def begin(images: Sequence[Image], rows: int) -> list[Segmentation]:
        pixels = [image for _, image in images]
        return segmenter.begin_batch(pixels, scores=options.scores, rows=rows)

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

    fits = [None if size is None else segmenter.fit(size) for size in sizes]
    rows = segmenter.rows([fit for fit in fits if fit is not None], options.batch)
    return Stages(check, begin, finish, "labelled", fits, rows)


def _sizes(pictures: Sequence[Picture]) -> list[tuple[int, int] | None]:
    """Height and width of each picture; None where its header cannot be read."""
    sizes: list[tuple[int, int] | None] = []
    for picture in pictures:
        try:
            sizes.append(size_of(picture))
        except (ValueError, OSError):  # told when it is read whole
            sizes.append(None)
    return sizes


def _classifying(options: argparse.Namespace, pictures: Sequence[Picture]) -> Stages:
    from fcn_jax.inference.classifier import Classifier, write_classes

    classifier = Classifier.load(options.checkpoint)
    log_devices("float32", count=1)
    output = Path(options.output)
    refuse_overwriting(pictures, output, ["_heat.png"])

    def check(picture: Picture, image: np.ndarray) -> None:
        classifier.refuse_small(image, str(picture.file))

    def begin(images: Sequence[Image], rows: int) -> list[Any]:
        return classifier.begin_batch([image for _, image in images], rows=rows)

    def finish(picture: Picture, image: np.ndarray, found: Any) -> list[str]:
        scores = np.asarray(found, np.float32)
        lines = write_classes(classifier, image, scores, output, str(picture.stem))
        if options.scores:
            write_scores(output / f"{picture.stem}.npy", scores)
        return [f"{picture.file}:", *lines]

    sizes = _sizes(pictures)
    known = {size: size for size in sizes if size is not None}
    given = [size for size in sizes if size is not None]
    rows = batch_rows(given, known, platform(), options.batch)
    return Stages(check, begin, finish, "classified", sizes, rows)


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
        "--batch",
        type=int,
        default=0,
        help="pictures of one canvas (with --classify, of one size) that are computed at "
        "once; 0, the default, is by device: 1 on a CPU, as many as keep a GPU or TPU "
        "busy",
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
