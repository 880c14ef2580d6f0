"""Labels pictures of many sizes through one Segmenter, and looks at the memory.

    python -m tests.segment_sizes --sizes=500

The net is one convolution, so that a program is compiled in a moment; what is kept for
each program is what is kept for those of large nets.
"""

import argparse
import gc
import sys
import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np

from fcn_jax.data.labels import VOC, Classes
from fcn_jax.inference.segmenter import Segmenter
from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.models.preprocessing import Preprocessing


class OneConvolution:
    """Scores of four classes by a 3 x 3 convolution, and a few maps on the way."""

    def apply(self, variables, inputs, *, train, sizes):
        """The scores; of a padded picture those of the padding too."""
        scores = inputs["color"]
        for kernel in variables["params"]["kernels"]:
            scores = jax.lax.conv_general_dilated(
                *(scores, kernel, (1, 1), "SAME"),
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )
        return {"semantic": SimpleNamespace(values=scores)}


def segmenter() -> Segmenter:
    """One that is quickly compiled."""
    rng = np.random.default_rng(0)
    shapes = ((1, 1, 3, 4), (3, 3, 4, 4), (1, 1, 4, 4))
    kernels = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    record = SimpleNamespace(
        preprocessing={"color": Preprocessing(mean=(100.0, 110.0, 120.0))},
        outputs={"semantic": Classes(VOC.names[:4], VOC.palette[:4])},
        dtype="float32",
    )
    loaded: Any = SimpleNamespace(
        model=OneConvolution(),
        variables={"params": {"kernels": kernels}},
        record=record,
        maps={"semantic": FeatureMap(None)},
    )
    return Segmenter(loaded)


def resident() -> float:
    """MB of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith("VmRSS")).split()[1]) / 1e3


def campaign(count: int, every: int) -> list[tuple[int, float, int]]:
    """Sizes so far, MB, and executables alive, now and then."""
    rng, own = np.random.default_rng(0), segmenter()
    client, seen, digest = jax.devices()[0].client, [], 0
    for index in range(1, count + 1):
        height, width = rng.integers(32, 769, 2)
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        digest = zlib.crc32(own.scores(image)["semantic"].tobytes(), digest)
        if index % every == 0:
            gc.collect()
            seen.append((index, resident(), len(client.live_executables())))
            print(*seen[-1], f"{digest:08x}", flush=True)
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=500)
    campaign(parser.parse_args().sizes, 50)
    sys.exit(0)
