"""Rules for the whole suite: where real data is, and a count of what was skipped for want of it."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from hypothesis import settings

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # a test that would reach a hub fails at once
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

MISSING = "real data missing"

# A busy machine makes a deadline a coin toss; a test that is really slow shows in --durations.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--realdata-required", action="store_true", help="a missing real-data file fails instead of skips")


@pytest.fixture(scope="session")
def realdata(request: pytest.FixtureRequest) -> Path:
    """Folder of openly licensed real data, named by FAIRVL_REALDATA; skips (or fails) where it is absent."""
    folder = os.environ.get("FAIRVL_REALDATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip(f"{MISSING}: FAIRVL_REALDATA names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def tiny():
    """The module that builds small text-to-image pipelines of the real classes; see `tiny_pipelines.py`."""
    pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
    spec = importlib.util.spec_from_file_location("tiny_pipelines", Path(__file__).with_name("tiny_pipelines.py"))
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what diffusers says while it is imported
        spec.loader.exec_module(module)
        module.tiny_pipeline()
    return module


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> object:
    report = yield
    required = item.config.getoption("--realdata-required")
    if required and report.skipped and item.get_closest_marker("realdata"):
        report.outcome = "failed"
        report.longrepr = f"skipped although real data is required: {report.longrepr}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = [r for r in terminalreporter.stats.get("skipped", []) if "realdata" in r.keywords]
    terminalreporter.write_line(f"{len(skipped)} tests skipped for missing real data (FAIRVL_REALDATA)")


@pytest.fixture
def interrupted():
    """Runs code in an interpreter of its own until it prints "working", then interrupts it: (exit code, stderr)."""

    def run(code, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
            # a background shell makes its children deaf to Ctrl-C
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        with process:
            try:
                assert process.stdout.readline() == "working\n"
                process.send_signal(signal.SIGINT)
                errors = process.communicate(timeout=60)[1]
            finally:
                process.kill()
        return process.returncode, errors

    return run
