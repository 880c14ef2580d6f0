"""The measured package: its own train step, evaluation step and forward pass."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import (
    DECAY,
    LEARNING_RATE,
    MOMENTUM,
    Case,
    Setting,
    draw,
    load_weights,
)
from benchmarks.nets import CLASSES, NETS

OUTPUT = "semantic"


def make(
    case: Case, setting: Setting, weights: Path, *, dtype: str, dropout: bool = True
) -> Any:
    """A system that runs `case`, with parameters and batch on the device.

    Args:
        case: what is raced.
        setting: what is common to all races.
        weights: folder of the parameters.
        dtype: "float32" or "bfloat16", of the trunk's arithmetic; "tf32" is float32
            with products whose factors a GPU rounds to TF32.
        dropout: whether training drops features.
    """
    if setting.device == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    from fcn_jax.runtime.compilation import trim_compiler_memory

    trim_compiler_memory()
    jax.config.update("jax_enable_compilation_cache", bool(setting.cache))
    if setting.cache:
        jax.config.update("jax_compilation_cache_dir", setting.cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    kinds = {"train": Training, "evaluation": Evaluation, "inference": Inference}
    own = {} if dropout else {"dropout_rate": 0.0}
    return kinds[case.task](case, setting, weights, dtype, own)


class _System:
    """Model, parameters and preprocessing on one device."""

    images = 1

    def __init__(
        self, case: Case, setting: Setting, weights: Path, dtype: str, own: Any
    ):
        import jax

        from fcn_jax.config import ILSVRC_MEAN
        from fcn_jax.models.build import build_fcn
        from fcn_jax.models.preprocessing import Preprocessing
        from fcn_jax.runtime import sharding

        self.case, self.setting = case, setting
        self.device = jax.devices()[0]
        self.mesh = sharding.make_mesh([self.device])
        self.everywhere = sharding.replicated(self.mesh)
        self.params: Any = self._parameters(weights)
        self.records = {"color": Preprocessing(ILSVRC_MEAN)}
        self.tf32 = dtype == "tf32"
        self.dtype = "float32" if self.tf32 else dtype
        build = NETS[case.net].build
        self.model = build_fcn(outputs={OUTPUT: CLASSES}, **build, **own)
        self.result: Any = None

    def _parameters(self, weights: Path) -> Any:
        """Copy that jax owns, made one after the other."""
        import jax

        from fcn_jax.params.paths import unflatten

        copy = jax.jit(lambda value: value + 0, out_shardings=self.everywhere)
        values = load_weights(self.case.net, weights)
        return unflatten({path: copy(v).block_until_ready() for path, v in values})

    def given_sizes(self, default: bool) -> np.ndarray | None:
        """True sizes of the images, where the program is told them."""
        choice = self.setting.sizes
        if choice == "given" or (choice == "program" and default):
            size = (self.case.height, self.case.width)
            return np.array([size] * self.case.batch, np.int32)
        return None

    def batch(self) -> dict[str, Any]:
        """A batch of the data pipeline, on the host."""
        images, labels = draw(self.case)
        return {
            "inputs": {"color": images},
            "labels": {OUTPUT: labels},
            "sizes": self.given_sizes(True),
            "index": np.arange(self.case.batch, dtype=np.int32),
        }

    def wait(self) -> None:
        """Until everything queued is computed."""
        import jax

        jax.block_until_ready(self.result)

    def peak_mib(self) -> float | None:
        """Of the accelerator's memory; None on a CPU."""
        if self.setting.device == "cpu":
            return None
        statistics = self.device.memory_stats() or {}
        return statistics["peak_bytes_in_use"] / 2**20


