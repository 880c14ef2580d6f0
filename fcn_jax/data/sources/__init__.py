"""Data sets by name."""

from typing import Literal

PREPARED = {
    "camvid": ("camvid", "DATASET"),
    "voc2011": ("voc", "VOC2011"),
    "voc2012": ("voc", "VOC2012"),
    "sbd": ("sbd", "DATASET"),
    "voc_aug": ("voc_unions", "VOC_AUG"),
    "voc_reference": ("voc_unions", "VOC_REFERENCE"),
    "nyud_v2": ("nyud", "DATASET"),
    "sift_flow": ("sift_flow", "DATASET"),
    "pascal_context": ("pascal_context", "DATASET"),
}
"""Module of `builders` and name of its record, for each published data set."""

DATA_SETS = ("synthetic", "folder", "image_folder", "imagenet2012", *PREPARED)
"""Names of data sets that `catalog.open_source` can open."""

IMAGE_DATA_SETS = ("image_folder", "imagenet2012")
"""Those whose images have one label each."""
FOLDERS = ("folder", "image_folder")
"""Those that are a directory of the user's."""

Rest = Literal["background", "ignore"]
"""Treatment of classes that are left out; see `subset`."""
View = Literal["crop", "whole"]
"""What is scored of an image with one label; see `views`."""
