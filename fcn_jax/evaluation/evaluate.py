"""Evaluate a split: one confusion matrix per output, and the metrics read from it."""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jax.sharding import Mesh
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from fcn_jax.checkpoints.load_model import LoadedModel, load_model
from fcn_jax.data.labels import Classes
from fcn_jax.evaluation import scores_file
from fcn_jax.experiment.scoring import Scoring
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.losses.terms import Loss
from fcn_jax.metrics import Absent
from fcn_jax.metrics.confusion import ConfusionMatrix
from fcn_jax.metrics.counting import confusion_counts
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.build import BACKBONES
from fcn_jax.models.fcn import FCN, refuse_small_images, smallest_image
from fcn_jax.models.heads import HEADS, MakeHead
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.runs import runlog
from fcn_jax.runtime import cli, messages, sharding, terminal
from fcn_jax.runtime.compiled_programs import in_precision
from fcn_jax.runtime.concurrency import one_behind
from fcn_jax.runtime.prepared_programs import prepared_or_jitted
from fcn_jax.runtime.timing import StartupTimer

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """The result of a pass over a split.

    Attributes:
        confusion: the matrix of each output.
        losses: summed cross-entropy in nats and number of valid pixels of each output.
        examples: (image, truth, prediction) of the kept images, first output.
    """

    confusion: dict[str, ConfusionMatrix]
    losses: dict[str, tuple[float, int]]
    examples: list[tuple[np.ndarray, np.ndarray, np.ndarray]]

    @property
    def loss(self) -> float:
        """Mean cross-entropy per valid pixel, in nats, summed over the outputs."""
        return sum(total / max(valid, 1) for total, valid in self.losses.values())

    def scores(self, absent: Absent) -> dict[str, float]:
        """Loss and the four metrics; further outputs have their name as a prefix."""
        flat = {"loss": self.loss}
        for index, (name, matrix) in enumerate(self.confusion.items()):
            prefix = "" if index == 0 else f"{name}_"
            for key, value in matrix.scores(absent).items():
                flat[prefix + key] = value
        return flat

    def sentences(
        self, outputs: Mapping[str, Classes], absent: Absent
    ) -> Iterator[tuple[str, str]]:
        """A line of metrics for each output, and a caution about them, or ""."""
        for name, matrix in self.confusion.items():
            line = matrix.sentence(absent)
            prefix = f"{name}: " if len(self.confusion) > 1 else ""
            caution = matrix.caution(outputs[name].names)
            yield prefix + line, prefix + caution if caution else ""

    def record(self, outputs: Mapping[str, Classes], absent: Absent) -> dict[str, Any]:
        """The content of scores.json: first output at the top level, others by name."""
        records = {
            name: matrix.record(outputs[name].names, absent)
            for name, matrix in self.confusion.items()
        }
        first, *others = records
        return {
            "loss": self.loss,
            **records[first],
            **{name: records[name] for name in others},
        }


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
                "predicted": jnp.argmax(scores, axis=-1).astype(jnp.uint8),
            }
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
    outputs: Mapping[str, Classes],
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
                name: {key: parts[key] for key in ("counts", "loss", "valid")}
                for name, parts in result.items()
            }
        )
        for name, parts in sums.items():
            confusion[name] = confusion[name].merge(parts["counts"])
            total, valid = losses[name]
            losses[name] = total + float(parts["loss"]), valid + int(parts["valid"])
        examples += _examples(batch, predicted, first, keep)
        if progress is not None:
            progress(int((batch["index"] >= 0).sum()))
    return Evaluation(confusion, losses, examples)


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
    loaded = load_model(checkpoint, classifier=False, backbones=backbones, heads=heads)
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
    check_outputs(loaded.record.outputs, source.outputs, str(loaded.directory))
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
    stored: Mapping[str, Classes], outputs: Mapping[str, Classes], where: str
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


def print_scores(
    result: Evaluation, outputs: Mapping[str, Classes], absent: Absent
) -> None:
    """Print the metrics and the IU of each class on standard output."""
    console = terminal.console()
    for name, matrix in result.confusion.items():
        table = Table(title=terminal.verbatim(f"{name}: IU by class"), show_edge=False)
        table.add_column("class")
        table.add_column("IU", justify="right")
        table.add_column("labelled pixels", justify="right")
        rows = zip(
            outputs[name].names,
            matrix.per_class_iu(absent),
            matrix.labelled,
            strict=True,
        )
        for label, iu, support in rows:
            shown = "n/a" if np.isnan(iu) else f"{iu:.4f}"
            table.add_row(terminal.verbatim(label), shown, f"{support:,}")
        console.print(table)
    for line, caution in result.sentences(outputs, absent):
        console.print(escape(line))
        if caution:
            logging.warning("%s", caution)
