"""Where pixels are: sizes, coordinate maps, receptive fields and crop offsets.

Every layer of an FCN is a window that slides over its input, so the centre of
output pixel `o` sits over input coordinate `scale * o + offset`. Composing those
affine maps gives the position of every score in the image, hence every crop
offset of the reference nets (19; 5, 27; 5, 9, 31; 18 for AlexNet): they are
computed here and typed nowhere. Caffe's size rules are in `Window.size`.

No jax in this file: sizes may be Python integers or integer arrays, traced ones
too, because only integer arithmetic is used on them.

Reference: Caffe's `coord_map.py` and the layer sources of BVLC/caffe; PAMI paper,
section 4 (its maps run from input to output, ours from output to input).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

Size = Any
"""An extent in pixels: an int, or an integer array of any library."""


def smaller(first: Size, second: Size) -> Size:
    """Return the minimum by integer arithmetic, so that no array library is needed."""
    return (first + second - abs(first - second)) // 2


@dataclass(frozen=True)
class Window:
    """One sliding-window layer, along one axis (all windows here are square).

    Attributes:
        kind: "convolution" (sizes round down), "pooling" (sizes round up, Caffe's
            default) or "transposed" (transposed convolution).
        kernel: window size in pixels.
        stride: step of the window; for "transposed" the upsampling factor.
        pad: pixels added on each side.
        dilation: distance between the taps of a convolution.
    """

    kind: Literal["convolution", "pooling", "transposed"]
    kernel: int
    stride: int = 1
    pad: int = 0
    dilation: int = 1

    @property
    def reach(self) -> int:
        """Pixels from the first to the last tap, both included."""
        return self.dilation * (self.kernel - 1) + 1

    def size(self, size: Size) -> Size:
        """Return the output extent for an input extent, by Caffe's rule for the kind.

        A pooling window must start inside the image or its left padding: the
        rounded-up size is clipped to the last such window. (Caffe clips only padded
        pooling; without padding it is the same, unless windows leave gaps.)
        """
        if self.kind == "transposed":
            return self.stride * (size - 1) + self.kernel - 2 * self.pad
        room = size + 2 * self.pad - self.reach
        if self.kind == "convolution":
            return room // self.stride + 1
        rounded_up = -(-room // self.stride) + 1
        return smaller(rounded_up, (size + self.pad - 1) // self.stride + 1)

    @property
    def map(self) -> tuple[Fraction, Fraction]:
        """(scale, offset): output pixel o is centred on input scale * o + offset."""
        centre = Fraction(self.reach - 1, 2) - self.pad
        if self.kind == "transposed":
            return Fraction(1, self.stride), -centre / self.stride
        return Fraction(self.stride), centre


@dataclass(frozen=True)
class Align:
    """Cut a map to what it shares with another map of the same scale.

    Attributes:
        start: first row (and column) kept of this map.
        other: geometry of the other map.
        other_start: first row (and column) kept of the other map.
    """

    start: int
    other: "Geometry"
    other_start: int

    def size(self, size: Size, image_size: Size) -> Size:
        """Return the extent of the shared part; `image_size` is the image's extent."""
        other = self.other.size(image_size) - self.other_start
        return smaller(size - self.start, other)


@dataclass(frozen=True)
class Geometry:
    """How a feature map lies over the image: the chain of what led to it.

    The empty chain is the image itself. Geometries are immutable and hashable.
    """

    steps: tuple[Window | Align, ...] = ()

    def after(self, window: Window) -> "Geometry":
        """Return the geometry of the map that `window` computes from this one."""
        return Geometry((*self.steps, window))

    def size(self, image_size: Size) -> Size:
        """Return the extent of this map for an image extent (rows or columns alike)."""
        size = image_size
        for step in self.steps:
            if isinstance(step, Align):
                size = step.size(size, image_size)
            else:
                size = step.size(size)
        return size

    @property
    def period(self) -> int:
        """Growth of the image, in pixels, that makes every map grow by whole pixels."""
        period = 1
        for step in self.steps:
            if isinstance(step, Align):
                period = math.lcm(period, step.other.period)
            elif step.kind != "transposed":
                period *= step.stride
        return period

    def smallest_image(self, limit: int = 1024) -> int:
        """Find the smallest image extent for which every map of the chain has a pixel.

        Raises:
            ValueError: if there is none up to `limit`.
        """
        for size in range(1, limit + 1):
            if all(extent >= 1 for extent in self._extents(size)):
                return size
        raise ValueError(f"no image of up to {limit} pixels fits this chain of layers")

    def _extents(self, image_size: int) -> list[int]:
        """List the extents of all maps that lead to this one, other branches included."""
        extents, size = [], image_size
        for step in self.steps:
            if isinstance(step, Align):
                extents += step.other._extents(image_size)
                size = step.size(size, image_size)
            else:
                size = step.size(size)
            extents.append(size)
        return extents

    @property
    def map(self) -> tuple[Fraction, Fraction]:
        """(scale, offset): pixel o is centred on image pixel scale * o + offset."""
        scale, offset = Fraction(1), Fraction(0)
        for step in self.steps:
            if isinstance(step, Align):
                inner = Fraction(1), Fraction(step.start)
            else:
                inner = step.map
            offset += scale * inner[1]
            scale *= inner[0]
        return scale, offset

    @property
    def scale(self) -> Fraction:
        """Image pixels between neighbouring pixels of this map (its stride)."""
        return self.map[0]

    @property
    def receptive_field(self) -> int:
        """Image pixels, along one axis, that one pixel of this map can see.

        Only convolution and pooling are counted: a transposed convolution does not
        enlarge what the scores it spreads have seen.
        """
        field, jump = 1, Fraction(1)
        for step in self.steps:
            if isinstance(step, Align) or step.kind == "transposed":
                return field
            field += int((step.reach - 1) * jump)
            jump *= step.stride
        return field

    @property
    def crops(self) -> tuple[int, ...]:
        """Crop offsets along the chain, coarse to fine, as the prototxts list them.

        A positive number is cut from the other (skip) map, or from the score map
        in the last crop; a negative one is cut from the upsampled map.
        """
        offsets = []
        for step in self.steps:
            if isinstance(step, Align):
                final = not step.other.steps
                offsets.append(step.start if final else step.other_start - step.start)
        return tuple(offsets)


