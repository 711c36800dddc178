"""Every bench, one after another, and docs/benchmarks.md from what they print.

python bench/run_all.py              # all, about half an hour on two idle cores
python bench/run_all.py ndkl groups  # some; the others keep their last printed figures
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
BENCHES = {
    "startup": "Import and `--help`, medians in milliseconds.",
    "projection": (
        "Closed-form projection against the published algorithm written out plainly (exact SVD, four outer products "
        "per pair, as published; one in `lean`). Bars: 30 times for (1024, 8, 80), 150 times for (1024, 8, 1,000) with "
        "64 MB added, 200 times and 20 MB for (2048, 8, 80), the path of 20 lambdas at most 4 times one."
    ),
    "debias_apply": (
        "`fairvl apply` on float16 vectors against a plain copy with fsync, from the same cold page cache; the default "
        "is 1,000,000 x 512, the gate 10,000,000 (`--rows 10000000 --folder DIR`, 21 GB). Bars: half of the copy's "
        "speed, 1 GB."
    ),
    "dedup_published": (
        "Deduplication end to end on a given assignment against the published algorithm written out plainly, and one "
        "cluster of 16,000 with its added memory. Bars: 2.5 times; half the time and 150 MB."
    ),
    "dedup_neighbours": (
        "Pairs inside a cluster: the rate of the product against this machine's own float32 matrix product, and the "
        "lossless filter against brute force, same pairs. Bars: 80 % of the rate; 2.5 times at 0.95."
    ),
    "dedup_kmeans": "An iteration of spherical k-means against faiss and scikit-learn. Bar: no slower.",
    "dedup_sort": "Rows by cluster and rank against one scan of the table per cluster. Bar: 25 times.",
    "dedup_ledger": "Representation error and cost of the ledger modes of deduplication.",
    "captions": "Captions rewritten per second and core, without a parser. Bar: 20,000.",
    "groups": "Group metrics, 1,000 bootstrap draws at n = 100,000, against fairlearn's `MetricFrame`. Bar: 100 times.",
    "ndkl": "NDKL at n = 10,954 with 7 groups against a plain loop over rows. Bar: 5 ms.",
    "association": (
        "Association tests, microseconds per permutation and model, against the published Monte Carlo algorithm "
        "written out plainly (one model at a time, both on one thread), and per resample against `wefe` where "
        "FAIRVL_WEFE_PYTHON names a Python that has it. Bars: 131 models at N = 80 100 times, at N = 700 40 times; "
        "`wefe` 5,000 times; exact p at 20 + 20 under 2 s; 131 x 26 tests under 3 minutes and 2 GB."
    ),
    "study": (
        "A study of 131 models and 26 tests: how often a contrast is called significant at 1 % where no dataset "
        "matters, with models as the unit (ours), with rows as the unit, and by the published mixed model; and the "
        "crossed random-effects fit against statsmodels'. Bars: ours between 0.5 % and 2 % at every spread between "
        "models; fits equal to 1e-3."
    ),
    "editing": (
        "Edits of the diffusion autoencoder per second, on one thread: encode, move the code, decode. The noise of an "
        "image is drawn, inverted with one evaluation per step, or with two (`refined`, the default). No bar; the rate "
        "is held against this machine's own float32 matrix product, timed in turn."
    ),
    "embed": (
        "`fairvl embed` on 2,000 JPEGs of 500 pixels and more with ViT-B-32 (random weights), decode and resize "
        "included, against the bare model's forward pass on the same batches. Bar: 90 % of its throughput."
    ),
}
INTRO = """# Benchmarks

`make bench` writes this page. Each case runs ours and the peer on the same input in one process tree, in turn; a ratio
is a median over the turns with its range. Wall-clock figures depend on what else the machine does, so *processor time*
is printed beside them where it says more. Machine: two shared x86-64 cores, no accelerator.
"""


def main() -> None:
    wanted = sys.argv[1:] or list(BENCHES)
    if unknown := set(wanted) - set(BENCHES):
        sys.exit(f"no bench {sorted(unknown)}; expected some of {list(BENCHES)}")
    for name in wanted:
        print(f"== {name}", flush=True)
        done = subprocess.run([sys.executable, str(HERE / f"{name}.py")], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stderr}")
        print(done.stdout, flush=True)
        (HERE / "results").mkdir(exist_ok=True)
        (HERE / "results" / f"{name}.txt").write_text(done.stdout)
    parts = [INTRO]
    for name, about in BENCHES.items():
        printed = HERE / "results" / f"{name}.txt"
        if printed.exists():
            parts.append(f"## {name}\n\n{about}\n\n```text\n{printed.read_text().strip()}\n```\n")
    PAGE.write_text("\n".join(parts))


if __name__ == "__main__":
    main()
