"""Parts of an experiment, each read from its keys of a configuration."""

from collections.abc import Mapping
from typing import Any

import optax
from absl import logging
from jax.sharding import Mesh

from fcn_jax.config import (
    Config,
    initial_checkpoints,
)
from fcn_jax.data.categories import OUTPUT, AnyClasses, Categories
from fcn_jax.data.examples import Source
from fcn_jax.data.pipeline.buckets import Canvas, images_of_batch
from fcn_jax.data.pipeline.image_augmentation import ImageAugmentation
from fcn_jax.data.pipeline.loading import Loading
from fcn_jax.data.pipeline.order import Sampler, make_sampler
from fcn_jax.data.pipeline.transforms import COLOR, Augment, Augmentation
from fcn_jax.data.sources import IMAGE_DATA_SETS
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.limited import limited
from fcn_jax.data.sources.outputs import with_outputs
from fcn_jax.data.sources.subset import subset
from fcn_jax.data.sources.synthetic import SyntheticSpec
from fcn_jax.data.sources.views import CenterCrop, WholeImage
from fcn_jax.experiment.parts import Rate, Start
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.backbone import AUXILIARY
from fcn_jax.models.fcn import FCN, channels, score_maps
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.models.spec import CLASSIFIER, ModelSpec
from fcn_jax.optim import optimizers
from fcn_jax.runtime import sharding

AUXILIARY_FACTOR = 0.3
"""On the loss of an auxiliary classifier (Szegedy et al. 2014, section 5)."""


def read_mesh(config: Config) -> Mesh:
    """Return the devices of a run as a mesh."""
    return sharding.make_mesh(
        sharding.choose_devices(config.devices, deterministic=config.deterministic)
    )


def read_loading(config: Config, canvas: Canvas, images: int) -> Loading:
    """Return how examples are read.

    Args:
        config: of an experiment.
        canvas: the largest of the batches.
        images: of an update or an evaluation step.
    """
    own = Loading(config.data.workers, config.data.threads, config.data.prefetch)
    return own.by_machine(canvas[0] * canvas[1] * images)


def read_evaluation_batch(config: Config, canvas: Canvas, mesh: Mesh) -> int:
    """Return the number of images of an evaluation step, over all devices.

    Args:
        config: of an experiment.
        canvas: the largest of the batches.
        mesh: the devices.

    Raises:
        ValueError: if the devices do not divide it.
    """
    name = "config.evaluation.batch_size"
    size = config.evaluation.batch_size
    if not size:
        size = mesh.size * images_of_batch(canvas, mesh.devices.flat[0].platform)
    sharding.check_divisible(size, mesh, name)
    return size


def open_split(config: Config, split: str, name: str = "") -> Source:
    """Open a split of a data set, with the inputs and classes that the run wants.

    Of the split to learn from `config.data.limit` examples are left, in scoring too.
    """
    synthetic = config.synthetic
    whole = open_source(
        name or config.data.name,
        split,
        folder=config.data.folder,
        data_dir=config.data.data_dir,
        inputs=tuple(sorted(input_names(config))),
        synthetic=SyntheticSpec(
            num_classes=synthetic.classes,
            num_train=synthetic.train_length,
            num_val=synthetic.eval_length,
            min_size=(synthetic.min_size, synthetic.min_size),
            max_size=(synthetic.max_size, synthetic.max_size),
            seed=synthetic.seed,
        ),
    )
    whole = with_outputs(whole, config.data.outputs)
    if split == config.data.train_split and name in ("", config.data.name):
        whole = limited(whole, config.data.limit, config.seed)
    if not config.data.classes:
        return whole
    return subset(whole, config.data.classes, config.data.rest)


def viewed(config: Config, source: Source, name: str) -> Source:
    """Return what is scored of a split: of images with one label, a view of each."""
    own = config.images
    if name not in IMAGE_DATA_SETS:
        return source
    if own.view == "crop":
        return CenterCrop(source, own.view_side, (own.size, own.size))
    return WholeImage(source, own.view_side)


def check_kind(config: Config, outputs: Mapping[str, AnyClasses]) -> None:
    """Refuse a classifier on labels of pixels, and an FCN on labels of images."""
    head, data = config.model.head, config.data.name
    kinds = {isinstance(classes, Categories) for classes in outputs.values()}
    if head == CLASSIFIER and kinds != {True}:
        raise ValueError(
            f"config.model.head is {head!r}, which learns one class an image, and the "
            f"data set {data} labels pixels; set config.data.name to one of "
            f"{', '.join(IMAGE_DATA_SETS)}, or config.model.head to 'skips'"
        )
    if head != CLASSIFIER and kinds != {False}:
        raise ValueError(
            f"config.model.head is {head!r}, which labels pixels, and the data set "
            f"{data} has one class an image; set config.model.head to 'classifier', or "
            "choose a data set with label maps"
        )
    if config.mixup and head != CLASSIFIER:
        raise ValueError(
            f"config.mixup is {config.mixup}; it mixes images with one class each, so it "
            "needs config.model.head='classifier'"
        )


