"""The whole command on real model classes: tiny open_clip models from local folders, one of them damaged."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from fairvl.findings import Findings
from fairvl.sources.encoders import load_encoder
from fairvl.sources.stimuli import load_registry
from fairvl.study.sweep import require_steady

pytestmark = pytest.mark.slow


@pytest.fixture
def folders(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: models)")
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed (extra: models)")
    from safetensors.torch import save_file

    config = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    for seed in range(4):
        folder = tmp_path / f"tiny-{seed}"
        folder.mkdir()
        (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
        torch.manual_seed(seed)
        save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    damaged = tmp_path / "tiny-3/open_clip_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1000])
    return tmp_path


def test_three_models_and_a_damaged_one_through_all_26_tests(folders):
    listed = [f'[[model]]\nid = "tiny-{n}"\nencoder = "open_clip:local-dir:tiny-{n}"\n' for n in range(4)]
    (folders / "M.toml").write_text("".join(listed))
    run = (
        "import resource, sys; from fairvl.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    command = [sys.executable, "-c", run, "sweep", "M.toml", "-o", "out", "--draws", "200"]
    done = subprocess.run(command, cwd=folders, capture_output=True, text=True, check=True)
    assert "tiny-3 could not be measured" in done.stderr
    assert int(done.stdout.split()[-1]) < 2048  # MiB, of which torch is the larger part
    table = Findings.read(folders / "out/findings.json")
    assert len(table) == 4 * 26
    for row in table:
        assert math.isnan(row.value) == (row.model == "tiny-3")
    assert len({row.value for row in table.where(test="age", order="text-text")} - {math.nan}) >= 3
    assert table.settings["cards"]["tiny-0"]["library"] == "open_clip"
    before = (folders / "out/findings.json").read_bytes()
    (folders / "out/findings.json").unlink()
    subprocess.run(command, cwd=folders, capture_output=True, check=True)
    assert (folders / "out/findings.json").read_bytes() == before


def test_batch_sizes_1_and_32_agree(folders):
    from fairvl.sources.encoders.images import probe_images

    encoder = load_encoder(f"open_clip:local-dir:{folders}/tiny-0")
    texts, images = list(load_registry("weat").cases[0].x.texts()[:6]), list(probe_images())
    require_steady(encoder, texts=texts, images=images)  # what a sweep asks of every model
    for encode, items in ((encoder.encode_texts, texts), (encoder.encode_images, images)):
        batch = encode([items[i % len(items)] for i in range(32)])[: len(items)]
        singly = np.concatenate([encode([item]) for item in items])
        np.testing.assert_allclose(singly, batch, atol=1e-5 * np.linalg.norm(batch, axis=1).max())