class Inference(_System):
    """The forward pass, compiled as `inference.segmenter.Segmenter` compiles it."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        import jax

        from fcn_jax.layers.preprocess import preprocess
        from fcn_jax.runtime.compiled_programs import in_precision
        from fcn_jax.runtime.prepared_programs import inference_programs

        def forward(params: Any, inputs: Any, sizes: Any) -> Any:
            ready = preprocess(inputs, self.records, self.dtype)
            maps: Any = self.model.apply(
                {"params": params}, ready, train=False, sizes=sizes
            )
            return maps[OUTPUT].values

        images, _ = draw(self.case)
        # On one device without a mesh, as `Segmenter` places them.
        self.inputs = jax.device_put({"color": images}, self.device)
        self.sizes = self.given_sizes(False)
        precise = in_precision(forward, self.dtype, tf32=self.tf32)
        self.forward = inference_programs(precise)
        self.params = self.forward.place(self.params)

    def _parameters(self, weights: Path) -> Any:
        from fcn_jax.params.paths import unflatten

        if self.setting.device == "cpu":
            return super()._parameters(weights)
        # In the host's memory: the device holds what programs make of them.
        return unflatten(dict(load_weights(self.case.net, weights)))

    def step(self) -> None:
        """Queue a forward pass."""
        self.result = self.forward(self.params, self.inputs, self.sizes)

    def outputs(self) -> dict[str, np.ndarray]:
        """`scores` `[N, H, W, K]`."""
        return {"scores": np.asarray(self.result, np.float32)}


class Evaluation(_System):
    """The evaluation step: scores, loss, labels and confusion counts."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        from fcn_jax.evaluation.evaluate import make_evaluation_step
        from fcn_jax.losses.cross_entropy import softmax_cross_entropy
        from fcn_jax.runtime import sharding

        placement = sharding.split_images(self.mesh, axis=0)
        self.placed = sharding.put_batch(self.batch(), placement)
        self.run = make_evaluation_step(
            model=self.model,
            records=self.records,
            loss=softmax_cross_entropy,
            dtype=self.dtype,
            mesh=self.mesh,
            tf32=self.tf32,
        )

    def step(self) -> None:
        """Queue an evaluation step."""
        self.result = self.run({"params": self.params}, self.placed)[OUTPUT]

    def outputs(self) -> dict[str, np.ndarray]:
        """`loss`, and `counts` of (truth, prediction)."""
        counts, loss = self.result["counts"], self.result["loss"]
        return {"counts": np.asarray(counts), "loss": np.asarray(loss)}


class Training(_System):
    """The train step, with the reference's optimiser on the summed loss."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        from fcn_jax.config import CAFFE_MULTIPLIERS
        from fcn_jax.losses.cross_entropy import softmax_cross_entropy
        from fcn_jax.optim import optimizers as optim
        from fcn_jax.runtime import sharding
        from fcn_jax.training.state import create_state
        from fcn_jax.training.train_step import make_train_step

        schedule = optim.make_schedule(
            "fixed", learning_rate=LEARNING_RATE, total_steps=1000
        )
        optimizer = optim.make_optimizer(
            "caffe_sgd",
            schedule,
            params=self.params,
            momentum=MOMENTUM,
            weight_decay=DECAY,
            multipliers=CAFFE_MULTIPLIERS,
        )
        import jax

        one_part = jax.tree.map(lambda rows: rows[None], self.batch())
        placement = sharding.split_images(self.mesh, axis=1)
        self.placed = sharding.put_batch(one_part, placement)
        self.run = make_train_step(
            model=self.model,
            records=self.records,
            optimizer=optimizer,
            loss=softmax_cross_entropy,
            reduction="sum",
            dtype=self.dtype,
            seed=0,
            mesh=self.mesh,
            tf32=self.tf32,
        )
        variables = {"params": self.params}
        self.state = create_state(variables, optimizer, sharding=self.everywhere)
        self.params = None  # the step consumes its state

    def step(self) -> None:
        """Queue an update."""
        self.state, self.result = self.run(self.state, self.placed)

    def wait(self) -> None:
        """Until every update is computed."""
        import jax

        jax.block_until_ready((self.state, self.result))

    def outputs(self) -> dict[str, np.ndarray]:
        """`loss`, and the update of each parameter, float32.

        Raises:
            RunError: if anything is not finite.
        """
        from fcn_jax.params.trees import flat_arrays
        from fcn_jax.training.async_metrics import check_finite

        outputs = {"loss": np.asarray(check_finite(1, self.result))}
        for path, value in flat_arrays(self.state.opt_state).items():
            if path.startswith("history."):
                name = path.replace("history.", "update.", 1)
                outputs[name] = np.asarray(value)
        return outputs
