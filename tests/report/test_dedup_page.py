"""The page of a deduplication: who is kept, whether the promises hold, and example pairs."""

import io

import numpy as np
from PIL import Image

from fairvl.repair.dedup import audit_keep, neighbours, select
from fairvl.repair.dedup.checks import example_rows, with_thumbnails
from fairvl.report import report


class Pictures:
    name = "pictures"

    def __iter__(self):
        from types import SimpleNamespace

        for i in range(200):
            buffer = io.BytesIO()
            Image.new("RGB", (90, 60), (i, 0, 0)).save(buffer, "PNG")
            yield SimpleNamespace(id=f"<b>{i}</b>", image=buffer.getvalue)


def audited(policy, *, thumbnails=False):
    rng = np.random.default_rng(0)
    base = rng.standard_normal((30, 16))
    x = base[rng.integers(30, size=200)] + 0.25 * rng.standard_normal((200, 16))
    labels = rng.choice(["woman", "man"], 200, p=[0.2, 0.8])
    ids = [f"<b>{i}</b>" for i in range(200)]
    found = neighbours(x, threshold=0.6, ids=ids)
    keep = select(found, policy=policy, keep=0.4, concepts=labels)
    examples = example_rows(keep, ids)
    examples = with_thumbnails(examples, Pictures()) if thumbnails else examples
    return audit_keep(keep, labels={"gender": labels}, neighbours=found, more=examples, dataset="toy")


def test_one_run_shows_representation_promises_and_escaped_pairs(tmp_path):
    page = report(audited("fair"), tmp_path).read_text(encoding="utf-8")
    for words in ("Deduplication of toy", "40.0\u202f% of 200 rows are kept.", "Representation before and after",
                  "Size and promises", "Example pairs", "40.0\u202f% asked for",
                  "Dropped rows without a kept duplicate"):  # fmt: skip
        assert words in page
    assert "<b>" not in page, "ids are escaped"
    assert "<img" not in page
    assert "img-src" not in page, "no picture is allowed where none was asked for"


def test_pictures_only_when_asked_for(tmp_path):
    page = report(audited("fair", thumbnails=True), tmp_path).read_text(encoding="utf-8")
    assert page.count('<img src="data:image/jpeg;base64,') == 24
    assert "img-src data:;" in page
    assert page.count("data:image/jpeg") <= 2 * 24, "once shown and once among the findings, not in the table"


def test_two_policies_stand_side_by_side(tmp_path):
    page = report([audited("fair"), audited("semdedup")], tmp_path).read_text(encoding="utf-8")
    assert "fair, 40.0% kept" in page
    assert "semdedup, 40.0% kept" in page
