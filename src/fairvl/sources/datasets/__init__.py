"""Datasets named by a string, read in place, image bytes decoded safely.

``load_dataset`` takes ``folder:DIR?metadata=labels.csv``, ``zip:FILE?metadata=labels.csv``, ``parquet:FILE``,
``webdataset:{00000..00099}.tar``, ``hf:NAME-OR-DIR``, ``waterbirds:DIR``, ``celeba:DIR``,
``vqav2:DIR``, ``gqa:DIR``, ``nlvr2:DIR``, ``flickr30k:DIR`` and ``world:portraits?n=5000``.
Bad examples travel on two channels only, described in `Dataset`: `Record.image` raising, and `Dataset.problems`.
"""

from fairvl.sources.datasets.decode import decode_image as decode_image
from fairvl.sources.datasets.names import load_dataset as load_dataset
from fairvl.sources.datasets.record import Dataset as Dataset
from fairvl.sources.datasets.record import Problem as Problem
from fairvl.sources.datasets.record import Record as Record
from fairvl.sources.datasets.table import read_table as read_table

__all__ = ["Dataset", "Problem", "Record", "decode_image", "load_dataset", "read_table"]
