"""The ImageNet classes."""

import subprocess
import sys

import pytest

from fcn_jax.data.imagenet import imagenet_classes, imagenet_ids

KNOWN = [
    (0, "n01440764", "tench"),
    (134, "n02012849", "crane (bird)"),
    (207, "n02099601", "golden retriever"),
    (281, "n02123045", "tabby"),
    (282, "n02123159", "tiger cat"),
    (517, "n03126707", "crane (machine)"),
    (817, "n04285008", "sports car"),
    (999, "n15075141", "toilet tissue"),
]


@pytest.mark.parametrize(("index", "wordnet_id", "name"), KNOWN)
def test_known_outputs_have_their_names(index, wordnet_id, name):
    """Oracle: lines of Caffe's synset_words.txt that every demonstration shows."""
    assert imagenet_ids()[index] == wordnet_id
    assert imagenet_classes()[index].split(",")[0] == name


def test_there_are_a_thousand_in_the_order_of_their_ids():
    """Oracle: the definition of the order, and of an id (n and eight digits)."""
    ids, names = imagenet_ids(), imagenet_classes()
    assert len(ids) == len(names) == 1000
    assert list(ids) == sorted(set(ids))
    assert all(i[0] == "n" and len(i) == 9 and i[1:].isdecimal() for i in ids)


def test_names_differ_and_fit_on_a_line():
    """Oracle: what a legend needs."""
    names = imagenet_classes()
    assert len(set(names)) == 1000
    for name in names:
        assert name == name.strip()
        assert name.isprintable()
        assert 2 <= len(name) <= 32


def test_names_are_read_without_jax():
    """Oracle: the modules that Python has loaded."""
    code = (
        "import sys; from fcn_jax.data.imagenet import imagenet_classes;"
        "imagenet_classes(); assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
