"""One codec for all images of a set, and what says of an image that it is synthetic."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ... import __version__
from ...errors import InputError
from ...fingerprints import canonical_json

KEY = "fairvl"
XMP_KEY = "XML:com.adobe.xmp"
SYNTHETIC = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">'
    f"<Iptc4xmpExt:DigitalSourceType>{SYNTHETIC}</Iptc4xmpExt:DigitalSourceType>"
    '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="r"?>'
)


@dataclass(frozen=True)
class Codec:
    """How every image of a set is written, originals as well as edits: a codec that only one kind passed would tell
    a classifier which is which.

    Parameters
    ----------
    format : "png" or "jpeg"
    quality : int
        Of JPEG.
    """

    format: str = "png"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.format not in ("png", "jpeg"):
            raise InputError(f"codec {self.format!r}; expected 'png' or 'jpeg'.")
        if not 1 <= self.quality <= 100:
            raise InputError(f"quality={self.quality}; expected 1 to 100.")

    @classmethod
    def of(cls, name: Codec | str) -> Codec:
        """From ``"png"``, ``"jpeg"`` or ``"jpeg:90"``."""
        if isinstance(name, Codec):
            return name
        kind, _, quality = name.partition(":")
        if quality and not quality.isdigit():
            raise InputError(f"codec {name!r}; expected png, jpeg or jpeg:QUALITY.")
        return cls(kind, int(quality or 95))

    @property
    def suffix(self) -> str:
        return ".png" if self.format == "png" else ".jpg"

    def encode(self, image: NDArray[np.uint8], about: Mapping[str, Any] | None = None, *, synthetic: bool) -> bytes:
        """The file of an image [h, w, 3]; `about` stands inside it as JSON, and a synthetic one says so.

        PNG: text chunks ``fairvl`` and XMP with the IPTC digital source type; JPEG: a comment and XMP.

        Examples
        --------
        >>> file = Codec().encode(np.zeros((4, 4, 3), np.uint8), {"source": "a.png"}, synthetic=True)
        >>> read_provenance(file)["source"], read_provenance(file)["synthetic"]
        ('a.png', True)
        """
        told = canonical_json({"synthetic": synthetic, "fairvl": __version__, **(about or {})})
        file = io.BytesIO()
        picture = Image.fromarray(np.asarray(image, dtype=np.uint8))
        if self.format == "jpeg":
            extra = {"xmp": _XMP.encode()} if synthetic else {}
            picture.save(file, format="JPEG", quality=self.quality, subsampling=0, comment=told.encode(), **extra)
            return file.getvalue()
        text = PngInfo()
        text.add_itxt(KEY, told)
        if synthetic:
            text.add_itxt(XMP_KEY, _XMP)
        picture.save(file, format="PNG", pnginfo=text)
        return file.getvalue()


def read_provenance(data: bytes) -> dict[str, Any]:
    """What `Codec.encode` wrote inside a file; empty for files of others."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        held = image.info.get(KEY) if image.format == "PNG" else image.info.get("comment")
        try:
            found = json.loads(held) if held else {}
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}


def is_marked_synthetic(data: bytes) -> bool:
    """Whether the file carries the IPTC mark of synthetic media."""
    return SYNTHETIC.encode() in data
