"""The programs of a run, lowered from shapes: no parameters, no images, no device.

They are the programs that the run compiles itself: the update of `training.train_step`,
the evaluation step of `evaluation.evaluate`, and the scores of `inference.segmenter`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fcn_jax.data.categories import Categories
from fcn_jax.data.pipeline.batches import are_padded
from fcn_jax.data.pipeline.buckets import Canvas
from fcn_jax.data.pipeline.transforms import augmented_sizes
from fcn_jax.evaluation.evaluate import make_evaluation_step
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.inference.segmenter import make_forward
from fcn_jax.layers.preprocess import preprocess
from fcn_jax.models.fcn import abstract, blank_inputs, channels
from fcn_jax.runtime import sharding
from fcn_jax.runtime.compiled_programs import compiler_options, in_precision
from fcn_jax.runtime.prepared_programs import PreparedPrograms
from fcn_jax.training.rematerialize import by_stages
from fcn_jax.training.state import TrainState
from fcn_jax.training.train_step import make_train_step, step_parts

_PIXELS = {"depth": np.uint16}
"""Stored pixels of inputs that are not uint8."""


class Shape(NamedTuple):
    """The shape of a batch.

    Attributes:
        images: of the batch, over all devices.
        canvas: its rows and columns.
        padded: whether it has the true size of each image.
    """

    images: int
    canvas: Canvas
    padded: bool


def train_shape(run: Experiment) -> Shape:
    """Return the largest batch of an accumulation step."""
    sizes = augmented_sizes(run.train_source, run.augmentation)
    return Shape(run.batch_size, run.canvases[-1], are_padded(sizes, run.canvases))


def evaluation_shape(run: Experiment) -> Shape:
    """Return the largest batch of an evaluation."""
    own = run.scoring
    padded = are_padded(own.source.sizes(), own.canvases)
    return Shape(own.batch_size, own.canvases[-1], padded)


def scores_shape(run: Experiment) -> Shape:
    """Return the batch of one image of the largest size that is evaluated."""
    return evaluation_shape(run)._replace(images=1)


def batch_shapes(run: Experiment, shape: Shape) -> dict[str, Any]:
    """Return a batch without its accumulation axis, as `jax.ShapeDtypeStruct`s.

    Args:
        run: names its inputs and outputs.
        shape: of the batch.
    """
    lead = (shape.images, *shape.canvas)
    sizes = jax.ShapeDtypeStruct((shape.images, 2), jnp.int32)
    return {
        "inputs": {
            name: jax.ShapeDtypeStruct((*lead, count), _PIXELS.get(name, np.uint8))
            for name, count in channels(run.preprocessing).items()
        },
        "labels": {
            name: jax.ShapeDtypeStruct((shape.images, 1, 1), np.uint16)
            if isinstance(classes, Categories)
            else jax.ShapeDtypeStruct(lead, np.uint8)
            for name, classes in run.outputs.items()
        },
        "sizes": sizes if shape.padded else None,
        "index": jax.ShapeDtypeStruct((shape.images,), jnp.int32),
    }


def variable_shapes(run: Experiment) -> dict[str, Any]:
    """Return the network's collections, "params" first, as shapes."""
    counts = channels(run.preprocessing)
    return dict(abstract(run.model, counts)[1])


def state_shapes(run: Experiment) -> TrainState:
    """Return the state of training, as shapes."""
    collections = variable_shapes(run)
    params = collections.pop("params")
    optimizer = run.make_optimizer(params)
    step: Any = jax.ShapeDtypeStruct((), jnp.int32)
    opt_state = jax.eval_shape(optimizer.init, params)
    average = {"params": params, **collections} if run.average_decay else None
    return TrainState(step, params, opt_state, collections, average)


