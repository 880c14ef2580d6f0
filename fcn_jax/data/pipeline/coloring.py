"""Random changes of the colours of an image.

Brightness, contrast and saturation vary as in GoogLeNet's training (Szegedy 2015,
section 6, "photometric distortions"); noise along the principal components of colour is
AlexNet's (Krizhevsky 2012, section 4.1).
"""

import numpy as np
from PIL import Image, ImageEnhance

EIGENVALUES = np.array([0.2175, 0.0188, 0.0045])
EIGENVECTORS = np.array(
    [
        [-0.5675, 0.7192, 0.4009],
        [-0.5808, -0.0045, -0.8140],
        [-0.5836, -0.6948, 0.4203],
    ]
)
"""Of the covariance of red, green and blue (rows) over ImageNet, levels 0..1, as
facebook's fb.resnet.torch (datasets/imagenet.lua) gives them; one vector a column."""

_LEVELS = np.arange(256)
_ENHANCE = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)


def check_coloring(amounts: tuple[float, float, float], deviation: float) -> None:
    """Refuse amounts of `recolored` and a deviation of `lit` that cannot be.

    Raises:
        ValueError: one sentence.
    """
    if len(amounts) != 3 or not all(0 <= own <= 1 for own in amounts):
        raise ValueError(
            f"color is {amounts}; it must be the amounts of brightness, contrast and "
            "saturation, each 0..1"
        )
    if deviation < 0:
        raise ValueError(f"lighting is {deviation}; it must be 0 or more")


def recolored(
    image: Image.Image, amounts: tuple[float, float, float], rng: np.random.Generator
) -> Image.Image:
    """Vary brightness, contrast and saturation, in random order.

    By a factor f, a pixel p becomes f p + (1 - f) q, where q is black for brightness,
    the mean luma of the image for contrast, and the pixel's own luma for saturation.

    Args:
        image: RGB.
        amounts: a of each, 0..1; f is uniform in 1-a..1+a, and 0 leaves it out.
        rng: the random generator.
    """
    if not any(amounts):
        return image
    for kind in rng.permutation(3):
        if amounts[kind]:
            factor = rng.uniform(1 - amounts[kind], 1 + amounts[kind])
            image = _ENHANCE[kind](image).enhance(factor)
    return image


def lit(image: Image.Image, deviation: float, rng: np.random.Generator) -> Image.Image:
    """Add the principal components of colour to all pixels, by random factors.

    Krizhevsky 2012, section 4.1: the eigenvectors, each times its eigenvalue and a
    normal number, are summed and added to every pixel.

    Args:
        image: RGB.
        deviation: standard deviation of the factors; 0 leaves the image as it is.
        rng: the random generator.
    """
    if not deviation:
        return image
    factors = rng.normal(0, deviation, 3)
    offsets = 255 * EIGENVECTORS @ (EIGENVALUES * factors)
    levels = np.clip(np.rint(_LEVELS + offsets[:, None]), 0, 255).astype(np.uint8)
    return image.point(levels.ravel().tolist())
