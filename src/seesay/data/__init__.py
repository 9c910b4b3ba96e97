"""Data sets in their usual formats, read as streams of `Example` and written back; nothing here needs torch."""

from seesay.data.coco import read_coco, read_karpathy, write_coco_results
from seesay.data.example import Example, Report
from seesay.data.flickr import read_flickr
from seesay.data.folders import read_image_folder, read_labels

__all__ = [
    "Example",
    "Report",
    "read_coco",
    "read_flickr",
    "read_image_folder",
    "read_karpathy",
    "read_labels",
    "write_coco_results",
]
