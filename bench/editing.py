"""Edits of the diffusion autoencoder: images per second by size, steps and inversion, and the share of the machine.

    python bench/editing.py [--repeats 3] [--sizes faces-32 drawings-64] [--device cuda]

One edit is encode, move the code along a straight path, decode. `faces-32` is the world's shipped model, the others
have random weights, which cost the same. The noise of an image is drawn, or inverted with one evaluation per step, or
with two ("refined", the default). Work is counted in floating-point operations of matrix products and
convolutions (torch's counter); the rate is held against a float32 matrix product of 1,024 x 1,024 on the same threads,
timed in turn. Memory is the growth of the peak resident set in a fresh process that edits one batch (on a GPU: the
allocator's peak, weights included).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from _measure import write

CASES = {
    "faces-32": (64, (5, 10, 20)),
    "drawings-64": (16, (5, 10, 20)),
    "published-64": (1, (5, 10, 20)),
    "published-128": (1, (5,)),
}
"""Images at a time on a CPU, and the numbers of steps."""
ON_GPU = 64
MODES: dict[str, dict[str, Any]] = {
    "drawn": {"inversion": False},
    "inverted": {"refinements": 0, "extrapolate": True},
    "refined": {"refinements": 1},
    "drawn, bf16": {"inversion": False, "precision": "bf16"},
    "inverted, bf16": {"refinements": 0, "extrapolate": True, "precision": "bf16"},
}
"""Where the noise comes from, and the precision; plain inversion costs what the extrapolated one does."""
SIDE = 1024


class Straight:
    """A path of one direction everywhere."""

    attribute = "any"

    def __call__(self, codes: np.ndarray, strength: Any) -> np.ndarray:
        return codes + np.asarray(strength, np.float32).reshape(-1, 1) / np.sqrt(codes.shape[1])


def editor(name: str, steps: int, device: str, **options: Any) -> Any:
    from fairvl.repair.editing.diffae.editor import DiffAE, load_world_editor

    options |= {"steps": steps, "device": device}
    return load_world_editor(**options) if name == "faces-32" else DiffAE.random(name, **options)


def pictures(n: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


def edited(model: Any, images: np.ndarray) -> np.ndarray:
    """As `Editor` is used: uint8 in, uint8 out; on a GPU the copy back waits for the device."""
    return model.decode(model.edit(model.encode(images), Straight(), 2.0))


def work(model: Any, images: np.ndarray) -> float:
    """Floating-point operations per image: those of the encoder, and of one evaluation times their number."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    counts = []
    x = torch.zeros((1, 3, *images.shape[1:3]), device=model.device)
    with torch.no_grad():
        for part in (lambda: model._module.encode(x), lambda: model.render(np.zeros((1, model.dim)), x, steps=1)):
            with FlopCounterMode(display=False) as counter:
                part()
            counts.append(float(counter.get_total_flops()))
    evaluations = model.steps * (1 + (1 + model.refinements if model.inversion else 0))
    return counts[0] + evaluations * counts[1]


def product(device: str) -> tuple[Any, float]:
    """A float32 matrix product, and its floating-point operations."""
    import torch

    side, times = (SIDE, 1) if device == "cpu" else (8 * SIDE, 4)
    a, b = (torch.randn(side, side, device=device) for _ in range(2))

    def call() -> None:
        for _ in range(times):
            a @ b
        if device != "cpu":
            torch.cuda.synchronize()

    return call, 2.0 * side**3 * times


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} on this system")


