"""The plan of a run: what it will need, from shapes and compiled programs."""

import importlib
import math
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from fcn_jax.experiment.experiment import Experiment
from fcn_jax.planning import activations, kernels, operations, programs
from fcn_jax.planning.memory import Memory, memory_of, resident
from fcn_jax.planning.operations import Operations
from fcn_jax.planning.programs import Shape
from fcn_jax.planning.targets import Target

TASKS = ("train", "evaluation")


@dataclass(frozen=True)
class Program:
    """A compiled program of a run.

    Attributes:
        shape: of its batch.
        memory: of a device.
        operations: of the definition, over all devices.
        computed: in the forms of the target's platform, over all devices.
        seconds: estimated by the roofline, of one batch.
    """

    shape: Shape
    memory: Memory
    operations: Operations
    computed: Operations
    seconds: float


@dataclass(frozen=True)
class Plan:
    """What a run will need; sizes are bytes of one device.

    Attributes:
        target: the machine.
        devices: how many.
        dtype: of the trunk's arithmetic.
        accumulation: batches of an update.
        parameters: number of values.
        parameter_bytes: of the parameters.
        state_bytes: of parameters, optimiser and what layers keep.
        kept_bytes: features kept for the backward pass.
        train: the program of an update, or of the gradients of one of its batches.
        evaluation: the program that scores a batch.
        batch_bytes: of the batches of one update.
        process: of the program itself, where devices share the host's memory; else 0.
        waiting_bytes: of batches made ahead in that memory.
    """

    target: Target
    devices: int
    dtype: str
    accumulation: int
    parameters: int
    parameter_bytes: int
    state_bytes: int
    kept_bytes: int
    train: Program
    evaluation: Program
    batch_bytes: int
    process: int
    waiting_bytes: int

    @property
    def training(self) -> int:
        """Bytes while the run trains."""
        sums = 0
        if self.accumulation > 1:
            # The optimiser's state waits, and so does the sum of earlier gradients.
            sums = self.state_bytes
        return self.around + sums + self.train.memory.peak

    @property
    def evaluating(self) -> int:
        """Bytes while the run evaluates: the state waits, on a CPU but for the parameters.

        An accelerator evaluates with parameters prepared once; see
        `runtime.prepared_programs`.
        """
        waiting = self.state_bytes
        if self.target.platform == "cpu":
            waiting -= self.parameter_bytes
        return self.around + waiting + self.evaluation.memory.peak

    @property
    def around(self) -> int:
        """Bytes of the program itself and of batches made ahead."""
        return self.process + self.waiting_bytes

    @property
    def needed(self) -> int:
        """Bytes of a run that trains and evaluates."""
        return max(self.training, self.evaluating)

    @property
    def update_seconds(self) -> float:
        """Least seconds of an update, estimated."""
        return self.accumulation * self.train.seconds

    @property
    def images_per_second(self) -> float:
        """Images a second in training, at most, over all devices."""
        return self.train.shape.images / self.train.seconds


def make_plan(run: Experiment, target: Target, process: int | None = None) -> Plan:
    """Compile the programs of a run and count what they need.

    Args:
        run: the experiment, whose mesh is of devices of the target.
        target: the machine.
        process: bytes of the program itself; None measures this process.
    """
    state = programs.state_shapes(run)
    params = jax.tree.leaves(state.params)
    train_shape = programs.train_shape(run)
    shared = target.platform == "cpu"
    # Compiled programs are kept until the memory of this process has been read.
    kept = [_compiled(run, task) for task in TASKS]
    if shared:
        kept.append(_compiled(run, "initial"))
        importlib.import_module("fcn_jax.training.loop")
        process = resident() if process is None else process
    train, evaluation = (
        _program(run, task, compiled, target)
        for task, compiled in zip(TASKS, kept, strict=False)
    )
    batch = run.accumulation * _bytes(programs.batch_shapes(run, train_shape))
    ahead = run.loading.prefetch + run.loading.threads
    return Plan(
        target=target,
        devices=run.mesh.size,
        dtype=run.dtype,
        accumulation=run.accumulation,
        parameters=sum(math.prod(leaf.shape) for leaf in params),
        parameter_bytes=_bytes(params),
        state_bytes=_bytes(state),
        kept_bytes=activations.kept_bytes(run, train_shape) // run.mesh.size,
        train=train,
        evaluation=evaluation,
        batch_bytes=batch,
        process=process or 0,
        waiting_bytes=ahead * batch if shared else 0,
    )


def _compiled(run: Experiment, task: str) -> jax.stages.Compiled:
    """Compile a program of a run."""
    shape = programs.train_shape(run)
    if task == "initial":
        return programs.lower_initial(run).compile()
    if task == "evaluation":
        shape = programs.evaluation_shape(run)
        return programs.lower_evaluation(run, shape).compile()
    if run.accumulation > 1:
        return programs.lower_gradients(run, shape).compile()
    return programs.lower_train(run, shape).compile()


def _program(
    run: Experiment, task: str, compiled: jax.stages.Compiled, target: Target
) -> Program:
    """Count what a compiled program of a run does."""
    shape, count = programs.train_shape(run), activations.update_operations
    if task == "evaluation":
        shape, count = programs.evaluation_shape(run), _scores_operations
    own, here = (count(run, shape, platform) for platform in ("", target.platform))
    seconds = _seconds(compiled, run, target, here)
    return Program(shape, memory_of(compiled), own, here, seconds)


def _scores_operations(run: Experiment, shape: Shape, platform: str) -> Operations:
    batch = programs.batch_shapes(run, shape)
    return operations.count(
        programs.scores_of(run),
        programs.variable_shapes(run),
        batch["inputs"],
        batch["sizes"],
        platform=platform,
    )


def _seconds(
    compiled: jax.stages.Compiled, run: Experiment, target: Target, own: Operations
) -> float:
    """Estimate a program's time: by kernel where its text tells them, else as a whole."""
    total = own.total // run.mesh.size
    tf32 = run.tf32
    if target.platform == "cpu":
        return total / target.rate(run.dtype, tf32)
    reading = kernels.read(compiled.as_text() or "")
    return reading.seconds(target, run.dtype, total, tf32=tf32)


def _bytes(tree: Any) -> int:
    return sum(
        math.prod(leaf.shape) * np.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(tree)
    )
