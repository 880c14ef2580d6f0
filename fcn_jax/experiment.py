"""From a configuration to the parts of a run: data, network, preprocessing, optimiser.

Training, evaluation and prediction build their parts here, so that they cannot
differ; nothing below sees a configuration.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from absl import logging
from jax.sharding import Mesh

from fcn_jax.config import Config, validate
from fcn_jax.data.labels import Classes
from fcn_jax.data.pipeline.buckets import Canvas, choose_canvases, waste
from fcn_jax.data.pipeline.building import Batch
from fcn_jax.data.pipeline.transforms import Augmentation
from fcn_jax.data.sources.catalog import Source, open_source
from fcn_jax.data.sources.subset import subset
from fcn_jax.data.sources.synthetic import SyntheticSpec
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.losses.cross_entropy import class_factors
from fcn_jax.models.build import build_fcn
from fcn_jax.models.fcn import FCN
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.runtime import compilation, sharding
from fcn_jax.training import optim
from fcn_jax.training.checks.padding import warn_of_padding


@dataclass(frozen=True)
class Parts:
    """What a training run is made of.

    Attributes:
        mesh: the devices.
        train_source: split to learn from.
        eval_source: split to score.
        outputs: classes of each output.
        records: preprocessing of each input.
        model: the network.
        canvases: rows and columns of training batches, one compiled program each.
        fill: pixel that augmentation exposes, of each input: its mean.
    """

    mesh: Mesh
    train_source: Source
    eval_source: Source
    outputs: Mapping[str, Classes]
    records: Mapping[str, Preprocessing]
    model: FCN
    canvases: tuple[Canvas, ...]
    fill: dict[str, tuple[int, ...]]


def assemble(config: Config) -> Parts:
    """Build and check everything that needs no parameters.

    Raises:
        ValueError: for a value, a data set or a combination that cannot work.
    """
    validate(config)
    mesh = sharding.make_mesh(devices(config))
    for key, size in (
        ("config.batch_size", config.batch_size),
        ("config.evaluation.batch_size", config.evaluation.batch_size),
    ):
        sharding.check_divisible(size, mesh, key)
    records = preprocessing(config)
    train_source = source(config, config.data.train_split)
    eval_source = evaluation_source(config)
    check_disjoint(config, train_source, eval_source)
    outputs = train_source.outputs
    if dict(outputs) != dict(eval_source.outputs):
        raise ValueError(
            f"the splits {config.data.train_split} and {config.data.eval_split} have "
            "different classes; choose splits of one data set"
        )
    _say_weightless(class_weights(config, outputs), outputs)
    model = network(config, {name: len(classes) for name, classes in outputs.items()})
    parts = Parts(
        mesh=mesh,
        train_source=train_source,
        eval_source=eval_source,
        outputs=outputs,
        records=records,
        model=model,
        canvases=canvases(config, train_source, train=True),
        fill={name: record.mean_pixel for name, record in records.items()},
    )
    _check_geometry(parts, augmentation(config))
    return parts


def _check_geometry(parts: Parts, augmentation: Augmentation) -> None:
    """Say where the scores lie; refuse images so small that maps would be empty."""
    maps = score_maps(parts.model, parts.records)
    for name, found in maps.items():
        logging.info(
            "%s: crop offsets %s, receptive field %d pixels",
            name,
            ", ".join(map(str, found.geometry.crops)),
            found.geometry.receptive_field,
        )
    least = smallest_image(maps)
    refuse_small_images(parts.train_source, least, crop=augmentation.crop)
    refuse_small_images(parts.eval_source, least)


def score_maps(
    model: FCN, records: Mapping[str, Preprocessing], size: int = 64
) -> dict[str, FeatureMap]:
    """Shapes and geometry of the scores of a square image; nothing is computed."""
    return abstract(model, records, size)[0]


def abstract(
    model: FCN, records: Mapping[str, Preprocessing], size: int = 64
) -> tuple[dict[str, FeatureMap], Any]:
    """Scores of a square image and parameters, as shapes; nothing is computed."""
    inputs = {
        name: jnp.zeros((1, size, size, count), jnp.float32)
        for name, count in channels(records).items()
    }
    maps, variables = jax.eval_shape(
        lambda: model.init_with_output(jax.random.key(0), inputs, train=False)
    )
    return maps, variables["params"]


def smallest_image(maps: Mapping[str, FeatureMap]) -> int:
    """Least height and width of an image for which no map of the net is empty."""
    return max(found.geometry.smallest_image() for found in maps.values())


def refuse_small_images(
    source: Source, least: int, crop: tuple[int, int] | None = None
) -> None:
    """Refuse a split with images, or crops of them, smaller than `least` pixels."""
    sizes = source.sizes()
    if crop is not None:
        sizes = np.minimum(sizes, crop)
    small = np.flatnonzero(sizes.min(axis=1) < least)
    if small.size:
        index = int(small[0])
        raise ValueError(too_small(source.name(index), sizes[index].tolist(), least))


def too_small(name: str, size: Sequence[int], least: int) -> str:
    """The sentence for an image that a net cannot take."""
    return (
        f"{name} is {size[0]} x {size[1]} pixels, this net needs at least {least} x "
        f"{least}; use a net with model.padding=reference, which takes any size, or "
        "leave such images out"
    )


def network(config: Config, outputs: Mapping[str, int]) -> FCN:
    """The network of a run.

    Args:
        config: the experiment.
        outputs: classes of each output.
    """
    model = config.model
    return build_fcn(
        backbone=model.backbone,
        outputs=outputs,
        stride=model.stride,
        streams={name: tuple(inputs) for name, inputs in model.streams.items()},
        width=model.width,
        padding=model.padding,
        at_once=model.at_once,
        score_at=model.score_at,
        fusion=model.fusion,
        upsampling=model.upsampling,
        score_init=model.score_init,
        dropout_rate=None if model.dropout_rate < 0 else model.dropout_rate,
        order=model.order,
    )


def input_names(config: Config) -> set[str]:
    """The inputs that the network reads."""
    return {name for inputs in config.model.streams.values() for name in inputs}


def preprocessing(config: Config) -> dict[str, Preprocessing]:
    """The record of each input that the network reads."""
    names = input_names(config)
    missing = sorted(names - set(config.preprocessing))
    if missing:
        raise ValueError(
            f"config.model.streams reads {missing}, for which config.preprocessing has "
            "no entry; add its mean and scale"
        )
    return {
        name: Preprocessing(
            mean=tuple(float(value) for value in config.preprocessing[name].mean),
            scale=config.preprocessing[name].scale,
            logarithm=config.preprocessing[name].logarithm,
            origin=config.preprocessing[name].origin,
        )
        for name in sorted(names)
    }


def channels(records: Mapping[str, Preprocessing]) -> dict[str, int]:
    """Channels of each input."""
    return {name: len(record.mean) for name, record in records.items()}


def source(config: Config, split: str, *, name: str = "") -> Source:
    """A split of a data set, with the inputs and classes that the run wants.

    Args:
        config: the experiment.
        split: config.data.train_split or eval_split.
        name: of the data set; "" is config.data.name.
    """
    whole = open_source(
        name or config.data.name,
        split,
        folder=config.data.folder,
        data_dir=config.data.data_dir,
        inputs=tuple(sorted(input_names(config))),
        synthetic=SyntheticSpec(
            num_classes=config.synthetic.classes,
            num_train=config.synthetic.train_length,
            num_val=config.synthetic.eval_length,
            min_size=(config.synthetic.min_size, config.synthetic.min_size),
            max_size=(config.synthetic.max_size, config.synthetic.max_size),
            seed=config.synthetic.seed,
        ),
    )
    if not config.data.classes:
        return whole
    return subset(whole, config.data.classes, config.data.rest)


def evaluation_source(config: Config) -> Source:
    """The split that scores a run, of its own data set or of config.data.eval_name."""
    return source(config, config.data.eval_split, name=config.data.eval_name)


def check_disjoint(config: Config, train: Source, evaluation: Source) -> None:
    """Refuse to score on images that were learnt from.

    Raises:
        ValueError: if splits share names of images, unless config.data.allow_overlap.
    """
    learnt = {train.name(index) for index in range(len(train))}
    names = [evaluation.name(index) for index in range(len(evaluation))]
    shared = [name for name in names if name in learnt]
    if shared and not config.data.allow_overlap:
        raise ValueError(
            f"{len(shared)} of the {len(names)} images of the evaluation split are in "
            f"the training split too ({', '.join(shared[:3])}, ...), so scores would "
            "say nothing; choose other splits, or insist with "
            "--config.data.allow_overlap=True"
        )


def augmentation(config: Config) -> Augmentation:
    """What training does to images."""
    crop = tuple(config.data.crop)
    chosen = crop if any(crop) else None
    return Augmentation(config.data.mirror, config.data.jitter, chosen)


def canvases(config: Config, source: Source, *, train: bool) -> tuple[Canvas, ...]:
    """Rows and columns of batches: of the crop, as configured, or of the images.

    Args:
        config: the experiment.
        source: the split.
        train: whether crops are taken.
    """
    fixed = (0, 0)
    if train:
        fixed = config.data.crop if any(config.data.crop) else config.data.canvas
    sizes = source.sizes()
    height, width = (int(length) for length in sizes.max(axis=0))
    if any(fixed):
        chosen = ((fixed[0] or height, fixed[1] or width),)
    else:
        chosen = choose_canvases(sizes, config.data.canvases)
        logging.info(
            "%d canvases (height x width) for %d images: %s; padding is %.1f %% of the "
            "pixels of single images",
            len(chosen),
            len(sizes),
            ", ".join(f"{rows}x{columns}" for rows, columns in chosen),
            100 * waste(sizes, chosen),
        )
    if train:
        warn_of_padding(source, chosen, augmentation(config).crop)
    return chosen


def unpadded(
    batches: Iterator[Batch],
    source: Source,
    canvases: Sequence[Canvas],
    crop: tuple[int, int] | None = None,
) -> Iterator[Mapping[str, Any]]:
    """The batches of a split, without sizes if every image fills its canvas.

    Nothing is padding then, and a network that is not told sizes masks nothing.

    Args:
        batches: of the split.
        source: the split.
        canvases: of the batches.
        crop: that training takes, if any.
    """
    sizes = source.sizes()
    if crop is not None:
        sizes = np.minimum(sizes, crop)
    if len(canvases) > 1 or (sizes != canvases[0]).any():
        return iter(batches)
    return ({**batch, "sizes": None} for batch in batches)


def schedule(config: Config) -> optim.Schedule:
    """Learning rate by number of completed updates."""
    return optim.make_schedule(
        config.optimizer.schedule,
        learning_rate=config.optimizer.learning_rate,
        total_steps=config.steps,
        warmup_steps=config.optimizer.warmup_steps,
    )


def optimizer(config: Config, params: Any) -> optax.GradientTransformation:
    """The optimiser of a run; of the parameters only the names are read."""
    return optim.make_optimizer(
        config.optimizer.name,
        schedule(config),
        params=params,
        momentum=config.optimizer.momentum,
        weight_decay=config.optimizer.weight_decay,
        multipliers=[tuple(rule) for rule in config.optimizer.multipliers],
    )


def class_weights(config: Config, outputs: Mapping[str, Classes]) -> np.ndarray | None:
    """`[K] float32` weights of the loss, or None.

    Raises:
        ValueError: if their number is not that of the classes, or they are no weights.
    """
    weights = config.loss.class_weights
    if not weights:
        return None
    try:
        found = [class_factors(weights, len(classes)) for classes in outputs.values()]
    except ValueError as error:
        raise ValueError(f"config.loss.class_weights: {error}") from error
    return found[0]


def _say_weightless(weights: np.ndarray | None, outputs: Mapping[str, Classes]) -> None:
    if weights is None or weights.all():
        return
    for name, classes in outputs.items():
        ignored = ", ".join(
            classes.names[label] for label in np.flatnonzero(weights == 0)
        )
        text = (
            "config.loss.class_weights: 0 ignores these classes of %s in training: %s"
        )
        logging.warning(text, name, ignored)


def devices(config: Config) -> Sequence[Any]:
    """The devices of a run.

    Raises:
        ValueError: for a number that there is not, or GPUs that were started without
            the flag that config.deterministic needs.
    """
    available = jax.devices()
    count = config.devices or len(available)
    if not 1 <= count <= len(available):
        raise ValueError(
            f"config.devices is {count}, but this machine has {len(available)} "
            f"{available[0].platform} devices; 0 uses all of them"
        )
    gpu = available[0].platform == "gpu"
    if config.deterministic and gpu and not compilation.is_deterministic():
        raise ValueError(
            "config.deterministic is set, but JAX was started without the flag that it "
            f"needs; set XLA_FLAGS={compilation.DETERMINISTIC} in the environment"
        )
    return available[:count]
