"""The mistakes that make an FCN predict nothing but background, found at start.

"All black output" is the oldest complaint about FCNs. Each check here is one of its
causes: a trunk that was not (wholly) loaded, features that do not depend on the
image. (Others are in `rates`, `labels` and `progress`.) Every check raises a ValueError
that names the switch which overrides it.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from fcn_jax.layers.feature_map import FeatureMap
from fcn_jax.params.head_names import in_head

CONSTANT = 1e-6


def check_trunk(recipe: str, origins: Mapping[str, str]) -> None:
    """Refuse a fine-tuning recipe whose trunks are not wholly loaded.

    Args:
        recipe: "fine-tune" or "scratch".
        origins: where each parameter came from, by dotted path.
    """
    untrained = [
        path
        for path, origin in origins.items()
        if origin == "initialised" and not in_head(path)
    ]
    if recipe == "fine-tune" and untrained:
        raise ValueError(
            f"this recipe fine-tunes, but {len(untrained)} parameters of the trunk are "
            f"untrained ({', '.join(untrained[:4])}, ...): give pretrained weights with "
            "config.init_from=DIR, choose a recipe that trains from scratch "
            "(config.recipe=scratch), or insist with "
            "config.checks.untrained_trunk=False"
        )


def deepest(endpoints: Mapping[str, FeatureMap]) -> FeatureMap:
    """Return the last endpoint of a trunk, which sees most of the image."""
    names = sorted(endpoints)
    return endpoints[
        max(names, key=lambda name: (endpoints[name].geometry.receptive_field, name))
    ]


def check_features(features: Mapping[str, FeatureMap]) -> None:
    """Refuse last features that are not finite, or that are equal at every pixel.

    Args:
        features: stream -> deepest features of real images, on the host.
    """
    for stream, last in features.items():
        spread = spatial_spread(last)
        where = f"the last features of {stream}"
        if not np.isfinite(spread).all():
            raise ValueError(
                f"{where} are not finite: the weights or the preprocessing are broken; "
                "convert the weights again, or insist with "
                "config.checks.constant_features=False"
            )
        if spread.size and spread.max() <= CONSTANT:
            raise ValueError(
                f"{where} are constant over the image, so no pixel can be told from "
                "another: the trunk is untrained or only partly loaded; check "
                "config.init_from, or insist with "
                "config.checks.constant_features=False"
            )


def spatial_spread(feature_map: FeatureMap) -> np.ndarray:
    """Compute the relative standard deviation over the pixels of each image.

    Returns:
        `[M]`: for every image with more than one pixel in this map, the largest
        channel deviation over the largest magnitude. NaN if anything is not finite.
    """
    values = np.asarray(feature_map.values, np.float64)
    inside = feature_map.inside()
    spreads = []
    for index, image in enumerate(values):
        if inside is None:
            pixels = image.reshape(-1, image.shape[-1])
        else:
            pixels = image[np.asarray(inside[index, :, :, 0])]
        if len(pixels) < 2:
            continue
        if not np.isfinite(pixels).all():
            spreads.append(np.nan)
            continue
        largest = np.abs(pixels).max()
        spreads.append(pixels.std(axis=0).max() / largest if largest > 0 else 0.0)
    return np.asarray(spreads, np.float64)


def sown(variables: Mapping[str, Any], collection: str) -> dict:
    """Return what the network has sown, by the name of what sowed it.

    Args:
        variables: mutable collections returned by `apply`.
        collection: "endpoints" or "scores".
    """
    flat: dict[str, Any] = {}

    def visit(node: Mapping[str, Any]) -> None:
        for name, value in node.items():
            if isinstance(value, tuple):
                flat[name.removesuffix("_maps")] = value[0]
            else:
                visit(value)

    visit(variables.get(collection, {}))
    return flat
