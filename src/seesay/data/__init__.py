"""Data sets in their usual formats, read as streams of `Example` and written back; nothing here needs torch."""

from seesay.data.coco import read_coco, read_karpathy, write_coco_results
from seesay.data.example import Example, Question, Report
from seesay.data.flickr import read_flickr
from seesay.data.folders import read_image_folder, read_labels
from seesay.data.reading import read_dataset
from seesay.data.shards import read_shards, shard_paths
from seesay.data.tables import read_table
from seesay.data.writing import DatasetWriter, open_writer

__all__ = [
    "DatasetWriter",
    "Example",
    "Question",
    "Report",
    "open_writer",
    "read_coco",
    "read_dataset",
    "read_flickr",
    "read_image_folder",
    "read_karpathy",
    "read_labels",
    "read_shards",
    "read_table",
    "shard_paths",
    "write_coco_results",
]
