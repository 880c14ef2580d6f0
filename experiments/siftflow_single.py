"""SIFT Flow as two nets of one task each, to compare with the net of both.

Paper row: PAMI section 5 (and CVPR section 5): learning both tasks jointly is as good as
learning two nets. Their scores are not printed; the joint FCN-8s, `siftflow_fcn8s.py`, has
mean IU 41.2 and geometric accuracy 94.6 (200 test images).

    python -m fcn_jax.main --config=experiments/siftflow_single.py:semantic-32s
    python -m fcn_jax.main --config=experiments/siftflow_single.py:semantic-16s
    python -m fcn_jax.main --config=experiments/siftflow_single.py:semantic-8s
    python -m fcn_jax.main --config=experiments/siftflow_single.py:geometric-32s

and so `geometric-16s` and `geometric-8s`. Inferred: the solver of the joint nets. Expected
time: 100,000 images of 256 x 256 each. 32s starts from third_party_weights/vgg16, the
others from the run before.
"""

from ml_collections import ConfigDict

from fcn_jax.launch.experiment_files import find, load

TASKS = ("semantic", "geometric")
BEFORE = {"32s": "", "16s": "32s", "8s": "16s"}
SKIPS = {"16s": "pool4", "8s": "pool3"}


def get_config(net: str = "semantic-8s") -> ConfigDict:
    task, _, stage = net.partition("-")
    if task not in TASKS or stage not in BEFORE:
        nets = ", :".join(f"{task}-{stage}" for task in TASKS for stage in BEFORE)
        raise ValueError(f"siftflow_single:{net} does not exist; use :{nets}")
    config = load(find(f"siftflow_fcn{stage}")).copy_and_resolve_references().unlock()
    config.data.outputs = (task,)
    if stage in SKIPS:
        config.init_from = f"runs/siftflow_single-{task}-{BEFORE[stage]}"
        config.init_new = (f"head.score_{SKIPS[stage]}.*",)
    return config.lock()
