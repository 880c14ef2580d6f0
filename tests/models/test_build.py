"""Specifications of nets with other normalisations, and of classifiers."""

import json
from dataclasses import replace

import jax
import pytest

from fcn_jax import config as configuration
from fcn_jax.models.build import (
    BACKBONES,
    build,
    build_fcn,
    classifier_spec,
    fcn_spec,
    settings_of,
    spec_of_settings,
)
from fcn_jax.models.fcn import abstract, score_maps, smallest_image
from fcn_jax.models.heads import CLASSIFIER_OUTPUT, TRAINING_HEADS
from fcn_jax.models.spec import ModelSpec
from fcn_jax.params.paths import flatten
from tests.seams.residual import RESNET

OWN = {"vgg16": "none", "alexnet": "response", "googlenet": "response"}
DEFAULT = {
    "vgg16": (),
    "alexnet": (("order", "pool-norm"),),
    "googlenet": (),
}
"""Of a stored specification, as before there was another normalisation."""


def _params(spec):
    return flatten(abstract(build(spec), {"color": 3})[1]["params"])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_own_normalisation_is_not_stored(backbone):
    """Oracle: the options of former specifications; equal modules give equal values."""
    settings = {"backbone": backbone, "outputs": {"semantic": 2}, "padding": "same"}
    spec = fcn_spec(**settings)
    assert spec.options == DEFAULT[backbone]
    assert fcn_spec(**settings, normalization=OWN[backbone]) == spec
    assert classifier_spec(backbone=backbone).options == DEFAULT[backbone]
    assert BACKBONES[backbone].options["normalization"][0] == OWN[backbone]
    assert "normalization" not in settings_of(spec)
    model = build(spec)
    assert model.streams[0].backbone().normalization == OWN[backbone]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("normalization", ["batch", "none"])
def test_another_normalisation_is_an_option(backbone, normalization):
    """Oracle: the pair, which JSON and the settings give back."""
    spec = fcn_spec(
        backbone=backbone,
        outputs={"semantic": 2},
        padding="same",
        normalization=normalization,
    )
    pair = ("normalization", normalization)
    stored = () if normalization == OWN[backbone] else (pair,)
    assert spec.options == DEFAULT[backbone] + stored
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    assert spec_of_settings(settings_of(spec), {"semantic": 2}) == spec


@pytest.mark.parametrize("backbone", BACKBONES)
def test_names_with_batch_normalisation(backbone):
    """Oracle: each layer's bias is that of the normalisation beside it, `<layer>_bn`."""
    plain, batch = (
        _params(
            classifier_spec(
                backbone=backbone, classes=3, width=1 / 16, normalization=normalization
            )
        )
        for normalization in ("none", "batch")
    )
    expected = {}
    for path, leaf in plain.items():
        layer, _, kind = path.rpartition(".")
        trunk = not path.startswith("head.")
        if kind == "bias" and trunk:
            expected[f"{layer}_bn.bias"] = expected[f"{layer}_bn.scale"] = leaf.shape
        else:
            expected[path] = leaf.shape
    assert {path: leaf.shape for path, leaf in batch.items()} == expected
    own = {f"trunk.{name}_bn.scale" for name in ("fc6", "fc7")}
    if backbone == "googlenet":
        own = {"trunk.inception_3a.1x1_bn.scale", "trunk.conv1_7x7_s2_bn.scale"}
    assert own <= batch.keys()


def test_what_a_backbone_lacks_is_said():
    """Oracle: the backbone and its options in the sentence."""
    own = {"resnet": RESNET}
    with pytest.raises(
        ValueError, match="'batch', and the backbone resnet has no such"
    ):
        build_fcn(
            backbone="resnet",
            outputs={"a": 2},
            normalization="batch",
            backbones=own,
        )
    with pytest.raises(ValueError, match=r"'response'; it must be one of none, batch"):
        build_fcn(backbone="vgg16", outputs={"a": 2}, normalization="response")
    with pytest.raises(
        ValueError, match="auxiliary is 'yes', and the backbone alexnet"
    ):
        classifier_spec(backbone="alexnet", auxiliary=True)
    spec = fcn_spec(backbone="googlenet", outputs={"a": 2})
    with pytest.raises(ValueError, match="only a classifier has auxiliary"):
        build(replace(spec, options=(("auxiliary", "yes"),)))


