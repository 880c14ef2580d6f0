"""Batch normalisation folded into the convolutions before it, for evaluation.

With the running mean m and variance v, a convolution w * x without bias, then normalised,

    scale (w * x - m) / sqrt(v + epsilon) + bias  =  (f w) * x + (bias - f m),
    f = scale / sqrt(v + epsilon),

is a convolution with a bias.
"""

from collections.abc import Mapping

import numpy as np

SUFFIX = "_bn"
"""Ends the name of the batch normalisation of the convolution before it."""


def fold_batch_norm(
    params: Mapping[str, np.ndarray],
    statistics: Mapping[str, np.ndarray],
    *,
    epsilon: float,
) -> dict[str, np.ndarray]:
    """Return the parameters of the same net without batch normalisation.

    Args:
        params: dotted path -> array. Of the convolution "trunk.conv1" `[k, k, I, O]` the
            normalisation is "trunk.conv1_bn", with "scale" and "bias", `[O]`.
        statistics: the running "mean" and "var" of each normalisation, `[O]`, by paths
            like those of the parameters.
        epsilon: added to the variance.

    Returns:
        Dotted path -> array: "trunk.conv1" has a kernel and a bias, computed in float64
        and in the dtype of the kernel. Other parameters are as they were.

    Raises:
        ValueError: if a normalisation follows no convolution, or one with a bias, or
            has no statistics.
    """
    folded, used = {}, set()
    norms = {
        path.removesuffix(".scale")
        for path in params
        if path.endswith(f"{SUFFIX}.scale")
    }
    for path, value in params.items():
        module = path.rpartition(".")[0]
        if module in norms:
            continue
        norm = f"{module}{SUFFIX}"
        if norm not in norms:
            folded[path] = value
            continue
        if not path.endswith(".kernel"):
            raise ValueError(
                f"{path} lies before {norm}; a convolution that is normalised has a "
                "kernel only"
            )
        folded[path], folded[f"{module}.bias"] = _folded(
            value, norm, params, statistics, epsilon
        )
        used.add(norm)
    if norms - used:
        raise ValueError(
            f"{', '.join(sorted(norms - used))} follows no convolution of the same name without "
            f"{SUFFIX}, into which it could be folded"
        )
    return folded


def _folded(
    kernel: np.ndarray,
    norm: str,
    params: Mapping[str, np.ndarray],
    statistics: Mapping[str, np.ndarray],
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the kernel `[k, k, I, O]` and the bias `[O]` of one convolution."""
    for name in (f"{norm}.mean", f"{norm}.var"):
        if name not in statistics:
            raise ValueError(
                f"{name} is not among the running statistics, without which {norm} "
                "cannot be folded; give a whole checkpoint"
            )
    scale, bias, mean, var = (
        np.asarray(values[f"{norm}.{name}"], np.float64)
        for values, name in (
            (params, "scale"),
            (params, "bias"),
            (statistics, "mean"),
            (statistics, "var"),
        )
    )
    factor = scale / np.sqrt(var + epsilon)
    dtype = np.asarray(kernel).dtype
    return (kernel * factor).astype(dtype), (bias - factor * mean).astype(dtype)
