"""The peers in torch: eager and compiled, channels last.

Each has what torch offers for its speed: all cores, in-place ReLUs, a fused
optimiser, inference mode, gradients that are freed; on an accelerator autocast to
bfloat16 and cuDNN's search for algorithms. The images are float, minus their mean
and in torch's order already, which the measured package does within its step.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import (
    DECAY,
    IGNORED,
    LEARNING_RATE,
    MOMENTUM,
    Case,
    Setting,
    draw,
    load_weights,
)
from benchmarks.nets import CLASSES, NETS


def make(
    case: Case,
    setting: Setting,
    weights: Path,
    *,
    compiled: bool = False,
    dropout: bool = True,
    precise: bool = False,
) -> Any:
    """A system that runs `case`.

    Args:
        case: what is raced.
        setting: what is common to all races.
        weights: folder of the parameters.
        compiled: whether torch.compile makes the program.
        dropout: whether training drops features.
        precise: whether an accelerator computes in float32 too, for comparisons.
    """
    import torch

    torch.set_num_threads(setting.threads)
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = not precise
    kinds = {"train": Training, "evaluation": Evaluation, "inference": Inference}
    return kinds[case.task](case, setting, weights, compiled, dropout, precise)


def prepared(case: Case) -> np.ndarray:
    """Images minus their mean, `[N, 3, H, W] float32`; memory is channels last."""
    from fcn_jax.config import ILSVRC_MEAN

    images, _ = draw(case)
    values = images.astype(np.float32) - np.asarray(ILSVRC_MEAN, np.float32)
    return values.transpose(0, 3, 1, 2)


class _System:
    """Net and batch on one device."""

    images = 1

    def __init__(
        self,
        case: Case,
        setting: Setting,
        weights: Path,
        compiled: bool,
        dropout: bool,
        precise: bool,
    ):
        import torch

        from benchmarks.torch_nets import TorchFCN

        self.device = torch.device("cuda" if setting.device == "gpu" else "cpu")
        self.lower = setting.device == "gpu" and not precise
        net = TorchFCN(NETS[case.net], load_weights(case.net, weights))
        self.net = net.to(self.device)
        self.net.train(case.task == "train" and dropout)
        images = torch.from_numpy(prepared(case)).to(self.device)
        self.x = images.contiguous(memory_format=torch.channels_last)
        self.labels = torch.from_numpy(draw(case)[1].astype(np.int64)).to(self.device)
        self.result: Any = None
        self.run = torch.compile(self.program) if compiled else self.program

    def program(self) -> Any:
        """What torch.compile compiles."""
        raise NotImplementedError

    def scores(self) -> Any:
        """Of the batch, in float32."""
        import torch

        with torch.autocast("cuda", torch.bfloat16, enabled=self.lower):
            return self.net(self.x).float()

    def wait(self) -> None:
        """Until everything queued is computed."""
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def peak_mib(self) -> float | None:
        """Of the accelerator's memory; None on a CPU."""
        import torch

        if self.device.type == "cpu":
            return None
        return torch.cuda.max_memory_allocated() / 2**20


class Inference(_System):
    """The forward pass."""

    def program(self) -> Any:
        """Scores."""
        return self.scores()

    def step(self) -> None:
        """Queue a forward pass."""
        import torch

        with torch.inference_mode():
            self.result = self.run()

    def outputs(self) -> dict[str, np.ndarray]:
        """`scores` `[N, H, W, K]`."""
        return {"scores": self.result.permute(0, 2, 3, 1).cpu().numpy()}


class Evaluation(_System):
    """Scores, loss, labels and confusion counts."""

    def program(self) -> Any:
        """(labels, loss) of the batch."""
        scores = self.scores()
        return scores.argmax(1), _summed_loss(scores, self.labels)

    def step(self) -> None:
        """Queue an evaluation step."""
        import torch

        with torch.inference_mode():
            predicted, loss = self.run()
            valid = self.labels != IGNORED
            pairs = self.labels[valid] * CLASSES + predicted[valid]
            counts = torch.bincount(pairs, minlength=CLASSES**2)
            labels = predicted.to(torch.uint8)
            self.result = counts.reshape(CLASSES, CLASSES), loss, labels

    def outputs(self) -> dict[str, np.ndarray]:
        """`loss`, and `counts` of (truth, prediction)."""
        counts, loss, _ = self.result
        return {"counts": counts.cpu().numpy(), "loss": loss.cpu().numpy()}


class Training(_System):
    """An update by SGD with momentum on the summed loss."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        import torch

        kernels = [p for path, p in self.net.paths() if path.endswith("kernel")]
        biases = [p for path, p in self.net.paths() if path.endswith("bias")]
        self.optimizer = torch.optim.SGD(
            [
                {"params": kernels, "weight_decay": DECAY},
                {"params": biases, "weight_decay": 0.0, "lr": 2 * LEARNING_RATE},
            ],
            lr=LEARNING_RATE,
            momentum=MOMENTUM,
            fused=True,
        )

    def program(self) -> Any:
        """The summed loss."""
        return _summed_loss(self.scores(), self.labels)

    def step(self) -> None:
        """Queue an update."""
        self.optimizer.zero_grad(set_to_none=True)
        self.result = self.run()
        self.result.backward()
        self.optimizer.step()

    def outputs(self) -> dict[str, np.ndarray]:
        """`loss`, and the update of each parameter, float32."""
        outputs = {"loss": self.result.detach().cpu().numpy()}
        for path, parameter in self.net.paths():
            rate = LEARNING_RATE * (2 if path.endswith("bias") else 1)
            buffer = self.optimizer.state[parameter]["momentum_buffer"]
            value = buffer.permute(2, 3, 1, 0) if buffer.ndim == 4 else buffer
            outputs[f"update.{path}"] = rate * value.cpu().numpy()
        return outputs


def _summed_loss(scores: Any, labels: Any) -> Any:
    from torch.nn import functional

    return functional.cross_entropy(
        scores, labels, ignore_index=IGNORED, reduction="sum"
    )
