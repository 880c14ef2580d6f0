"""Help and mistakes answer at once: nothing heavy is imported for them."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    *("jax", "jaxlib", "flax", "optax", "orbax", "grain", "tensorflow_datasets"),
    *("array_record", "matplotlib", "tensorboardX", "h5py", "safetensors", "torch"),
    *("scipy", "pandas", "etils"),
)
CODE = """
import runpy, sys
module, heavy = sys.argv[1], sys.argv[2].split(",")
sys.argv = [module, *sys.argv[3:]]
try:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
finally:
    loaded = sorted({name.partition(".")[0] for name in sys.modules} & set(heavy))
    print("loaded:", *loaded)
"""


def _run(command: str) -> subprocess.CompletedProcess:
    module, *arguments = command.split()
    return subprocess.run(
        [sys.executable, "-c", CODE, f"fcn_jax.{module}", ",".join(HEAVY), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("main --help", "--workdir"),
        ("main -h", "--config.KEY=VALUE"),
        ("predict --help", "--overlay"),
        ("data --help", "prepare"),
        ("data prepare --help", "--source"),
        ("data check --help", "--folder"),
        ("convert --help", "--net"),
        ("convert --list", "VGG_ILSVRC_16_layers.caffemodel"),
        ("convert inspect --help", "FILE"),
        ("convert export --help", "CHECKPOINT"),
    ],
)
def test_help_imports_nothing_heavy(command, words):
    """Oracle: the modules that Python has loaded at the end; status 0."""
    result = _run(command)
    assert result.returncode == 0, result.stderr
    *text, loaded = result.stdout.splitlines()
    assert words in "\n".join(text)
    assert loaded == "loaded:"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("main --confg=x", "confg"),
        ("main", "--config"),
        ("main --config=nothing.py", "nothing.py"),
        ("main --config=experiments/quickstart.py --config.stepz=3", "steps"),
        ("main --config=experiments/quickstart.py --config.steps=0", "at least 1"),
        ("main --config=quickstart --config.optimizer.name=adm", "did you mean adam"),
        ("main --config=quickstart --config.model.width=inf", "config.model.width is"),
        ("main --config=quickstart --config.data.name=folders", "did you mean folder"),
        (
            "main --config=quickstart --config.learning_rate=1",
            "optimizer.learning_rate",
        ),
        (
            "main --config=quickstart --config.init_from=README.md",
            "convert weights first",
        ),
        (
            "predict --checkpoint=README.md --output=out README.md",
            "convert weights first",
        ),
        ("convert export README.md out.pth", "convert weights first"),
        (
            "main --config=experiments/quickstart.py --mode=evaluate "
            "--checkpoint=/nowhere",
            "no checkpoint /nowhere",
        ),
        ("predict photos", "--checkpoint"),
        ("predict --checkpoint=/nowhere --output=out README.md", "/nowhere"),
        ("predict --checkpoint=experiments --output=out /no.png", "/no.png"),
        ("data prepare imagenet", "imagenet"),
        ("data check --folder=/nowhere", "/nowhere"),
        ("convert x.pth", "--net"),
        ("convert /no.pth out --net=vgg16", "/no.pth"),
        ("convert export /nowhere x.pth", "/nowhere"),
    ],
)
def test_mistakes_import_nothing_heavy(command, words):
    """Oracle: the modules that Python has loaded at the end; status 2, a sentence."""
    result = _run(command)
    assert result.returncode == 2, result.stderr
    assert words in result.stderr.strip().splitlines()[-1]
    assert result.stdout.splitlines()[-1] == "loaded:"


def test_the_python_interface_of_prediction():
    """Oracle: the classes where they are defined; other names are an error."""
    import fcn_jax
    from fcn_jax.inference.classifier import Classifier
    from fcn_jax.inference.segmenter import Segmenter

    assert fcn_jax.Segmenter is Segmenter
    assert fcn_jax.Classifier is Classifier
    with pytest.raises(AttributeError, match="no attribute 'Segmentor'"):
        fcn_jax.Segmentor  # noqa: B018
