"""From a configuration to an experiment: the only reader of a configuration.

`Experiment.from_config` builds every part of a run once; training, evaluation and their
tests take the parts, and nothing else sees a configuration. A notebook passes parts of
its own beside the configuration: a source of examples, a loss, an optimiser, a backbone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from jax.sharding import Mesh

from fcn_jax.config import (
    Config,
    changeable_keys,
    from_dict,
    located_config,
    to_dict,
    validate,
)
from fcn_jax.data.categories import AnyClasses
from fcn_jax.data.examples import Source
from fcn_jax.data.pipeline.batches import Batch, train_batches, unpadded
from fcn_jax.data.pipeline.buckets import Canvas, batch_canvases
from fcn_jax.data.pipeline.loading import Loading
from fcn_jax.data.pipeline.order import Sampler
from fcn_jax.data.pipeline.transforms import Augment, augmented_sizes
from fcn_jax.data.sources.splits import check_disjoint
from fcn_jax.experiment import reading
from fcn_jax.experiment.loss import read_loss, read_pixel_mask, zero_loss
from fcn_jax.experiment.parts import (
    Checks,
    MakeOptimizer,
    MakeSampler,
    PixelMask,
    Rate,
    Start,
    ZeroLoss,
)
from fcn_jax.experiment.scoring import Scoring
from fcn_jax.losses import Reduction
from fcn_jax.losses.terms import Loss
from fcn_jax.models.backbone import Backbone
from fcn_jax.models.build import BACKBONES, build, spec_of_settings
from fcn_jax.models.fcn import FCN, refuse_small_images, smallest_image
from fcn_jax.models.heads import HEADS, MakeHead, training_heads
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.models.spec import ModelSpec
from fcn_jax.optim import optimizers
from fcn_jax.runs.workdir import check_resume
from fcn_jax.runtime import sharding


@dataclass(frozen=True)
class Experiment:
    """Every part of a training run, built once.

    Attributes:
        spec: the network, as data.
        model: the network.
        preprocessing: of each input.
        outputs: classes of each output.
        data: name of the data set that is learnt from.
        train_split: name of the split.
        train_source: its examples.
        sampler: index of the example at a position of the run.
        augmentation: what is varied at random.
        crop: (height, width) of the window that it takes, or None.
        fill: pixel that augmentation exposes, of each input: its mean.
        canvases: rows and columns of training batches, one compiled program each.
        loading: how examples are read.
        scoring: what is scored in training, and how.
        loss: of the scores of one output.
        zero_loss: the loss of a pixel of each output while all scores are zero.
        reduction: of the loss: "sum" over pixels and images, or "mean" over pixels.
        auxiliary: maps that the head gives in training only, see `train_step.Auxiliary`.
        mixup: alpha of mixup, 0 for none.
        average_decay: of the moving average of the parameters, 0 for none.
        pixel_mask: leaves pixels out of the loss at random; None takes all.
        make_optimizer: see `MakeOptimizer`.
        schedule: learning rate by number of completed updates, for the log.
        rate: what the check of the learning rate judges; None leaves it out.
        start: where the parameters come from.
        checks: which are made.
        mesh: the devices.
        seed: of initialisation, data order, augmentation and dropout.
        steps: updates.
        batch_size: images of an accumulation step, over all devices.
        accumulation: batches of an update.
        dtype: of the trunk's arithmetic.
        gradient_dtype: in which gradients are computed and summed over devices.
        tf32: whether float32 products may be rounded to TF32.
        rematerialize: whether features are computed again in the backward pass.
        evaluate_every: updates between evaluations; the last one is always scored.
        pictures: examples drawn at each evaluation.
        save_every: updates between checkpoints.
        keep: checkpoints kept, besides the best and the snapshots.
        snapshots: updates whose checkpoints are kept for good.
        log_every: updates between lines of the log.
        config: where it came from, for the record of checkpoints.
        changeable: patterns of keys of `config` that a resumed run may change.
    """

    spec: ModelSpec
    model: FCN
    preprocessing: Mapping[str, Preprocessing]
    outputs: Mapping[str, AnyClasses]
    data: str
    train_split: str
    train_source: Source
    sampler: Sampler
    augmentation: Augment
    crop: Canvas | None
    fill: Mapping[str, tuple[int, ...]]
    canvases: tuple[Canvas, ...]
    loading: Loading
    scoring: Scoring
    loss: Loss
    zero_loss: Mapping[str, ZeroLoss]
    reduction: Reduction
    make_optimizer: MakeOptimizer
    schedule: optimizers.Schedule
    rate: Rate | None
    start: Start
    checks: Checks
    mesh: Mesh
    seed: int
    steps: int
    batch_size: int
    accumulation: int
    dtype: str
    gradient_dtype: str
    tf32: bool
    rematerialize: bool
    evaluate_every: int
    pictures: int
    save_every: int
    keep: int
    log_every: int
    auxiliary: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    mixup: float = 0.0
    average_decay: float = 0.0
    pixel_mask: PixelMask | None = None
    snapshots: tuple[int, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    changeable: tuple[str, ...] = ()

    @classmethod
    def from_config(
        cls,
        config: Config,
        *,
        train_source: Source | None = None,
        eval_source: Source | None = None,
        make_sampler: MakeSampler | None = None,
        loss: Loss | None = None,
        pixel_mask: PixelMask | None = None,
        make_optimizer: MakeOptimizer | None = None,
        augmentation: Augment | None = None,
        backbones: Mapping[str, Backbone] = BACKBONES,
        heads: Mapping[str, MakeHead] = HEADS,
        mesh: Mesh | None = None,
    ) -> "Experiment":
        """Build every part, and check all that needs no parameters.

        What is given beside the configuration takes the place of what it names.

        Args:
            config: the experiment; see `config.base`.
            train_source: examples to learn from.
            eval_source: examples to score.
            make_sampler: see `MakeSampler`.
            loss: of the scores of one output, in training and in evaluation.
            pixel_mask: leaves pixels out of the loss at random.
            make_optimizer: see `MakeOptimizer`; its learning rate is not checked.
            augmentation: what is varied at random in training.
            backbones: what `config.model.backbone` may be.
            heads: what `config.model.head` may be.
            mesh: the devices, in place of those of `config.devices`.

        Raises:
            ValueError: for a value, a data set or a combination that cannot work.
        """
        config = located_config(config)
        validate(config)
        mesh = mesh or reading.read_mesh(config)
        sharding.check_divisible(config.batch_size, mesh, "config.batch_size")
        if train_source is None:
            train_source = reading.open_split(config, config.data.train_split)
        scoring = Scoring.from_config(config, source=eval_source, loss=loss, mesh=mesh)
        if not config.data.allow_overlap:
            check_disjoint(train_source, scoring.source)
        outputs = reading.same_outputs(config, train_source, scoring.source)
        records = reading.read_preprocessing(config)
        counts = {name: len(classes) for name, classes in outputs.items()}
        reading.check_kind(config, outputs)
        spec = spec_of_settings(to_dict(config)["model"], counts, backbones, heads)
        model = build(spec, backbones, training_heads(heads))
        crop = None if augmentation else reading.read_crop(config, spec)
        augmentation = augmentation or reading.read_augmentation(config, spec)
        sizes = augmented_sizes(train_source, augmentation)
        least = smallest_image(reading.told_geometry(model, records))
        refuse_small_images(sizes, train_source.name, least)
        refuse_small_images(scoring.source.sizes(), scoring.source.name, least)
        if crop is not None:  # no window is larger than the largest image
            rows, columns = sizes.max(axis=0)
            crop = (min(crop[0], int(rows)), min(crop[1], int(columns)))
        fixed = crop or config.data.canvas
        canvases = batch_canvases(sizes, fixed=fixed, most=config.data.canvases)
        images = config.batch_size * config.accumulation
        schedule = reading.read_schedule(config)
        return cls(
            spec=spec,
            model=model,
            preprocessing=records,
            outputs=outputs,
            data=config.data.name,
            train_split=config.data.train_split,
            train_source=train_source,
            sampler=(make_sampler or partial(reading.read_sampler, config))(
                train_source
            ),
            augmentation=augmentation,
            crop=crop,
            fill={name: record.mean_pixel for name, record in records.items()},
            canvases=canvases,
            loading=reading.read_loading(config, canvases[-1], images),
            scoring=scoring,
            loss=loss or read_loss(config, outputs),
            zero_loss={
                name: zero_loss(config, count) for name, count in counts.items()
            },
            reduction=config.loss.reduction,
            pixel_mask=pixel_mask or read_pixel_mask(config, outputs),
            auxiliary=reading.read_auxiliary(spec),
            mixup=config.mixup,
            average_decay=config.average_decay,
            make_optimizer=make_optimizer
            or partial(reading.read_optimizer, config, schedule),
            schedule=schedule,
            rate=None if make_optimizer else reading.read_rate(config),
            start=reading.read_start(config),
            checks=Checks(**config.checks),
            mesh=mesh,
            seed=config.seed,
            steps=config.steps,
            batch_size=config.batch_size,
            accumulation=config.accumulation,
            dtype=config.dtype,
            gradient_dtype=config.gradient_dtype,
            tf32=config.tf32,
            rematerialize=config.rematerialize,
            evaluate_every=config.evaluation.every,
            pictures=config.evaluation.pictures,
            save_every=config.checkpoint.every,
            keep=config.checkpoint.keep,
            snapshots=tuple(config.checkpoint.snapshots),
            log_every=config.log.every,
            config=to_dict(config),
            changeable=changeable_keys(config),
        )

    def batches(self, begin: int) -> Iterator[Mapping[str, Any]]:
        """Return the batches of all updates after `begin`."""
        batches: Iterator[Batch] = train_batches(
            self.train_source,
            sampler=self.sampler,
            seed=self.seed,
            start=begin,
            stop=self.steps,
            batch_size=self.batch_size,
            accumulation=self.accumulation,
            canvases=self.canvases,
            augmentation=self.augmentation,
            fill=self.fill,
            **self.loading._asdict(),
        )
        sizes = augmented_sizes(self.train_source, self.augmentation)
        return unpadded(batches, sizes, self.canvases)

    def check_resume(self, stored: Mapping[str, Any], where: str) -> None:
        """Refuse to continue a run that was started with another configuration.

        Parts that were passed in beside the configuration are not compared.

        Args:
            stored: the run's configuration, as JSON has it.
            where: it is stored, for messages.

        Raises:
            ValueError: names every key that differs, with both values.
        """
        # Through from_dict, so that a key newer than the run has its default.
        check_resume(to_dict(from_dict(stored, where)), self.config, self.changeable)

    def is_scored(self, step: int) -> bool:
        """Return whether the state after an update is evaluated."""
        return step == self.steps or step % self.evaluate_every == 0

    def is_saved(self, step: int) -> bool:
        """Return whether the state after an update is saved."""
        own = step % self.save_every == 0 or step in self.snapshots
        return own or self.is_scored(step)
