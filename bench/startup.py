"""How long `import fairvl` and `fairvl --help` take, each in a fresh process, warm."""

from __future__ import annotations

import statistics
import subprocess
import sys

from _measure import seconds, write

RUNS = 15
CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import fairvl'": [sys.executable, "-c", "import fairvl"],
    "fairvl --help": [sys.executable, "-m", "fairvl", "--help"],
}
BARS = {"python -c 'import fairvl'": 150, "fairvl --help": 400}


def main() -> None:
    rows = []
    for name, command in CASES.items():
        times = [
            1000 * seconds(lambda c=command: subprocess.run(c, check=True, capture_output=True)) for _ in range(RUNS)
        ]
        times = times[1:]  # the first fills the disk cache
        row = {"case": name, "median_ms": statistics.median(times), "low_ms": min(times), "high_ms": max(times)}
        rows.append(row | {"bar_ms": BARS.get(name)})
        bar = f"  bar {BARS[name]} ms" if name in BARS else ""
        print(f"{name:28} {row['median_ms']:6.0f} ms ({row['low_ms']:.0f} to {row['high_ms']:.0f}){bar}")
    write("startup", rows)


if __name__ == "__main__":
    main()
