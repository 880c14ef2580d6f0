"""The 1,000 classes of ILSVRC-2012, in the order of the nets' outputs.

The order is that of the WordNet ids, as in Caffe's synset_words.txt, torchvision and
Keras. Names: WordNet 3.0, Princeton University; the first words of a synset, up to 32
letters, with the two cranes told apart.
"""

import functools
from importlib import resources


@functools.cache
def _records() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) of each class, read once."""
    text = resources.files("fcn_jax.data").joinpath("imagenet_classes.txt")
    lines = text.read_text(encoding="utf-8").splitlines()
    return tuple((line[:9], line[10:]) for line in lines)


def imagenet_classes() -> tuple[str, ...]:
    """1,000 different names, "tench, Tinca tinca" first."""
    return tuple(name for _, name in _records())


def imagenet_ids() -> tuple[str, ...]:
    """Their WordNet ids, "n01440764" first, increasing."""
    return tuple(wordnet_id for wordnet_id, _ in _records())
