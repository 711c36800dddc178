"""Write the demo's stored vectors: balanced test pictures with their attributes, and every text of the core suite.

    python train/world_vectors.py

The texts are those of the core suite and of the gender repair that the model's vocabulary holds; `--texts` (one a line,
or a JSON list) and `--text` give others. The folder gets the stores `images/` and `texts/`, both float16.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image

from fairvl.measure.audit import load_suite
from fairvl.sources.encoders import load_encoder
from fairvl.sources.prompts import load_bank
from fairvl.sources.store import write_store
from fairvl.sources.world import WorldSpec, portraits

LIMIT = 2_000_000
OUT = Path(__file__).parents[1] / "src" / "fairvl" / "sources" / "world" / "vectors"


def demo_texts() -> list[str]:
    """What the demo asks: the core suite, and the prompts and pairs of the repair."""
    bank = load_bank("debias-gender")
    pairs = bank.pairs()
    prompts = [text for name in bank.sets for text in bank.prompts(name).texts]
    return list(dict.fromkeys([*load_suite().texts(), *prompts, *pairs.left, *pairs.right]))


def read_texts(file: Path | None, more: list[str]) -> list[str]:
    """Every text once, in order of first appearance."""
    texts: list[str] = []
    if file is not None:
        content = file.read_text(encoding="utf-8")
        texts = json.loads(content) if file.suffix == ".json" else content.splitlines()
    return list(dict.fromkeys(text for text in [*texts, *more] if text.strip()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=Path)
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--n", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--encoder", default="world:clip")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    texts = read_texts(arguments.texts, arguments.text) or demo_texts()
    encoder = load_encoder(arguments.encoder)
    if unknown_words := getattr(encoder, "unknown_words", None):
        known = [text for text in texts if not unknown_words([text])]
        print(f"{len(texts) - len(known)} of {len(texts)} texts hold words that the model does not know: left out")
        texts = known
    world = portraits(WorldSpec.biased(0.0), arguments.n, arguments.seed, split="test")
    images = np.concatenate(
        [
            encoder.encode_images([Image.fromarray(image) for image in world.images[start : start + 250]])
            for start in range(0, arguments.n, 250)
        ]
    )
    columns = {name: values.tolist() for name, values in world.attributes.items()}
    ids = [f"test-{arguments.seed}-{row:06d}" for row in range(arguments.n)]
    write_store(arguments.out / "images", ids=ids, image_vectors=images, columns=columns, card=encoder.card)
    vectors = encoder.encode_texts(texts)
    names = [f"text-{row:05d}" for row in range(len(texts))]
    write_store(arguments.out / "texts", ids=names, text_vectors=vectors, columns={"caption": texts}, card=encoder.card)
    size = sum(file.stat().st_size for file in arguments.out.rglob("*") if file.is_file())
    print(f"{arguments.n} pictures and {len(texts)} texts, {images.shape[1]} dimensions, {size / 1e6:.2f} MB")
    if size > LIMIT:
        raise SystemExit(f"more than {LIMIT / 1e6:g} MB: take fewer pictures or texts")


if __name__ == "__main__":
    main()
