"""From names to data sets."""

import pytest

from fcn_jax.data.examples import DataError, Example, Source
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.synthetic import SyntheticSpec

SPEC = SyntheticSpec(
    num_classes=3,
    num_train=2,
    num_val=0,
    min_size=(16, 16),
    max_size=(16, 16),
    seed=0,
)


def test_synthetic_opens_with_its_specification():
    """Oracle: the specification."""
    source: Source = open_source("synthetic", "train", synthetic=SPEC)
    assert len(source) == 2
    assert isinstance(source[0], Example)
    assert len(source.outputs["semantic"]) == 3


def test_synthetic_needs_a_specification():
    """Oracle: there is no default data set."""
    with pytest.raises(ValueError, match="give a SyntheticSpec"):
        open_source("synthetic", "train")


def test_an_empty_split_is_refused():
    """Oracle: num_val is 0."""
    with pytest.raises(DataError, match="split val: num_val is 0"):
        open_source("synthetic", "val", synthetic=SPEC)


def test_unknown_names_are_refused_with_the_known():
    """Oracle: the list of names."""
    with pytest.raises(ValueError, match="'cityscapes' is unknown; .*synthetic, fold"):
        open_source("cityscapes", "train")


def test_camvid_says_how_to_prepare_it(tmp_path, monkeypatch):
    """Oracle: the command and the directory looked in, given or TFDS's own."""
    with pytest.raises(DataError) as error:
        open_source("camvid", "train", data_dir=str(tmp_path))
    assert f"{tmp_path}/camvid/2.0.0" in str(error.value)
    assert (
        f"python -m fcn_jax.data prepare camvid --source=DIR --data_dir={tmp_path}"
        in str(error.value)
    )
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "own"))
    with pytest.raises(DataError, match="own/camvid/2.0.0"):
        open_source("camvid", "train")
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    with pytest.raises(DataError, match="home/tensorflow_datasets/camvid/2.0.0"):
        open_source("camvid", "train")


def test_a_missing_folder_is_named():
    """Oracle: the path."""
    with pytest.raises(DataError, match="/nowhere is not a directory"):
        open_source("folder", "train", folder="/nowhere")
