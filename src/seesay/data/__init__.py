"""Data sets in their usual formats, read as streams of `Example` and written back; nothing here needs torch."""

from seesay.data.blip import read_blip
from seesay.data.coco import read_coco, read_karpathy, write_coco_results
from seesay.data.daquar import read_daquar
from seesay.data.example import Example, Question, Report
from seesay.data.fields import gathered
from seesay.data.flickr import read_flickr
from seesay.data.folders import read_image_folder, read_labels, read_metadata, read_sidecars
from seesay.data.reading import read_dataset
from seesay.data.shards import read_shards, shard_paths
from seesay.data.stream import Part, Position, Sample, load_picture, stream
from seesay.data.tables import read_table
from seesay.data.vqa import read_vqa
from seesay.data.writing import DatasetWriter, open_writer

__all__ = [
    "DatasetWriter",
    "Example",
    "Part",
    "Position",
    "Question",
    "Report",
    "Sample",
    "gathered",
    "load_picture",
    "open_writer",
    "read_blip",
    "read_coco",
    "read_daquar",
    "read_dataset",
    "read_flickr",
    "read_image_folder",
    "read_karpathy",
    "read_labels",
    "read_metadata",
    "read_shards",
    "read_sidecars",
    "read_table",
    "read_vqa",
    "shard_paths",
    "stream",
    "write_coco_results",
]
