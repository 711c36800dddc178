"""The demo's stored vectors are what the shipped model makes of the same pictures and texts."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fairvl.sources.encoders import load_encoder
from fairvl.sources.world import WorldSpec, portraits


def test_stored_vectors_are_those_of_the_shipped_model():
    pytest.importorskip("torch", reason="world:clip needs the models extra")
    live, stored = load_encoder("world:clip"), load_encoder("world:vectors")
    assert not stored.card.differences(live.card.as_dict())  # an operator fitted on one is accepted by the other
    world = portraits(WorldSpec.biased(0.0), 12, 1, split="test")
    seen = live.encode_images([Image.fromarray(image) for image in world.images])
    np.testing.assert_allclose(stored.encode_ids(stored.ids[:12]), seen, rtol=2e-2, atol=2e-2)
    texts = list(stored.texts[:12])
    np.testing.assert_allclose(stored.encode_texts(texts), live.encode_texts(texts), rtol=2e-2, atol=2e-2)
    assert np.abs(seen - seen[::-1]).max() > 0.1  # power: other pictures have other vectors
