"""A picture that kills its decoder costs one row; a model or a script that cannot start costs nothing but the call."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fairvl.sources.embed import embed

MODULE = """
import io, os
import numpy as np
from PIL import Image
from fairvl.sources.datasets import Record

class Picture:
    def __init__(self, number):
        self.number = number

    def __call__(self):
        if self.number == 5:
            os._exit(1)  # as a crash inside a C library ends the process
        file = io.BytesIO()
        Image.fromarray(np.full((4, 5, 3), self.number, np.uint8)).save(file, "PNG")
        return file.getvalue()

class Deadly:
    name, fingerprint, problems = "deadly", "1", ()

    def __len__(self):
        return 12

    def shards(self, rows):
        return tuple({"start": start} for start in range(0, 12, 4))

    def read(self, spec):
        return (Record(str(n), Picture(n), None, {"n": n}) for n in range(spec["start"], spec["start"] + 4))
"""


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    (tmp_path / "module").mkdir()
    (tmp_path / "module/deadly_pictures.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path / "module")
    sys.modules.pop("deadly_pictures", None)
    import deadly_pictures

    return deadly_pictures.Deadly()


def test_a_picture_that_kills_its_decoder_is_left_out_and_named(tmp_path, deadly):
    store = embed("fake:8", deadly, tmp_path / "s", batch=4, workers=1)
    assert [id_ for id_, _ in store.skipped] == ["5"]
    assert all("died" in reason for _, reason in store.skipped)
    assert store.columns("n").tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    from fairvl.sources.encoders.fake import FakeEncoder

    pictures = [np.full((4, 5, 3), n, np.uint8) for n in store.columns("n")]
    np.testing.assert_allclose(store.image_vectors.read(), FakeEncoder(8).encode_images(pictures), atol=5e-4)


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    (tmp_path / "pictures").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "pictures/a.png")
    script = tmp_path / "unguarded.py"
    script.write_text(
        "import sys\nfrom fairvl.sources.embed import embed\n"
        "embed('fake:8', 'folder:' + sys.argv[1], sys.argv[2], workers=1)\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "pictures"), str(tmp_path / "s")],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1
    assert "if __name__ == '__main__'" in done.stderr.splitlines()[-1]
