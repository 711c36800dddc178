"""`fairvl embed` against the bare model: images per second, with and without reading, decoding and resizing.

    python bench/embed.py [--images 2000] [--repeats 3]

Both sides run the same ViT-B-32 (random weights) on the same pictures with the same batch size and thread count. The
bare side gets batches that are preprocessed already; embed starts from JPEG files of 500 pixels and more on disk, and
is timed from the call to the finished store. Repeats take turns, so that a busy machine slows both; processor seconds
(all processes and threads) are counted beside wall-clock seconds, because they depend less on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

BATCH = 64


def write_pictures(folder: Path, count: int) -> None:
    """JPEGs with soft shapes and some noise, 500 to 640 pixels on the short side, about 60 to 120 kB each."""
    rng = np.random.default_rng(0)
    for number in range(count):
        height, width = (int(side) for side in rng.integers(500, 641, size=2))
        soft = Image.fromarray(rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize((width, height), 3)
        noisy = np.asarray(soft, np.int16) + rng.integers(-12, 13, (height, width, 3), dtype=np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05d}.jpg", quality=90)


def timed(call: Callable[[], Any]) -> tuple[np.ndarray, Any]:
    """Wall-clock and processor seconds of a call, children included, and its result."""
    began, before = time.perf_counter(), os.times()
    result = call()
    after = os.times()
    return np.array([time.perf_counter() - began, sum(after[:4]) - sum(before[:4])]), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=None)
    options = parser.parse_args()

    import torch

    from fairvl.jobs import default_workers
    from fairvl.sources.datasets import decode_image, load_dataset
    from fairvl.sources.embed import embed
    from fairvl.sources.encoders import load_encoder

    encoder = load_encoder("open_clip:ViT-B-32?random=0")
    workers = default_workers() if options.workers is None else options.workers
    with tempfile.TemporaryDirectory() as temporary:
        pictures = Path(temporary) / "pictures"
        pictures.mkdir()
        write_pictures(pictures, options.images)
        dataset = load_dataset(f"folder:{pictures}")
        files = sorted(pictures.iterdir())
        started = time.perf_counter()
        arrays = [encoder.preprocess(decode_image(file.read_bytes())) for file in files]
        decode_ms = 1000 * (time.perf_counter() - started) / len(files)
        ready = np.stack(arrays)

        def bare() -> None:
            for start in range(0, len(ready), BATCH):
                encoder.encode_preprocessed(ready[start : start + BATCH])

        def ours(turn: int) -> np.ndarray:
            out = Path(temporary) / f"store-{turn}"
            return embed(encoder, dataset, out, batch=BATCH, kinds=("image",), workers=workers).image_vectors.read()

        encoder.encode_preprocessed(ready[:BATCH])
        pairs = []
        for turn in range(options.repeats):
            before, _ = timed(bare)
            full, vectors = timed(lambda turn=turn: ours(turn))
            after, _ = timed(bare)
            plain = (before + after) / 2
            pairs.append((plain, full))
            print(
                f"wall s: bare {before[0]:.1f}, {after[0]:.1f}, embed {full[0]:.1f}, share {plain[0] / full[0]:.3f}; "
                f"processor s: bare {plain[1]:.1f}, embed {full[1]:.1f}, share {plain[1] / full[1]:.3f}",
                flush=True,
            )
        expected = encoder.encode_preprocessed(ready[:BATCH])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert np.abs(vectors[:BATCH] - expected).max() < 1e-3

    ratios = sorted(float(plain[0] / full[0]) for plain, full in pairs)
    processor = sorted(float(plain[1] / full[1]) for plain, full in pairs)
    forward_ms = 1000 * float(statistics.median(plain[0] for plain, _ in pairs)) / options.images
    # A decoder occupies one core; a perfect overlap costs its time divided by all cores.
    threads = torch.get_num_threads()
    bound = forward_ms / (forward_ms + decode_ms / threads)
    result = {
        "images": options.images,
        "batch": BATCH,
        "threads": threads,
        "workers": workers,
        "forward_ms_per_image": round(forward_ms, 2),
        "decode_and_resize_ms_per_image_one_core": round(decode_ms, 2),
        "throughput_share_of_bare_forward": {
            "median": round(statistics.median(ratios), 3),
            "lowest": round(ratios[0], 3),
            "highest": round(ratios[-1], 3),
        },
        "processor_seconds_share": {
            "median": round(statistics.median(processor), 3),
            "lowest": round(processor[0], 3),
            "highest": round(processor[-1], 3),
        },
        "share_if_decoding_only_took_its_own_core_time": round(bound, 3),
    }
    print(f"\n{'forward, ms per image':45}{forward_ms:10.2f}")
    print(f"{'decode and resize, ms per image on one core':45}{decode_ms:10.2f}")
    print(f"{'embed / bare forward throughput':45}{statistics.median(ratios):10.3f} ({ratios[0]:.3f}-{ratios[-1]:.3f})")
    print(f"{'the same in processor seconds':45}{statistics.median(processor):10.3f}")
    print(f"{'best possible on these cores':45}{bound:10.3f}")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "embed.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