IMAGE = Geometry()
"""The image itself: scale 1, offset 0."""


def same_grid(first: Geometry, second: Geometry) -> bool:
    """Tell whether two maps have the same place, and the same extent for every image.

    Extents are compared over one period of both: every size rule adds `p / stride` to
    its result when `p`, a multiple of the stride, is added to its argument.
    """
    if first == second:
        return True
    period = math.lcm(first.period, second.period)
    return first.map == second.map and all(
        first.size(size) == second.size(size) for size in range(1, period + 1)
    )


def crop_offset(reference: Geometry, cropped: Geometry) -> int:
    """Find the first pixel of `cropped` that lies over pixel 0 of `reference`.

    Negative where `reference` is the map that begins earlier and has to be cut.

    Raises:
        ValueError: if the two maps have different scales, or lie a fraction of a
            pixel apart, so that no crop aligns them.
    """
    (scale, offset), (other_scale, other_offset) = reference.map, cropped.map
    if scale != other_scale:
        raise ValueError(
            f"maps of scale {scale} and {other_scale} cannot be aligned by a crop; "
            "upsample the coarser one by their ratio first"
        )
    shift = (offset - other_offset) / scale
    if shift.denominator != 1:
        raise ValueError(
            f"the maps lie {float(shift)} pixels apart, which no crop aligns; choose "
            "the other kernel parity or another input padding"
        )
    return int(shift)


def upsampling_window(coarse: Geometry, fine: Geometry) -> Window:
    """Find the bilinear upsampling of one map to the scale of another.

    A bilinear kernel of factor f has 2 f or 2 f - 1 taps. The two results lie half a
    pixel apart, so at most one of them can be aligned with `fine` by a crop: even
    kernels for VGG16, whose pooling windows are even, odd ones for AlexNet and
    GoogLeNet.

    Args:
        coarse: the map that is upsampled.
        fine: the skip map, or the image, that the result is aligned with.

    Returns:
        The transposed convolution.

    Raises:
        ValueError: if the ratio of the scales is no whole number, or no crop aligns
            either result.
    """
    factor = whole_factor(coarse.scale, fine.scale)
    scale, offset = fine.map
    for parity in ("even", "odd"):
        kernel = bilinear_kernel_size(factor, parity)
        window = Window("transposed", kernel, stride=factor)
        shift = (coarse.after(window).map[1] - offset) / scale
        if shift.denominator == 1:
            return window
    raise ValueError(
        f"no bilinear kernel aligns the maps: upsampled by {factor} they lie "
        f"{float(shift % 1)} pixels apart; choose another input padding"
    )


def align(upsampled: Geometry, skip: Geometry) -> tuple[Geometry, int, int]:
    """Align an upsampled map with a skip map of the same scale.

    Returns:
        The geometry of the shared part, and the first row (and column) to keep of
        the upsampled and of the skip map: whichever begins earlier is cut.
    """
    offset = crop_offset(reference=upsampled, cropped=skip)
    start, skip_start = max(0, -offset), max(0, offset)
    shared = Geometry((*upsampled.steps, Align(start, skip, skip_start)))
    return shared, start, skip_start


def crop_to_image(upsampled: Geometry) -> tuple[Geometry, int]:
    """Cut a full-resolution map to the image: its geometry and first row.

    Raises:
        ValueError: if the map begins inside the image, so that pixels would have
            no score.
    """
    start = crop_offset(reference=IMAGE, cropped=upsampled)
    if start < 0:
        raise ValueError(
            f"the upsampled scores begin {-start} pixels inside the image; "
            "enlarge the input padding of the backbone"
        )
    return Geometry((*upsampled.steps, Align(start, IMAGE, 0))), start


def bilinear_kernel_size(factor: int, parity: Literal["even", "odd"]) -> int:
    """Return the kernel size of bilinear upsampling: 2f (even) or 2f - 1 (odd)."""
    return 2 * factor if parity == "even" else 2 * factor - 1


def whole_factor(coarse: Fraction, fine: Fraction) -> int:
    """Return the upsampling factor between two scales, which must be a whole number."""
    factor = coarse / fine
    if factor.denominator != 1 or factor < 1:
        raise ValueError(
            f"a map of stride {coarse} cannot be upsampled to stride {fine}: list "
            "the scored endpoints from coarse to fine"
        )
    return int(factor)
