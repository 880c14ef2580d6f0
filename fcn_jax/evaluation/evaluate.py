"""Evaluate a split: one confusion matrix per output, and the metrics read from it."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh
from rich.markup import escape
from rich.progress import Progress

from fcn_jax.checkpoints.load_model import LoadedModel, load_model
from fcn_jax.data.categories import OUTPUT, AnyClasses, Categories
from fcn_jax.evaluation import scores_file
from fcn_jax.evaluation.result import Evaluation, Measure, print_scores
from fcn_jax.experiment.scoring import Scoring
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.losses.terms import Loss
from fcn_jax.metrics.confusion import ConfusionMatrix
from fcn_jax.metrics.counting import confusion_counts, counts_within
from fcn_jax.metrics.image_accuracy import TOP, ImageAccuracy
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.build import BACKBONES
from fcn_jax.models.fcn import FCN, refuse_small_images, smallest_image
from fcn_jax.models.heads import HEADS, MakeHead, training_heads
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.runs import runlog
from fcn_jax.runtime import cli, messages, sharding, terminal
from fcn_jax.runtime.compiled_programs import in_precision
from fcn_jax.runtime.concurrency import one_behind
from fcn_jax.runtime.prepared_programs import prepared_or_jitted
from fcn_jax.runtime.timing import StartupTimer

Batch = Mapping[str, Any]


def make_evaluation_step(
    *,
    model: FCN,
    records: Mapping[str, Preprocessing],
    loss: Loss,
    dtype: Any,
    mesh: Mesh,
    tf32: bool = False,
) -> Callable[[Any, Batch], dict[str, Any]]:
    """Make the jitted step from variables and a batch to counts, losses and labels.

    The batch holds inputs, labels, sizes and index with the image axis first; sizes are
    None where every image fills the canvas. `tf32`: whether float32 products may be
    rounded to TF32.
    """

    def step(variables: Any, batch: Batch) -> dict[str, Any]:
        inputs = preprocess(batch["inputs"], records, dtype)
        maps: Any = model.apply(variables, inputs, train=False, sizes=batch["sizes"])
        result = {}
        for name, labels in batch["labels"].items():
            scores = maps[name].values
            terms = loss(scores, labels)
            result[name] = {
                "counts": confusion_counts(scores, labels),
                "loss": terms.total,
                "valid": terms.valid,
                # As wide as labels are: of a thousand classes uint16.
                "predicted": jnp.argmax(scores, axis=-1).astype(labels.dtype),
            }
            if name == OUTPUT:
                result[name]["within"] = counts_within(scores, labels, top=TOP)
        return result

    return prepared_or_jitted(
        in_precision(step, dtype, tf32=tf32),
        mesh=mesh,
        params=sharding.replicated(mesh),
        arguments=sharding.split_images(mesh, axis=0),
    )


def evaluate_split(
    step: Callable[[Any, Batch], dict[str, Any]],
    variables: Any,
    batches: Iterable[Batch],
    outputs: Mapping[str, AnyClasses],
    *,
    mesh: Mesh,
    keep: Collection[int] = (),
    progress: Callable[[int], None] | None = None,
) -> Evaluation:
    """Run over a split once; a batch is queued before the result of the last is read.

    Args:
        step: from `make_evaluation_step`.
        variables: the network's collections on the devices.
        batches: host batches; the last one is padded with ignored images.
        outputs: classes of each output.
        mesh: the devices.
        keep: indices of the examples to keep for a figure.
        progress: called with the number of images of each finished batch.
    """
    confusion = {n: ConfusionMatrix.empty(len(c)) for n, c in outputs.items()}
    losses: dict[str, tuple[float, int]] = dict.fromkeys(outputs, (0.0, 0))
    within = 0
    examples: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    placement = sharding.split_images(mesh, axis=0)
    first = next(iter(outputs))
    queued = (
        (batch, step(variables, sharding.put_batch(batch, placement)))
        for batch in batches
    )
    # Counts are added on the host, where they are exact for a split of any size.
    for batch, result in one_behind(queued):
        predicted = result[first]["predicted"]
        sums = jax.device_get(
            {
                name: {key: own for key, own in parts.items() if key != "predicted"}
                for name, parts in result.items()
            }
        )
        for name, parts in sums.items():
            confusion[name] = confusion[name].merge(parts["counts"])
            total, valid = losses[name]
            losses[name] = total + float(parts["loss"]), valid + int(parts["valid"])
            within += int(parts.get("within", 0))
        examples += _examples(batch, predicted, first, keep)
        if progress is not None:
            progress(int((batch["index"] >= 0).sum()))
    measures: dict[str, Measure] = {
        name: ImageAccuracy(matrix, within) if name == OUTPUT else matrix
        for name, matrix in confusion.items()
    }
    return Evaluation(measures, losses, examples)


def _examples(
    batch: Batch, predicted: Any, output: str, keep: Collection[int]
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(image, truth, prediction) of the examples of a batch that are kept."""
    image = next(iter(batch["inputs"].values()))
    rows = [i for i, index in enumerate(batch["index"].tolist()) if index in keep]
    sizes = batch["sizes"]
    if sizes is None:
        sizes = np.array([image.shape[1:3]] * len(image))
    return [
        (
            image[i, :height, :width],
            batch["labels"][output][i, :height, :width],
            np.asarray(predicted[i])[:height, :width],
        )
        for i, (height, width) in ((row, sizes[row].tolist()) for row in rows)
    ]


