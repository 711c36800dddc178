"""Small sheets of generated images for a report: the first images of each prompt, arm under arm."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO

from PIL import Image

from ..errors import DatasetError
from ..measure.audit.images import ImageTable
from ..sources.datasets import decode_image

SIZE = 72  # pixels of one picture's longer side
GAP = 4
MOST_PROMPTS = 12


def contact_sheets(
    arms: Mapping[str, ImageTable], *, each: int = 8, prompts: int = MOST_PROMPTS
) -> dict[str, dict[str, bytes]]:
    """PNG bytes by prompt and arm: `each` images in a row, in the order of the table, equal places being pairs; neutral
    prompts first.

    A file that is missing or broken leaves its place empty. Pictures are scaled to 72 pixels and carry no metadata.
    """
    first = next(iter(arms.values()))
    sheets: dict[str, dict[str, bytes]] = {}
    by_kind = sorted(zip(first.prompts, first.kinds, strict=True), key=lambda item: item[1] != "neutral")
    for prompt in list(dict.fromkeys(prompt for prompt, _ in by_kind))[:prompts]:
        rows = [row for row, text in enumerate(first.prompts) if text == prompt][:each]
        named = {name or ("before" if len(arms) > 1 else "images"): table for name, table in arms.items()}
        sheets[prompt] = {name: _sheet(table, rows) for name, table in named.items()}
    return sheets


def _sheet(table: ImageTable, rows: list[int]) -> bytes:
    sheet = Image.new("RGB", (len(rows) * (SIZE + GAP) - GAP, SIZE), (255, 255, 255))
    for place, row in enumerate(rows):
        read = table.pictures[row][1]
        if read is None:
            continue
        try:
            picture = decode_image(read())
        except DatasetError:
            continue
        scale = SIZE / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        small = picture.resize(size, Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS)
        sheet.paste(small, (place * (SIZE + GAP) + (SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    file = BytesIO()
    sheet.save(file, "PNG", optimize=True)
    return file.getvalue()
