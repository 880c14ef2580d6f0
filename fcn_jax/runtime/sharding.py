"""Sharding: images are split over the devices, all other arrays are replicated.

One named mesh axis, "data". Under `jax.jit` sums over a sharded batch are sums over
the whole batch, so losses, gradients and confusion matrices need no collective
written by hand, and one device runs the same code as many.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from fcn_jax.runtime import compilation


def make_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """Make a mesh of all devices (of all hosts) along the axis "data"."""
    return Mesh(np.array(devices if devices is not None else jax.devices()), ("data",))


def choose_devices(count: int, *, deterministic: bool = False) -> Sequence[Any]:
    """Return the first devices of this machine.

    Args:
        count: how many; 0 is all.
        deterministic: whether GPU operations must be deterministic.

    Raises:
        ValueError: for more devices than there are, or for a GPU that was started
            without the flag that `deterministic` needs.
    """
    available = jax.devices()
    chosen = count or len(available)
    if not 1 <= chosen <= len(available):
        raise ValueError(
            f"config.devices is {chosen}, but this machine has {len(available)} "
            f"{available[0].platform} devices; 0 uses all of them"
        )
    gpu = available[0].platform == "gpu"
    if deterministic and gpu and not compilation.is_deterministic():
        raise ValueError(
            "config.deterministic is set, but JAX was started without the flag that it "
            f"needs; set XLA_FLAGS={compilation.DETERMINISTIC} in the environment"
        )
    return available[:chosen]


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of an array with a copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split_images(mesh: Mesh, axis: int) -> NamedSharding:
    """The sharding of an array whose axis `axis` is split over the devices."""
    return NamedSharding(mesh, PartitionSpec(*([None] * axis), "data"))


def check_divisible(batch_size: int, mesh: Mesh, name: str) -> None:
    """Raise ValueError unless the global batch divides evenly over the devices."""
    if batch_size % mesh.size:
        raise ValueError(
            f"{name} is {batch_size}, which {mesh.size} devices do not divide; use a "
            f"multiple of {mesh.size}, or fewer devices (config.devices=N)"
        )


def put_batch(batch: Mapping[str, Any], sharding: NamedSharding) -> dict[str, Any]:
    """Put this host's rows of a global batch on its devices.

    Args:
        batch: nested arrays whose image axis holds this host's rows.
        sharding: from `split_images`.

    Returns:
        The same nest of global arrays; the copy is asynchronous.
    """
    return jax.tree.map(
        lambda rows: jax.make_array_from_process_local_data(sharding, rows), dict(batch)
    )