def evaluate(
    scoring: Scoring,
    checkpoint: str | os.PathLike,
    *,
    backbones: Mapping[str, Backbone] = BACKBONES,
    heads: Mapping[str, MakeHead] = HEADS,
) -> Evaluation:
    """Evaluate a checkpoint on a split.

    Args:
        scoring: the data and the options; network and preprocessing come from the
            checkpoint.
        checkpoint: work directory (its best checkpoint) or converted checkpoint.
        backbones: backbones by name.
        heads: what its head may be.

    Raises:
        CheckpointError: if there is no checkpoint that can be trusted.
        ValueError: if the checkpoint has other outputs or classes than the data.
    """
    kinds = [isinstance(own, Categories) for own in scoring.source.outputs.values()]
    loaded = load_model(
        checkpoint,
        classifier=any(kinds),
        backbones=backbones,
        heads=training_heads(heads),
    )
    return evaluate_model(scoring, loaded)


def evaluate_model(
    scoring: Scoring, loaded: LoadedModel, timer: StartupTimer | None = None
) -> Evaluation:
    """Evaluate a network on a split, with a progress bar on a terminal.

    Args:
        scoring: which data, and how.
        loaded: the network.
        timer: of the program; started here if None.

    Raises:
        ValueError: if the network has other outputs or classes than the data.
    """
    timer = timer or StartupTimer()
    source, mesh = scoring.source, scoring.mesh
    stored: Mapping[str, AnyClasses] = loaded.record.outputs
    if loaded.record.categories:
        stored = {OUTPUT: Categories(loaded.record.categories)}
    check_outputs(stored, source.outputs, str(loaded.directory))
    refuse_small_images(source.sizes(), source.name, smallest_image(loaded.maps))
    step = make_evaluation_step(
        model=loaded.model,
        records=loaded.record.preprocessing,
        loss=scoring.loss,
        dtype=loaded.record.dtype,
        mesh=mesh,
        tf32=scoring.tf32,
    )
    variables = jax.device_put(loaded.variables, sharding.replicated(mesh))
    name = f"{scoring.data}/{scoring.split}"
    logging.info(
        "scoring %s (step %d) on %s: %d images",
        loaded.directory,
        loaded.step,
        name,
        len(source),
    )
    console = terminal.console(stderr=True)
    less = messages.remedy(
        "a lower config.evaluation.batch_size needs less", messages.NO_MEMORY
    )
    with less, Progress(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(name), total=len(source))

        def advance(count: int) -> None:
            timer.result()
            bar.advance(task, count)

        result = evaluate_split(
            timer.first_call(step),
            variables,
            scoring.batches(),
            source.outputs,
            mesh=mesh,
            progress=advance,
        )
    logging.info("%s", timer.sentence("first batch"))
    return result


def evaluate_to_file(
    scoring: Scoring,
    workdir: Path,
    checkpoint: Path,
    usual_split: str,
    *,
    loaded: LoadedModel,
    timer: StartupTimer | None = None,
) -> None:
    """Evaluate a network, print the table and write the metrics.

    Args:
        scoring: which data, and how.
        workdir: where scores.json goes, or a file beside it: see `scores_file`.
        checkpoint: the directory that the network was loaded from, as it was given.
        usual_split: the split in the configuration.
        loaded: the network.
        timer: of the program; started here if None.

    Raises:
        ValueError: as `evaluate`.
    """
    workdir.mkdir(parents=True, exist_ok=True)
    result = evaluate_model(scoring, loaded, timer)
    outputs, absent = scoring.source.outputs, scoring.absent
    asked = scores_file.question(scoring, checkpoint)
    about = {
        "step": loaded.step,
        "checkpoint": str(loaded.directory),
        **asked.about(scoring.source.fingerprint),
    }
    path = scores_file.scores_path(workdir, asked, usual_split)
    runlog.write_scores(path, {**about, **result.record(outputs, absent)})
    logging.info("scores are in %s", path)
    with cli.printing():
        print_scores(result, outputs, absent)


def check_outputs(
    stored: Mapping[str, AnyClasses], outputs: Mapping[str, AnyClasses], where: str
) -> None:
    """Refuse a checkpoint with other outputs, other classes or another class order."""
    have = {name: len(classes) for name, classes in stored.items()}
    want = {name: len(classes) for name, classes in outputs.items()}
    if have != want:
        raise ValueError(
            f"the checkpoint {where} scores {have} classes, the data set has {want}; "
            "choose the data set that it was trained on, or train a new head"
        )
    for name, classes in outputs.items():
        pairs = zip(stored[name].names, classes.names, strict=True)
        other = [(ours, theirs) for ours, theirs in pairs if ours != theirs]
        if other:
            raise ValueError(
                f"the checkpoint {where} calls a class of {name} {other[0][0]!r} that "
                f"the data set calls {other[0][1]!r} ({len(other)} differ): give the "
                "data set the classes of the checkpoint, in their order"
            )