def read_auxiliary(spec: ModelSpec) -> dict[str, tuple[str, float]]:
    """Return the maps of GoogLeNet's auxiliary classifiers, with the papers' factor."""
    if dict(spec.options).get("auxiliary") != "yes":
        return {}
    return {name: (OUTPUT, AUXILIARY_FACTOR) for name in AUXILIARY}


def input_names(config: Config) -> set[str]:
    """Return the names of the inputs that the network reads."""
    return {name for inputs in config.model.streams.values() for name in inputs}


def read_preprocessing(config: Config) -> dict[str, Preprocessing]:
    """Return the preprocessing record of each input that the network reads."""
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


def same_outputs(
    config: Config, train: Source, evaluation: Source
) -> Mapping[str, AnyClasses]:
    """Return the classes of both splits; refuse splits that differ in them."""
    if dict(train.outputs) != dict(evaluation.outputs):
        raise ValueError(
            f"the splits {config.data.train_split} and {config.data.eval_split} have "
            "different classes; choose splits of one data set"
        )
    return train.outputs


def told_geometry(
    model: FCN, records: Mapping[str, Preprocessing]
) -> dict[str, FeatureMap]:
    """Compute the shapes and geometry of the scores, and log their crops."""
    maps = score_maps(model, channels(records))
    for name, found in maps.items():
        logging.info(
            "%s: crop offsets %s, receptive field %d pixels",
            name,
            ", ".join(map(str, found.geometry.crops)),
            found.geometry.receptive_field,
        )
    return maps


def read_augmentation(config: Config, spec: ModelSpec) -> Augment:
    """Return what training varies at random.

    Raises:
        ValueError: for random colours of a net that reads none.
    """
    color, lighting = tuple(config.data.color), config.data.lighting
    inputs = {name for stream in spec.streams for name in stream.inputs}
    if (any(color) or lighting) and COLOR not in inputs:
        raise ValueError(
            f"config.data.color and config.data.lighting vary the input {COLOR!r}, and "
            f"this net reads {', '.join(sorted(inputs))}; set them to (0, 0, 0) and 0"
        )
    if not spec.is_classifier:
        return Augmentation(
            mirror=config.data.mirror,
            jitter=config.data.jitter,
            crop=read_crop(config, spec),
            scale=tuple(config.data.scale),
            color=color,
            lighting=lighting,
        )
    own = config.images
    return ImageAugmentation(
        crop=(own.size, own.size),
        sides=tuple(own.sides),
        area=tuple(own.area),
        mirror=config.data.mirror,
        color=color,
        lighting=lighting,
    )


def read_crop(config: Config, spec: ModelSpec) -> Canvas | None:
    """Return (height, width) of the window that training takes, if it takes one."""
    if spec.is_classifier:
        return config.images.size, config.images.size
    rows, columns = config.data.crop
    return (rows, columns) if rows or columns else None


def read_sampler(config: Config, source: Source) -> Sampler:
    """Return the sampler: from a position of the run to the index of an example."""
    return make_sampler(config.data.order, len(source), config.seed)


def read_schedule(config: Config) -> optimizers.Schedule:
    """Return the learning rate by number of completed updates."""
    return optimizers.make_schedule(
        config.optimizer.schedule,
        learning_rate=config.optimizer.learning_rate,
        total_steps=config.steps,
        warmup_steps=config.optimizer.warmup_steps,
        decay_every=config.optimizer.decay_every,
        decay_factor=config.optimizer.decay_factor,
    )


def read_optimizer(
    config: Config, schedule: optimizers.Schedule, params: Any
) -> optax.GradientTransformation:
    """Return the optimiser; of the parameters only the names are read."""
    return optimizers.make_optimizer(
        config.optimizer.name,
        schedule,
        params=params,
        momentum=config.optimizer.momentum,
        weight_decay=config.optimizer.weight_decay,
        multipliers=[tuple(rule) for rule in config.optimizer.multipliers],
    )


def read_rate(config: Config) -> Rate:
    """Return what the check of the learning rate judges."""
    own = config.optimizer
    return Rate(own.name, own.learning_rate, own.momentum)


def read_start(config: Config) -> Start:
    """Return where the parameters come from."""
    return Start(
        recipe=config.recipe,
        checkpoints=initial_checkpoints(config),
        new=tuple(config.init_new),
        unused=tuple(config.init_unused),
        adapt=tuple(config.init_adapt),
        replace_preprocessing=config.init_preprocessing == "replace",
    )
