"""Recall of images by their captions and of captions by their images, beside the skew of neutral queries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...arrays import FloatArray
from ...findings import Finding
from ...stats.estimate import Estimate
from ..retrieval import hits_at_k, mean_hit
from .arms import Arm, Setting, rows

KS = (1, 5, 10)
TO_IMAGE, TO_TEXT = "text to image", "image to text"
RECALL = {
    "k": list(KS),
    TO_IMAGE: "every distinct caption asks for an image; any image that has this very caption is right",
    TO_TEXT: "every image asks among the distinct captions; its own is right",
    "ties": "items that tie at the border share the places left in expectation",
}


def recall_findings(setting: Setting) -> list[Finding]:
    """R@1, R@5 and R@10 in both directions, where the images have captions; before and after, paired by query."""
    pairs = setting.pairs
    if pairs is None or setting.images is None or setting.suite.retrieval is None:
        return []
    after = {arm.repair: _scores(setting, arm) for arm in setting.after}
    before = _scores(setting, setting.before)
    has = pairs.caption[None, :] == np.arange(len(pairs.texts))[:, None]
    asked = has.any(axis=1)
    note = f"{pairs.left_out} captioned images left out at random" if pairs.left_out else ""
    found: list[Finding] = []
    for direction, right, items in ((TO_IMAGE, has, len(pairs.caption)), (TO_TEXT, has.T, int(asked.sum()))):
        for k in (k for k in KS if k < items):
            hits = hits_at_k(_turned(before, direction), right, k=k)
            arms = {}
            for name, scores in after.items():
                later = hits_at_k(_turned(scores, direction), right, k=k)
                arms[name] = (_mean(later, setting), _mean(later - hits, setting, paired=True))
            extra: dict[str, Any] = {"k": k, "task": f"retrieval, {direction}", "role": "utility", "gallery": items}
            found += rows(
                "recall_at_k", "share", f"retrieval/{direction}/{k}", _mean(hits, setting), arms, groups="(all)",
                extra=extra, seed=setting.seed, note=note,
            )  # fmt: skip
    return found


def _scores(setting: Setting, arm: Arm) -> FloatArray:
    """Cosines ``[captions, images]``; a caption that a repair took all length from has cosine 0 with everything."""
    assert arm.captions is not None
    assert arm.images is not None
    assert setting.pairs is not None
    texts = np.asarray(arm.captions, dtype=np.float32)
    length = np.linalg.norm(texts, axis=1, keepdims=True)
    unit = np.divide(texts, length, out=np.zeros_like(texts), where=length > 1e-6)
    return np.asarray(unit @ arm.images[setting.pairs.rows].T)


def _turned(scores: FloatArray, direction: str) -> FloatArray:
    return scores if direction == TO_IMAGE else np.ascontiguousarray(scores.T)


def _mean(hits: NDArray[np.float64], setting: Setting, *, paired: bool = False) -> Estimate:
    """The mean hit; a difference is resampled even where every query moved alike."""
    units = np.arange(len(hits)) if paired else None
    return mean_hit(hits, units=units, n_boot=setting.draws, level=setting.level, seed=setting.seed)
