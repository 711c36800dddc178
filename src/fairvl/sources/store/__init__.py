"""Embeddings on disk: float16 vectors beside a parquet table, in clip-retrieval's layout."""

from .store import EmbeddingStore
from .vectors import VectorView
from .write import finish_store, write_store

__all__ = ["EmbeddingStore", "VectorView", "finish_store", "write_store"]
