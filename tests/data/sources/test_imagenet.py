"""ImageNet as TFDS prepares it: a small data set of the same features and files."""

import contextlib
import io
import json
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from fcn_jax.data.categories import Categories
from fcn_jax.data.examples import DataError
from fcn_jax.data.imagenet import imagenet_classes, imagenet_ids
from fcn_jax.data.pipeline.batches import evaluation_batches
from fcn_jax.data.sources.catalog import open_source
from fcn_jax.data.sources.imagenet import open_imagenet
from fcn_jax.data.sources.views import CenterCrop
from tests.data.image_folders import picture

LABELS = {"train": (3, 0, 999, 3, 500), "validation": (7, 2), "test": (-1,)}


def jpeg(number):
    content = io.BytesIO()
    Image.fromarray(picture(number, (20 + number, 30))).save(content, "JPEG")
    return content.getvalue()


class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """The features of TFDS's imagenet2012, in the order that is given."""

    name = "imagenet2012"
    VERSION = tfds.core.Version("0.0.0")
    code_path = None

    def __init__(self, names, **arguments):
        self.names = names
        super().__init__(file_format="array_record", **arguments)

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=list(self.names)),
                    "file_name": tfds.features.Text(),
                }
            ),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in LABELS}

    def _generate_examples(self, split):
        for i, label in enumerate(LABELS[split]):
            name = f"{split}_{i}.JPEG"
            image = jpeg(i + 100 * (split != "train"))
            label = label % len(self.names) if label >= 0 else label
            yield i, {"image": image, "label": label, "file_name": name}


def prepare(root, names, version="5.1.0"):
    tfds.disable_progress_bar()

    class Versioned(Builder, skip_registration=True):
        name = Builder.name
        VERSION = tfds.core.Version(version)

    builder = Versioned(names, data_dir=str(root))
    with contextlib.redirect_stdout(io.StringIO()):
        builder.download_and_prepare()
    return root / "imagenet2012" / version


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("tfds")
    prepare(root, imagenet_ids())
    return root


def test_examples_are_those_that_were_written(root):
    """Oracle: Pillow's decoding of the same bytes; the labels that were given."""
    train = open_imagenet("train", data_dir=str(root))
    assert train.outputs == {"imagenet": Categories(imagenet_classes())}
    assert len(train) == 5
    for index, label in enumerate(LABELS["train"]):
        example = train[index]
        expected = np.array(Image.open(io.BytesIO(jpeg(index))))
        np.testing.assert_array_equal(example.inputs["color"], expected)
        assert example.labels["imagenet"].tolist() == [[label]]
        assert example.labels["imagenet"].dtype == np.uint16
        assert example.name == train.name(index) == f"train/{index}"
    np.testing.assert_array_equal(train.sizes(), [[20 + i, 30] for i in range(5)])
    with pytest.raises(
        IndexError, match="split train of imagenet2012 has no example 5"
    ):
        train[5]


def test_val_means_validation(root):
    """Oracle: the split of TFDS."""
    val = open_source("imagenet2012", "val", data_dir=str(root))
    assert val == open_imagenet("validation", data_dir=str(root))
    assert [int(val[i].labels["imagenet"][0, 0]) for i in range(2)] == [7, 2]


def test_batches_of_the_middle(root):
    """Oracle: the view itself; the split is opened anew after pickling."""
    val = pickle.loads(pickle.dumps(open_imagenet("val", data_dir=str(root))))
    view = CenterCrop(val, 20, (16, 16))
    (batch,) = evaluation_batches(
        view, batch_size=2, canvases=((16, 16),), threads=2, prefetch=2
    )
    assert batch["labels"]["imagenet"].tolist() == [[[7]], [[2]]]
    for index in range(2):
        np.testing.assert_array_equal(
            batch["inputs"]["color"][index], view[index].inputs["color"]
        )


def test_the_fingerprint_follows_the_builders_record(root, tmp_path):
    """Oracle: equal for a copy elsewhere, another for each split and set of names."""
    train = open_imagenet("train", data_dir=str(root))
    copy = shutil.copytree(root, tmp_path / "copy")
    assert open_imagenet("train", data_dir=str(copy)).fingerprint == train.fingerprint
    prepare(tmp_path / "other", ("a", "b"))
    other = open_imagenet("train", data_dir=str(tmp_path / "other"))
    assert other.categories.names == ("a", "b")
    val = open_imagenet("val", data_dir=str(root))
    assert len({train.fingerprint, other.fingerprint, val.fingerprint}) == 3


def test_the_highest_version_is_read(tmp_path):
    """Oracle: 10 is more than 5."""
    for version, names in (("5.0.0", ("a", "b")), ("10.0.0", ("c", "d"))):
        prepare(tmp_path, names, version)
    found = open_imagenet("train", data_dir=str(tmp_path))
    assert (found.version, found.categories.names) == ("10.0.0", ("c", "d"))


def test_tensorflow_is_not_imported(root):
    """Oracle: the modules that a process has loaded after it has read an image."""
    code = (
        "import sys\n"
        "from fcn_jax.data.sources.imagenet import open_imagenet\n"
        f"open_imagenet('train', data_dir={str(root)!r})[0]\n"
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_not_prepared_so_is_refused(root, tmp_path):
    """Oracle: the directory, the split and the kind of files, with the command."""
    command = "tfds build imagenet2012 --file_format=array_record"
    with pytest.raises(DataError, match=f"not prepared in .*imagenet2012; .*{command}"):
        open_imagenet("train", data_dir=str(tmp_path))
    with pytest.raises(DataError, match="no split 'tain'; it has train, validat"):
        open_imagenet("tain", data_dir=str(root))
    test = open_imagenet("test", data_dir=str(root))
    with pytest.raises(
        DataError, match=r"\(test_0.JPEG\): its label is -1.* no labels"
    ):
        test[0]
    copy = shutil.copytree(root, tmp_path / "copy")
    path = copy / "imagenet2012" / "5.1.0" / "dataset_info.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"fileFormat": "tfrecord"}))
    with pytest.raises(DataError, match=f"stored as tfrecord, which.*{command}"):
        open_imagenet("train", data_dir=str(copy))


def test_other_features_and_damaged_files_are_refused(root, tmp_path):
    """Oracle: the directory, and the features that are there."""
    copy = shutil.copytree(root, tmp_path / "copy") / "imagenet2012" / "5.1.0"
    (path,) = copy.glob("imagenet2012-train*")
    path.write_bytes(path.read_bytes()[:-2000])
    train = open_imagenet("train", data_dir=str(tmp_path / "copy"))
    with pytest.raises(DataError, match=f"{copy}.* damaged .*delete that directory"):
        [train[index] for index in range(5)]
    path = copy / "features.json"
    path.write_text(path.read_text().replace('"label"', '"other"'))
    with pytest.raises(DataError, match="'other': 'ClassLabel'.* an image and a label"):
        open_imagenet("train", data_dir=str(tmp_path / "copy"))