def lower_initial(run: Experiment) -> jax.stages.Lowered:
    """Lower the initialisation of the network's variables; see `training.state`."""
    counts = channels(run.preprocessing)

    def init(key: Any) -> Any:
        return dict(
            run.model.init(key, blank_inputs(counts, run.model.probe_size), train=False)
        )

    whole = sharding.replicated(run.mesh)
    return jax.jit(init, out_shardings=whole).lower(jax.random.key(run.seed))


def lower_train(run: Experiment, shape: Shape) -> jax.stages.Lowered:
    """Lower the update of one batch; see `training.train_step`."""
    state = state_shapes(run)
    step = make_train_step(**step_parts(run, state.params))
    return step.lower(state, batch_shapes(run, shape))


def lower_gradients(run: Experiment, shape: Shape) -> jax.stages.Lowered:
    """Lower the gradients of one batch of several, which an update adds up."""
    state = state_shapes(run)
    step = make_train_step(**step_parts(run, state.params))
    return step.lower_part(state, batch_shapes(run, shape))


def lower_evaluation(run: Experiment, shape: Shape) -> jax.stages.Lowered:
    """Lower the step that counts the confusions of a batch; see `evaluation.evaluate`."""
    step: Any = make_evaluation_step(
        model=run.model,
        records=run.preprocessing,
        loss=run.scoring.loss,
        dtype=run.dtype,
        mesh=run.mesh,
        tf32=run.tf32,
    )
    return step.lower(variable_shapes(run), batch_shapes(run, shape))


def lower_scores(run: Experiment, shape: Shape) -> jax.stages.Lowered:
    """Lower the scores of a batch; see `inference.segmenter`."""
    whole, split = sharding.replicated(run.mesh), sharding.split_images(run.mesh, 0)
    platform = run.mesh.devices.flat[0].platform
    function = in_precision(scores_of(run), run.dtype)
    options = compiler_options(platform)
    forward: Any = PreparedPrograms(
        function, params=whole, arguments=split, compiler_options=options
    )
    if platform == "cpu":
        placed = (whole, split, split)
        forward = jax.jit(function, in_shardings=placed, compiler_options=options)
    batch = batch_shapes(run, shape)
    return forward.lower(variable_shapes(run), batch["inputs"], batch["sizes"])


def scores_of(run: Experiment) -> Callable[[Any, Any, Any], Mapping[str, Any]]:
    """Return the function from variables, inputs and sizes to the scores of each output."""
    return make_forward(run.model, run.preprocessing, run.dtype)


def lower(run: Experiment, task: str, shape: Shape) -> jax.stages.Lowered:
    """Lower a program of a run.

    Args:
        run: the experiment; its mesh may be of devices that are not there.
        task: of `targets.TASKS`.
        shape: of the batch.
    """
    lowered = {
        "train": lower_train,
        "scores": lower_scores,
        "evaluation": lower_evaluation,
    }
    return lowered[task](run, shape)


def objective(run: Experiment) -> Callable[[Any, Any, Any], jax.Array]:
    """Return the loss of a batch as a function of parameters, collections and batch.

    Its value and gradients are those of `training.train_step`, without its labels'
    mask: this function is for counting.
    """

    def scores(variables: Any, inputs: Any, sizes: Any, keys: Any) -> Any:
        kept = [name for name in variables if name != "params"]
        found: Any = run.model.apply(
            variables,
            inputs,
            train=True,
            sizes=sizes,
            dropout_keys=keys,
            mutable=kept or False,
        )
        maps = found[0] if kept else found
        return {name: own.values for name, own in maps.items()}

    forward = by_stages(scores) if run.rematerialize else scores

    def total(params: Any, collections: Any, batch: Any) -> jax.Array:
        key = jax.random.key(run.seed)
        keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, batch["index"])
        inputs = preprocess(batch["inputs"], run.preprocessing, run.dtype)
        variables = {"params": params, **collections}
        maps = forward(variables, inputs, batch["sizes"], keys)
        terms = [run.loss(maps[name], own) for name, own in batch["labels"].items()]
        return jnp.stack([term.reduce(run.reduction) for term in terms]).sum()

    return total
