"""Fully Convolutional Networks for Semantic Segmentation, exact, in JAX and Flax.

Long, Shelhamer and Darrell: CVPR 2015 (arXiv 1411.4038) and PAMI 2017
(arXiv 1605.06211). Read the modules bottom-up and you read the paper in order:
`layers/geometry.py` (which input pixel an output pixel sits over), `layers/`,
`models/` (the three backbones, the skip heads, the FCN), `losses.py`,
`optim.py`, `train.py`, `metrics.py`.

One legend for every shape in the code base:

==========  ==============================================================
N           images in a batch
A, B        accumulation steps and images per accumulation step of an update
H, W        rows and columns of an image or feature map
C           channels of a feature map
K           classes of an output
sizes       `[N, 2] int32`, the true (height, width) of each image of a batch
            whose images are padded, at the bottom and right, to one canvas
==========  ==============================================================

Images are `[N, H, W, 3] uint8` in RGB order; labels are `[N, H, W]` with ids
0..K-1 and 255 where a pixel is to be ignored.
"""

__version__ = "0.1.0"