def child(name: str, steps: int, n: int, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    model = editor(name, steps, "cpu", refinements=1)
    size = model.parts.shape.size
    if n > 1:
        edited(model, pictures(1, size))  # warms the libraries; one image at a time has no smaller call to warm with
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    before = resident("VmRSS")
    edited(model, pictures(n, size))
    print(max(0, resident("VmHWM") - before))


def memory(name: str, steps: int, n: int, device: str, threads: int) -> float | None:
    """Megabytes that one batch adds."""
    if device != "cpu":
        import torch

        torch.cuda.reset_peak_memory_stats()
        model = editor(name, steps, device)
        edited(model, pictures(n, model.parts.shape.size))
        return torch.cuda.max_memory_allocated() / 1e6
    if not Path("/proc/self/clear_refs").exists():
        return None
    call = [sys.executable, __file__, "--child", name, str(steps), str(n), str(threads)]
    return int(subprocess.run(call, check=True, capture_output=True, text=True).stdout) / 1e6


def clocks(function: Any) -> np.ndarray:
    """Wall-clock and processor seconds of one call."""
    began = time.perf_counter(), time.process_time()
    function()
    return np.array([time.perf_counter() - began[0], time.process_time() - began[1]])


def measure(name: str, steps: int, mode: str, n: int, device: str, repeats: int) -> dict[str, Any]:
    model = editor(name, steps, device, batch_size=n, **MODES[mode])
    images = pictures(n, model.parts.shape.size)
    call, operations = product(device)
    call()
    each = work(model, images)
    if n > 2:
        edited(model, images[:2])
    turns = []
    for _ in range(repeats):
        turns.append([clocks(lambda: edited(model, images)), np.min([clocks(call) for _ in range(3)], axis=0)])
    times = np.array(turns)  # repeats, ours and the product, wall and processor
    shares = (n * each / times[:, 0]) / (operations / times[:, 1])
    row = {
        "configuration": name, "steps": steps, "mode": mode, "batch": n, "device": device, "repeats": repeats,
        "gflop_per_image": each / 1e9, "images_per_s": float(np.median(n / times[:, 0, 0])),
        "slowest": float(n / times[:, 0, 0].max()), "fastest": float(n / times[:, 0, 0].min()),
        "share_of_product": float(np.median(shares[:, 0])),
    }  # fmt: skip
    if device == "cpu":
        least = times[:, :, 1].min(axis=0)
        row["images_per_processor_s"] = n / least[0]
        row["share_by_processor_time"] = n * each / least[0] / (operations / least[1])
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", default=list(CASES))
    parser.add_argument("--device", default=None)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child[0], *map(int, options.child[1:]))
        return
    import torch

    torch.set_num_threads(options.threads)
    cuda = torch.cuda.is_available()
    devices = [options.device] if options.device else ["cpu", *(["cuda"] if cuda else [])]
    name = torch.cuda.get_device_name() if cuda else "no GPU on this machine"
    print(f"{options.threads} thread; {name}. Of product: share of the rate of a float32 matrix product")
    print("model          device steps  noise            batch  images/s (range)         by processor s  GFLOP/image"
          "  of product  by processor s  added MB")  # fmt: skip
    rows: list[dict[str, Any]] = []
    for device in devices:
        for configuration in options.sizes:
            n, many = CASES[configuration]
            if device != "cpu":
                n, many = ON_GPU, (5, 10, 20)
            for steps in many:
                for mode in MODES if steps == many[-1] else list(MODES)[:3]:
                    slow = configuration.startswith("published") and device == "cpu"
                    row = measure(configuration, steps, mode, n, device, 1 if slow else options.repeats)
                    if steps == many[-1] and mode == "refined":
                        row["added_mb"] = memory(configuration, steps, n, device, options.threads)
                    rows.append(row)
                    told(row)
    write("editing", rows)


def told(row: dict[str, Any]) -> None:
    rate = f"{row['images_per_s']:.3g} ({row['slowest']:.3g} to {row['fastest']:.3g})"
    own, share = row.get("images_per_processor_s"), row.get("share_by_processor_time")
    added = f"{row['added_mb']:.0f}" if row.get("added_mb") is not None else "-"
    print(
        f"{row['configuration']:14} {row['device']:6} {row['steps']:5}  {row['mode']:15} {row['batch']:6}  {rate:24} "
        f"{f'{own:.3g}' if own else '-':>15} {row['gflop_per_image']:12.3g} {row['share_of_product']:11.2f} "
        f"{f'{share:.2f}' if share else '-':>15} {added:>9}",
        flush=True,
    )


if __name__ == "__main__":
    main()
