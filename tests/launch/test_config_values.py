"""Values of a configuration, from wherever they come."""

import copy
import math

import pytest

from fcn_jax import config as configuration
from fcn_jax.config import base, from_dict, to_dict, validate
from fcn_jax.data.sources import DATA_SETS
from fcn_jax.launch.config_values import CHOICES
from fcn_jax.models.build import BACKBONES, build_fcn, spec_of_settings
from fcn_jax.models.spec import NATIVE, PADDINGS
from fcn_jax.optim import optimizers as optim
from fcn_jax.runtime.plain_json import LARGEST

FLOATS = (
    *("model.width", "model.dropout_rate", "optimizer.learning_rate"),
    *("optimizer.momentum", "optimizer.weight_decay"),
)


def _put(config, key, value):
    section, _, name = key.rpartition(".")
    (config[section] if section else config)[name] = value
    return config


@pytest.mark.parametrize("key", FLOATS)
@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_numbers_are_finite(key, value):
    """Oracle: the sentence names the key."""
    with pytest.raises(ValueError, match=f"config.{key} is {value!r}; .*finite"):
        validate(_put(base(), key, value))


def test_numbers_in_tuples_are_finite():
    """Oracle: the sentence names the key."""
    config = base()
    config.loss.class_weights = (1.0, math.inf)
    with pytest.raises(ValueError, match=r"config.loss.class_weights .*finite"):
        validate(config)
    config = base()
    config.optimizer.multipliers = (("*", math.nan, 1.0),)
    with pytest.raises(ValueError, match=r"config.optimizer.multipliers"):
        validate(config)
    config = base()
    config.preprocessing.color.mean = (1.0, math.nan, 2.0)
    with pytest.raises(ValueError, match=r"config.preprocessing .*finite"):
        validate(config)


@pytest.mark.parametrize("key", ["steps", "seed", "evaluation.every"])
def test_whole_numbers_fit_the_device(key):
    """Oracle: 32 bits with a sign."""
    validate(_put(base(), key, LARGEST))
    with pytest.raises(ValueError, match=f"config.{key} is {LARGEST + 1}"):
        validate(_put(base(), key, LARGEST + 1))


@pytest.mark.parametrize("key", [*CHOICES, "data.name", "data.eval_name"])
def test_a_wrong_choice_names_the_nearest(key):
    """Oracle: a value with a letter more, and one that is like none."""
    choices = CHOICES.get(key, DATA_SETS)
    if key == "model.stride":
        with pytest.raises(ValueError, match="one of 32, 16, 8$"):
            validate(_put(base(), key, 4))
        return
    for choice in filter(None, choices):
        with pytest.raises(ValueError, match=f"config.{key} is '{choice}x'.* mean"):
            validate(_put(base(), key, f"{choice}x"))
    with pytest.raises(ValueError, match=f"config.{key} is 'qqq'") as caught:
        validate(_put(base(), key, "qqq"))
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("name", BACKBONES)
def test_a_wrong_backbone_names_the_nearest(name):
    """Oracle: as of the choices; what there is says whoever passes backbones."""
    with pytest.raises(ValueError, match=f"backbone is '{name}x'.* mean {name}"):
        build_fcn(backbone=f"{name}x", outputs={"a": 2})
    with pytest.raises(ValueError, match="backbone is 'qqq'") as caught:
        build_fcn(backbone="qqq", outputs={"a": 2})
    assert "did you mean" not in str(caught.value)
    stored = to_dict(base())["model"]
    with pytest.raises(ValueError, match=r"'qqq.*qqq'; .* one of vgg16") as caught:
        spec_of_settings({**stored, "backbone": "q" * 10**6}, {"a": 2})
    assert len(str(caught.value)) < 600


def test_choices_are_those_of_the_parts():
    """Oracle: the parts that take them, which accept each and no other."""
    assert CHOICES["model.order"] == BACKBONES["alexnet"].options["order"]
    for key in ("padding", "fusion", "upsampling", "score_init", "stride"):
        for choice in CHOICES[f"model.{key}"]:
            if choice != NATIVE:
                build_fcn(backbone="vgg16", outputs={"a": 2}, **{key: choice})
        with pytest.raises(ValueError, match=key):
            build_fcn(backbone="vgg16", outputs={"a": 2}, **{key: "x"})
    assert CHOICES["model.padding"] == (*PADDINGS, NATIVE)
    own, *named = CHOICES["model.normalization"]
    assert not own
    for backbone in BACKBONES.values():
        assert set(backbone.options["normalization"]) <= set(named)
    for name in CHOICES["optimizer.schedule"]:
        optim.make_schedule(name, learning_rate=1.0, total_steps=9, warmup_steps=0)
    with pytest.raises(ValueError, match="fixed"):
        optim.make_schedule("x", learning_rate=1.0, total_steps=9, warmup_steps=0)


