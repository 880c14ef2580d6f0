"""Data sets by name, and what they have in common."""

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
"""Module of `builders` and its record, for each data set that is prepared once."""

DATA_SETS = ("synthetic", "folder", *PREPARED)
"""What `catalog.open_source` can open."""

Rest = Literal["background", "ignore"]
"""What classes that are left out become; see `subset`."""
