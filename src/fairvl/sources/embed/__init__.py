"""A dataset through an encoder into a store: resumable, and the model never waits for a decoder.

Worker processes read, decode and preprocess; this process runs the model and writes. One batch is one part of the
dataset (``dataset.shards(batch)``), so batch boundaries depend on the data and the batch size, never on timing.
"""

from .run import embed

__all__ = ["embed"]
