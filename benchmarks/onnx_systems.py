"""The peers that only infer, ONNX Runtime and OpenVINO, from one ONNX file.

The file is torch's export of the peers' net. Both get every core, float32 and all
of their graph optimisation; OpenVINO works for latency.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import Case, Setting, load_weights
from benchmarks.nets import NETS
from benchmarks.torch_system import prepared

FILE = "net.onnx"


def export(case: Case, weights: Path, file: Path) -> None:
    """Write the net for images of one size."""
    import torch

    from benchmarks.torch_nets import TorchFCN

    net = TorchFCN(NETS[case.net], load_weights(case.net, weights)).eval()
    image = torch.zeros(case.batch, 3, case.height, case.width)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        # The other exporter needs one more package and gives the same graph.
        torch.onnx.export(
            net,
            (image,),
            str(file),
            dynamo=False,
            input_names=["images"],
            output_names=["scores"],
        )


class _System:
    """Images that are ready, and scores."""

    images = 1

    def __init__(self, case: Case):
        self.x = np.ascontiguousarray(prepared(case))
        self.result: Any = None

    def wait(self) -> None:
        """Steps have ended when they return."""

    def peak_mib(self) -> float | None:
        """None: it is the process's."""
        return None

    def outputs(self) -> dict[str, np.ndarray]:
        """`scores` `[N, H, W, K]`."""
        return {"scores": self.result.transpose(0, 2, 3, 1)}


class OnnxRuntime(_System):
    """ONNX Runtime on the CPU."""

    def __init__(self, case: Case, setting: Setting, file: Path):
        super().__init__(case)
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = setting.threads
        options.graph_optimization_level = (
            onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        )
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"]
        )

    def step(self) -> None:
        """A forward pass."""
        (self.result,) = self.session.run(None, {"images": self.x})


class OpenVino(_System):
    """OpenVINO on the CPU."""

    def __init__(self, case: Case, setting: Setting, file: Path):
        super().__init__(case)
        import openvino

        core = openvino.Core()
        compiled = core.compile_model(
            core.read_model(str(file)),
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": "f32",
                "INFERENCE_NUM_THREADS": setting.threads,
                "PERFORMANCE_HINT": "LATENCY",
            },
        )
        self.request = compiled.create_infer_request()

    def step(self) -> None:
        """A forward pass."""
        results = self.request.infer({"images": self.x}, share_inputs=True)
        self.result = results[0]