def test_a_padding_belongs_to_its_head():
    """Oracle: an FCN has no native padding, a classifier no reference padding."""
    config = base().unlock()
    config.model.update({"head": "classifier", "padding": "native"})
    validate(config)
    config.model.update({"padding": "same", "auxiliary": True})
    validate(config)
    config.model.padding = "reference"
    with pytest.raises(
        ValueError, match="padding is 'reference'.*classifier one of nat"
    ):
        validate(config)
    config.model.update({"head": "skips", "padding": "native"})
    with pytest.raises(
        ValueError, match="padding is 'native'.*=skips one of reference"
    ):
        validate(config)
    config.model.padding = "same"
    with pytest.raises(ValueError, match="auxiliary is True.*False with model.head=sk"):
        validate(config)


STORED = (
    ("steps", "many", "steps is 'many'"),
    ("steps", True, "steps is True"),
    ("steps", None, "steps is None"),
    ("data", [1], "data is [1]; it must be a section"),
    ("data.crop", 5, "data.crop is 5"),
    ("data.mirror", 1, "data.mirror is 1; it must be True or False"),
    ("model.backbone", 5, "model.backbone is 5; it must be a text"),
    ("model.streams", {"trunk": 5}, "model.streams"),
    ("preprocessing", {"color": {"mean": [1]}}, "preprocessing"),
    ("preprocessing", {"color": {"mean": [], "scale": 1, "logarithm": 1}}, "mean"),
    ("optimizer.multipliers", [["*", 1]], "optimizer.multipliers"),
    ("model.scores", "pool4", "a tuple of (endpoint, factor)"),
    ("model.scores", [["pool4"]], "a tuple of (endpoint, factor)"),
    ("model.scores", [["pool4", 0.01, 1.0]], "a tuple of (endpoint, factor)"),
    ("model.scores", [["pool4", "0.01"]], "a tuple of (endpoint, factor)"),
    ("model.scores", [[4, 0.01]], "a tuple of (endpoint, factor)"),
    ("init_from", {"a": 1}, "init_from"),
    ("a.b", 1, "a.b"),
    ("x\x1b[31m", 1, "x\\x1b[31m"),
    ("model.padding", "q" * 10**6, "qqq...qqq"),
)


@pytest.mark.parametrize(("key", "value", "words"), STORED)
def test_a_stored_value_of_another_type_is_one_sentence(key, value, words):
    """Oracle: the sentence has the file, the key and the value, and is short."""
    stored = copy.deepcopy(to_dict(base()))
    section, _, name = key.rpartition(".")
    holder = stored.get(section, stored)
    holder[name if section in stored else key] = value
    with pytest.raises(ValueError, match=r"^runs/x/config.json: ") as caught:
        validate(from_dict(stored, "runs/x/config.json"))
    assert words in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


def test_older_and_newer_configurations():
    """Oracle: a missing key has its default; an unknown one is kept for comparison."""
    stored = to_dict(base())
    del stored["rematerialize"], stored["data"]["threads"]
    stored["newer"] = [1, {"a": 2}]
    config = from_dict(stored)
    assert config.rematerialize is False
    assert config.data.threads == base().data.threads
    assert configuration.to_dict(config)["newer"] == [1, {"a": 2}]
    assert to_dict(from_dict(to_dict(config))) == to_dict(config)


def test_stored_scores_are_read_as_tuples():
    """Oracle: the factors of the at-once net, as JSON has them."""
    stored = to_dict(base())
    stored["model"]["scores"] = [["pool4", 0.01], ["pool3", 0.0001]]
    scores = from_dict(stored).model.scores
    assert scores == (("pool4", 0.01), ("pool3", 0.0001))


def test_defaults_of_a_published_net():
    """Oracle: by hand, the net of RGB and HHA; the means of the reference's layer."""
    config = configuration.of_net("nyud-fcn32s-color-hha")
    assert config.model.stride == 32
    assert config.model.streams.to_dict() == {"color": ("color",), "hha": ("hha",)}
    assert tuple(config.preprocessing.color.mean) == (92.318, 97.203, 116.19)
    assert tuple(config.preprocessing.hha.mean) == (132.431, 94.076, 118.477)
    assert config.optimizer.to_dict() == base().optimizer.to_dict()
    for name in ("nyud-fcn32s-color-hh", "vgg16"):
        with pytest.raises(
            ValueError, match=f"'{name}' is no published FCN; .*voc-fcn"
        ):
            configuration.of_net(name)


def test_gradients_are_not_narrower_than_the_arithmetic():
    """Oracle: the sentence names both keys; what goes together is taken."""
    config = _put(base(), "gradient_dtype", "bfloat16")
    with pytest.raises(
        ValueError, match="gradient_dtype is 'bfloat16', but config.dtype"
    ):
        validate(config)
    validate(_put(config, "dtype", "bfloat16"))
    with pytest.raises(
        ValueError, match="config.gradient_dtype is 'float16'; .*one of"
    ):
        validate(_put(config, "gradient_dtype", "float16"))
