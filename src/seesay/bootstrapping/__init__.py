"""Whole data sets down the second road, on one machine or many, from wherever they were killed; see `capfilt`."""

from seesay.bootstrapping.job import Job
from seesay.bootstrapping.journal import read_records
from seesay.bootstrapping.run import clean

__all__ = ["Job", "clean", "read_records"]
