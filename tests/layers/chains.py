"""Chains of layers: the three trunks, from the papers' tables, and parts of them."""

from fcn_jax.layers.geometry import (
    Geometry,
    Window,
)

CONV3 = Window("convolution", 3, pad=1)
POOL2 = Window("pooling", 2, stride=2)
POOL3 = Window("pooling", 3, stride=2)


# Chains of the three trunks, from the papers' tables.
def vgg16(input_pad=100, fc6_pad=0):
    """pool3, pool4, pool5 and fc7."""
    pool1 = (Window("convolution", 3, 1, input_pad), CONV3, POOL2)
    pool3 = (*pool1, CONV3, CONV3, POOL2, CONV3, CONV3, CONV3, POOL2)
    pool4 = (*pool3, CONV3, CONV3, CONV3, POOL2)
    pool5 = (*pool4, CONV3, CONV3, CONV3, POOL2)
    fc7 = (*pool5, Window("convolution", 7, 1, fc6_pad), Window("convolution", 1))
    return {
        "pool3": Geometry(pool3),
        "pool4": Geometry(pool4),
        "pool5": Geometry(pool5),
        "fc7": Geometry(fc7),
    }


def alexnet(input_pad=100):
    """fc7 of FCN-AlexNet."""
    conv1 = Window("convolution", 11, 4, input_pad)
    conv2 = Window("convolution", 5, 1, 2)
    fc6, fc7 = Window("convolution", 6), Window("convolution", 1)
    return Geometry((conv1, POOL3, conv2, POOL3, CONV3, CONV3, CONV3, POOL3, fc6, fc7))


def googlenet(extra_pad):
    """inception_5b of GoogLeNet, along the widest branches."""
    block = (Window("convolution", 1), Window("convolution", 5, 1, 2))
    stem = (Window("convolution", 7, 2, 3 + extra_pad), POOL3, CONV3, POOL3)
    return Geometry((*stem, *block * 2, POOL3, *block * 5, POOL3, *block * 2))


def with_upsampling(geometry, kernel, stride):
    return geometry.after(Window("transposed", kernel, stride))
