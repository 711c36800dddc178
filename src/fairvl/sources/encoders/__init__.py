"""The one seam to models: something that turns images and texts into vectors, named by a string.

``load_encoder("open_clip:ViT-B-32/laion2b_s34b_b79k")`` and its kin return an `Encoder`; a user's own model becomes one
with `encoder` or `from_triple`. Nothing here imports torch until a model is asked for.
"""

from __future__ import annotations

from .callables import encoder as encoder
from .conformance import check_encoder as check_encoder
from .fake import FakeEncoder as FakeEncoder
from .names import load_encoder as load_encoder
from .seam import Encoder as Encoder
from .seam import EncoderCard as EncoderCard
from .seam import TextLengthWarning as TextLengthWarning
from .stored import StoredEncoder as StoredEncoder
from .triple import from_triple as from_triple

__all__ = [
    "Encoder",
    "EncoderCard",
    "FakeEncoder",
    "StoredEncoder",
    "TextLengthWarning",
    "check_encoder",
    "encoder",
    "from_triple",
    "load_encoder",
]