def test_a_classifier_from_the_keys_of_a_configuration():
    """Oracle: the specification by its own arguments; the keys of an FCN are defaults."""
    config = configuration.base().unlock()
    config.model.update(
        {
            **{"backbone": "googlenet", "head": "classifier", "padding": "same"},
            **{"normalization": "batch", "auxiliary": True, "dropout_rate": 0.25},
            "width": 0.5,
        }
    )
    configuration.validate(config)
    outputs = {CLASSIFIER_OUTPUT: 10}
    settings = configuration.to_dict(config)["model"]
    expected = classifier_spec(
        backbone="googlenet",
        classes=10,
        width=0.5,
        padding="same",
        normalization="batch",
        auxiliary=True,
        dropout_rate=0.25,
    )
    spec = spec_of_settings(settings, outputs)
    assert spec == expected
    assert spec.options == (("normalization", "batch"), ("auxiliary", "yes"))
    assert spec_of_settings(settings_of(spec), outputs) == spec
    assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    for key, value in {
        "stride": 8,
        "at_once": True,
        "scores": [["fc7", 1.0]],
        "score_at": "pool3",
        "fusion": "max",
        "upsampling": "learned",
        "score_init": "gaussian",
        "streams": {"hha": ["hha"]},
    }.items():
        with pytest.raises(
            ValueError, match=f"^{key} is .* a classifier does not have"
        ):
            spec_of_settings({**settings, key: value}, outputs)
    with pytest.raises(ValueError, match="semantic; a classifier has one, imagenet"):
        spec_of_settings(settings, {"semantic": 2})
    with pytest.raises(ValueError, match="auxiliary is True, but only a classifier"):
        spec_of_settings({**settings, "head": "skips"}, {"semantic": 2})


def test_paddings_of_classifiers():
    """Oracle: the papers' native sizes, below which the map has no cell, by hand."""
    with pytest.raises(
        ValueError, match="'reference'; of the classifier vgg16 .* native, s"
    ):
        classifier_spec(backbone="vgg16", padding="reference")
    # The least size at which the last map is one cell: 7, 6 and 7 cells of stride 32.
    least = {
        ("vgg16", "native"): 6 * 32 + 1,
        ("alexnet", "native"): 199,
        ("googlenet", "native"): 6 * 32 + 31,
        ("vgg16", "same"): 1,
        ("alexnet", "same"): 29,
        ("googlenet", "same"): 31,
    }
    for (backbone, padding), size in least.items():
        spec = classifier_spec(backbone=backbone, width=1 / 16, padding=padding)
        for heads in ({}, {"heads": TRAINING_HEADS}):
            maps = score_maps(build(spec, **heads), {"color": 3})
            assert smallest_image(maps) == size
        with pytest.raises(ValueError, match="too small"):
            score_maps(build(spec), {"color": 3}, size - 1)
        score_maps(build(spec), {"color": 3}, size)


def test_auxiliary_layers_are_trained_and_not_scored():
    """Oracle: BVLC's layers; a score map of an evaluation has no other output."""
    spec = classifier_spec(
        backbone="googlenet", classes=7, padding="same", auxiliary=True
    )
    model = build(spec, heads=TRAINING_HEADS)
    maps, variables = abstract(model, {"color": 3}, 128)
    assert list(maps) == [CLASSIFIER_OUTPUT]
    shapes = {p: own.shape for p, own in flatten(variables["params"]).items()}
    for name, channels in (("loss1", 512), ("loss2", 528)):
        assert shapes[f"trunk.{name}_conv.kernel"] == (1, 1, channels, 128)
        assert shapes[f"trunk.{name}_fc.kernel"] == (4, 4, 128, 1024)
        assert shapes[f"head.{name}_classifier.kernel"] == (1, 1, 1024, 7)
        for layer in ("conv", "fc", "classifier"):
            caffe = BACKBONES["googlenet"].caffe_names[f"{name}_{layer}"]
            assert caffe == f"{name}/{layer}"
    image = {"color": jax.ShapeDtypeStruct((2, 100, 90, 3), "float32")}
    keys = jax.random.split(jax.random.key(0), 2)
    for train, outputs in ((False, 1), (True, 3)):
        found = jax.eval_shape(
            lambda v, x, train=train: model.apply(
                v, x, train=train, dropout_keys=keys if train else None
            ),
            variables,
            image,
        )
        assert len(found) == outputs
        assert {own.values.shape for own in found.values()} == {(2, 1, 1, 7)}
