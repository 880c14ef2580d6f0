"""What is compiled: a program of an experiment, for a batch on some devices."""

from collections.abc import Sequence
from typing import Any, NamedTuple

BFLOAT16, FLOAT32 = "bfloat16", "float32"


class Case(NamedTuple):
    """A program of an experiment.

    Attributes:
        task: "train", "scores" or "evaluation".
        net: the experiment, "fcn8s".
        batch: images, over all devices.
        dtype: of the trunk's arithmetic.
        devices: over which images are split.
        height: rows of the canvas.
        width: columns of the canvas.
        padding: of the trunk; "" is the experiment's own.
        sizes: whether the images are padded, so that their true sizes are given.
        rematerialize: whether features are computed again in the backward pass.
        deterministic: whether operations add in one order.
        tf32: whether factors of float32 products are rounded to TF32.
    """

    task: str
    net: str = "fcn8s"
    batch: int = 1
    dtype: str = BFLOAT16
    devices: int = 1
    height: int = 500
    width: int = 500
    padding: str = ""
    sizes: bool = False
    rematerialize: bool = False
    deterministic: bool = False
    tf32: bool = False

    def __str__(self) -> str:
        words = [
            *(self.task, self.net, f"{self.height}x{self.width}"),
            *(self.dtype, f"batch {self.batch}"),
        ]
        if self.devices > 1:
            words.append(f"on {self.devices} devices")
        if self.padding:
            words.append(f"padding={self.padding}")
        switches = ("sizes", "rematerialize", "deterministic", "tf32")
        return " ".join([*words, *(name for name in switches if getattr(self, name))])

    def config(self) -> Any:
        """Return the configuration of the experiment with what the case changes.

        Raises:
            ValueError: for an experiment or a key that does not exist.
        """
        from fcn_jax.launch import experiment_files

        config = experiment_files.load(experiment_files.find(self.net))
        config.batch_size = config.evaluation.batch_size = self.batch
        config.dtype = self.dtype
        config.rematerialize = self.rematerialize
        config.deterministic = self.deterministic
        config.data.crop = config.data.canvas = (0, 0)
        if self.padding:
            config.model.padding = self.padding
        config.tf32 = self.tf32
        return config


TWO_STREAMS = "nyud_fcn32s_color_hha"
H100: Sequence[Case] = (
    Case("train"),
    Case("train", batch=8),
    Case("train", batch=20),
    Case("scores"),
    Case("evaluation", batch=8),
    *(
        Case(task, net, batch, padding=padding)
        for net, padding in (
            ("fcn8s", "same"),
            ("fcn_alexnet", ""),
            ("fcn_googlenet", ""),
            (TWO_STREAMS, ""),
        )
        for task, batch in (("train", 8), ("scores", 1))
    ),
    Case("train", "fcn8s_atonce", batch=8),
    Case("train", batch=8, dtype=FLOAT32),
    Case("scores", dtype=FLOAT32),
    Case("train", batch=8, rematerialize=True),
    Case("train", batch=8, deterministic=True),
    Case("train", batch=8, sizes=True),
    Case("scores", sizes=True),
    Case("train", batch=64, devices=8),
)
V5E: Sequence[Case] = (
    Case("train", batch=8),
    Case("scores"),
    Case("evaluation", batch=8),
    Case("train", batch=8, padding="same"),
    Case("train", "fcn_alexnet", batch=8),
    Case("train", "fcn_googlenet", batch=8),
    Case("train", batch=32, devices=4),
)
BASELINES = {"h100": H100, "v5e": V5E}
"""What the committed records hold, by target."""
