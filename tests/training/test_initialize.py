"""What a run starts from: checkpoints, their names, classes and preprocessing."""

import json
import logging

import numpy as np
import pytest

from fcn_jax import config as configuration
from fcn_jax.checkpoints import store
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.experiment import reading
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.models.build import build, spec_of_settings
from fcn_jax.models.fcn import channels, parameter_shapes
from fcn_jax.models.preprocessing import Preprocessing
from fcn_jax.params.paths import flatten
from fcn_jax.training import initialize
from fcn_jax.training.checks.preprocessing import check_preprocessing
from fcn_jax.training.loop import train
from tests import tiny

RULES = (("trunk.*", "hha.*"), ("head.score_pool3.*", "head.score_pool3_hha.*"))
TWO = ("runs/color", ("runs/hha", RULES))


def _config(**settings):
    """The tiny run with a net of few layers."""
    config = tiny.get_config()
    config.model.score_at = "pool3"
    for key, value in settings.items():
        config[key] = value
    return config


def _store(directory, config, *, seed, names, **record):
    """A checkpoint of random parameters, as a run of `config` would leave."""
    model = build(
        spec_of_settings(
            configuration.to_dict(config)["model"], {"semantic": len(names)}
        )
    )
    records = reading.read_preprocessing(config)
    rng = np.random.default_rng(seed)
    shapes = flatten(parameter_shapes(model, channels(records)))
    params = {
        path: rng.normal(scale=0.05, size=leaf.shape).astype(np.float32)
        for path, leaf in shapes.items()
    }
    for path in record.get("missing", ()):
        del params[path]
    palette = [[0, 0, index] for index in range(len(names))]
    stored = {
        "config": configuration.to_dict(config),
        "outputs": {"semantic": {"names": list(names), "palette": palette}},
        "preprocessing": {name: own.to_dict() for name, own in records.items()},
    }
    CheckpointStore(directory / "checkpoints").save(
        7, params=params, optimizer={}, record={**stored, **record}
    )
    return params


def _initial(config):
    """Parameters and origins that a run of `config` would start from."""
    run = Experiment.from_config(config)
    state, origins = initialize.initial_state(run, None)
    flat = {path: np.asarray(value) for path, value in flatten(state.params).items()}
    return flat, origins, run


def _names(config):
    outputs = reading.open_split(config, "train").outputs
    return outputs["semantic"].names


@pytest.mark.parametrize("value", ["", "runs/fcn32s", ("runs/a", "runs/b"), TWO])
def test_init_from_is_stored_and_read_again(value):
    """Oracle: JSON; a tuple is a tuple again, and the key stays locked."""
    config = _config(init_from=value, init_adapt=(("head.*", "classes"),))
    configuration.validate(config)
    stored = json.loads(json.dumps(configuration.to_dict(config)))
    again = configuration.from_dict(stored)
    assert again.init_from == value
    assert again.init_adapt == (("head.*", "classes"),)
    configuration.validate(again)
    assert configuration.to_dict(again) == stored


def test_checkpoints_with_their_rules():
    """Oracle: written by hand, as tuples and as the lists that JSON gives."""
    expected = (("runs/color", ()), ("runs/hha", RULES))
    lists = json.loads(json.dumps(TWO))
    for value in (TWO, lists):
        config = _config(init_from=value)
        configuration.validate(config)
        assert configuration.initial_checkpoints(config) == expected
    one = configuration.initial_checkpoints(_config(init_from="runs/x"))
    assert one == (("runs/x", ()),)
    assert configuration.initial_checkpoints(_config()) == ()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("init_from", 3),
        ("init_from", None),
        ("init_from", ()),
        ("init_from", ("runs/a", "")),
        ("init_from", ("runs/a", RULES)),
        ("init_from", (("runs/a", ("trunk.*", "hha.*")),)),
        ("init_from", (("runs/a", (("trunk.*",),)),)),
        ("init_from", (("runs/a", RULES, ()),)),
        ("init_from", (("runs/a", "ab"),)),
        ("init_new", (("head.*", "x"),)),
        ("init_unused", ("",)),
        ("init_adapt", ("head.*", "classes")),
        ("init_adapt", (("head.*", "names"),)),
        ("init_adapt", (("head.*", "classes", 1),)),
        ("init_preprocessing", "ignored"),
    ],
)
def test_malformed_starts_are_refused(key, value):
    """Oracle: the key and what is allowed, in one sentence."""
    with pytest.raises(ValueError, match=f"^config.{key} is .* it must be"):
        configuration.validate(_config(**{key: value}))


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "third_party_weights/vgg16",
            "python -m fcn_jax.convert FILE third_party_weights/vgg16 --net=vgg16; "
            "third_party_weights/README.md lists the files",
        ),
        ("runs/fcn32s", "python -m fcn_jax.main --config=fcn32s,"),
        ("runs/cvpr_table2-32s", "fcn_jax.main --config=cvpr_table2:32s,"),
        (
            "runs/nyud_fcn32s_color/checkpoints/28000",
            "python -m fcn_jax.main --config=nyud_fcn32s_color,",
        ),
        ("elsewhere/net", "check the path"),
    ],
)
def test_missing_weights_name_what_makes_them(path, words, monkeypatch, request):
    """Oracle: the two commands that make checkpoints."""
    monkeypatch.chdir(request.config.rootpath)
    sentence = initialize.missing_weights(path)
    assert words in sentence
    assert f"config.init_from is {path}, which does not exist" in sentence


VGG = (123.68, 116.779, 103.939)


def _check(before, now, *, replace=False, name="color"):
    check_preprocessing(
        {"color": Preprocessing(**before)},
        {name: Preprocessing(**now)},
        "there",
        replace=replace,
    )


OTHER_KINDS = {
    "scale": ({"mean": VGG}, {"mean": VGG, "scale": 1 / 64}, "scale is 0.015625 here"),
    "logarithm": (
        {"mean": (7.8,), "logarithm": True},
        {"mean": (7.8,)},
        "logarithm is False here, True there",
    ),
    "unit range": ({"mean": VGG}, {"mean": (0.48, 0.46, 0.41)}, "more than 40 apart"),
    "one channel": ({"mean": VGG}, {"mean": (VGG[0] - 41, *VGG[1:])}, "more than 40"),
    "BGR": ({"mean": VGG}, {"mean": (104.007, 116.669, 122.679)}, "order BGR"),
    "metres": (
        {"mean": (7.844,), "logarithm": True},
        {"mean": (0.936,), "logarithm": True},
        "more than 1 apart",
    ),
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_another_kind_of_image_is_refused_unless_it_is_meant(kind, caplog):
    """Oracle: mistakes written by hand; the sentence says what differs and the key."""
    before, now, words = OTHER_KINDS[kind]
    with pytest.raises(ValueError, match="init_preprocessing=replace") as error:
        _check(before, now)
    assert words in str(error.value)
    assert "config.preprocessing.color" in str(error.value)
    with caplog.at_level(logging.WARNING, logger="absl"):
        _check(before, now, replace=True)
    assert words in caplog.text


@pytest.mark.parametrize(
    "mean",
    [
        (122.67891434, 116.66876762, 104.00698793),
        (108.353, 115.294, 114.578),  # SIFT Flow's in the reference
        (93.7, 140, 100),
    ],
)
def test_a_mean_of_ones_own_is_logged(mean, caplog):
    """Oracle: both means in the warning; nothing for the same mean or other inputs."""
    with caplog.at_level(logging.WARNING, logger="absl"):
        _check({"mean": VGG}, {"mean": VGG, "origin": "other words"})
        _check({"mean": VGG}, {"mean": (1.0,), "scale": 9.0}, name="grey")
        assert not caplog.text
        _check({"mean": VGG}, {"mean": mean})
    assert f"mean {mean} instead of {VGG}" in caplog.text


def test_an_input_of_other_channels_is_logged(caplog):
    """Oracle: a grey picture under the colour's name; means cannot be compared."""
    with caplog.at_level(logging.WARNING, logger="absl"):
        _check({"mean": VGG}, {"mean": (0.5,)})
    assert "mean (0.5,)" in caplog.text


@pytest.fixture(scope="module")
def two_nets(tmp_path_factory):
    """Two one-stream nets, their parameters, and a late-fused run that uses them."""
    folder = tmp_path_factory.mktemp("nets")
    own = _config()
    params = [
        _store(folder / name, own, seed=seed, names=_names(own))
        for seed, name in enumerate(("color", "hha"))
    ]
    rules = [
        (("trunk.*", f"{name}.*"), ("head.score_pool3.*", f"head.score_pool3_{name}.*"))
        for name in ("color", "hha")
    ]
    config = _config(
        recipe="fine-tune",
        init_from=(
            (str(folder / "color"), rules[0]),
            (str(folder / "hha"), rules[1]),
        ),
    )
    config.model.streams = type(config)({"color": ("color",), "hha": ("color",)})
    return folder, params, config.lock()


def test_late_fusion_starts_from_two_checkpoints(two_nets):
    """Oracle: the stored arrays, bit for bit; each origin is its own directory."""
    folder, (color, hha), config = two_nets
    found, origins, _ = _initial(config)
    assert len(found) == len(color) + len(hha)
    for name, stored in (("color", color), ("hha", hha)):
        for path, value in stored.items():
            target = path.replace("trunk.", f"{name}.")
            target = target.replace("score_pool3.", f"score_pool3_{name}.")
            np.testing.assert_array_equal(found[target], value)
            assert origins[target] == str(folder / name / "checkpoints" / "7")


@pytest.mark.slow
def test_a_run_starts_from_two_checkpoints(two_nets, tmp_path):
    """Oracle: the run's own table and record; a rate of next to nothing keeps them."""
    folder, (color, _), config = two_nets
    with config.unlocked():
        config.steps = 1
        config.optimizer.learning_rate = 1e-30
        config.optimizer.weight_decay = 0.0
        config.checks.learning_rate = False
    train(Experiment.from_config(config), tmp_path / "run")
    found = store.load(tmp_path / "run")
    np.testing.assert_array_equal(
        found.params["color.conv1_1.kernel"], color["trunk.conv1_1.kernel"]
    )
    record = configuration.from_dict(found.record["config"])
    assert record.init_from == config.init_from
    table = (tmp_path / "run" / "parameters.txt").read_text()
    for name in ("color", "hha"):
        line = next(
            row for row in table.splitlines() if row.startswith(f"{name}.conv3_3")
        )
        assert line.endswith(str(folder / name / "checkpoints" / "7"))
    assert "initialised" not in table


@pytest.mark.slow
def test_wrong_rules_name_the_checkpoint(two_nets):
    """Oracle: a rule that matches nothing, of the second checkpoint."""
    folder, _, config = two_nets
    first, second = config.init_from
    broken = config.copy_and_resolve_references()
    with broken.unlocked():
        broken.init_from = (first, (second[0], (("trunc.*", "hha.*"),)))
    with pytest.raises(ValueError, match="trunc.*apply to no parameter") as error:
        _initial(broken)
    assert f"config.init_from, {folder / 'hha'}" in str(error.value)


def test_missing_one_of_two_checkpoints(two_nets):
    """Oracle: the path that does not exist is the one that is named."""
    folder, _, config = two_nets
    broken = config.copy_and_resolve_references()
    with broken.unlocked():
        broken.init_from = (config.init_from[0], "runs/nothing")
    with pytest.raises(ValueError, match="config.init_from is runs/nothing, which"):
        _initial(broken)


@pytest.mark.slow
def test_a_subset_of_the_classes_is_taken_by_name(tmp_path):
    """Oracle: columns picked by hand; the origin says which classes were used."""
    own = _names(_config())
    names = ("unknown", own[2], own[0], own[1])
    stored = _store(tmp_path / "four", _config(), seed=3, names=names)
    config = _config(init_from=str(tmp_path / "four"))
    with pytest.raises(ValueError, match="config.init_adapt"):
        _initial(config)
    config.init_adapt = (("head.score_*", "classes"),)
    found, origins, _ = _initial(config)
    for path in ("head.score_pool3.kernel", "head.score_pool3.bias"):
        np.testing.assert_array_equal(found[path], stored[path][..., [2, 3, 1]])
        assert origins[path].endswith("checkpoints/7 (classes 1-3 of 4)")


@pytest.mark.slow
def test_classes_in_another_order_are_refused(tmp_path):
    """Oracle: the rule, with equal counts; a layer keeps its classes when renamed."""
    own = _names(_config())
    _store(tmp_path / "turned", _config(), seed=3, names=own[::-1])
    config = _config(init_from=str(tmp_path / "turned"))
    words = f"class 0 is '{own[2]}' there, '{own[0]}' here"
    with pytest.raises(ValueError, match=words):
        _initial(config)
    config.model.streams = type(config)({"color": ("color",), "grey": ("color",)})
    rules = (("trunk.*", "grey.*"), ("*_pool3.*", "*_pool3_grey.*"))
    config.init_from = ((str(tmp_path / "turned"), rules),)
    config.init_new = ("color.*", "head.*_color.*")
    with pytest.raises(ValueError, match=words) as error:
        _initial(config)
    assert "head.score_pool3_grey.bias scores other classes" in str(error.value)


@pytest.mark.slow
def test_a_partial_classifier_says_so(tmp_path):
    """Oracle: the missing path; with a fresh layer, the check of the trunk."""
    lost = ["trunk.conv3_3.kernel", "trunk.conv3_3.bias"]
    _store(
        tmp_path / "partial",
        _config(),
        seed=3,
        names=("x",),
        network="classifier",
        categories=["x"],
        outputs={},
        missing=lost,
    )
    config = _config(
        recipe="fine-tune",
        init_from=str(tmp_path / "partial"),
        init_new=("head.*",),
    )
    with pytest.raises(
        ValueError, match="converted without trunk.conv3_3.kernel, trunk"
    ):
        _initial(config)
    config.init_new = ("head.*", "trunk.conv3_3.*")
    with pytest.raises(ValueError, match="2 parameters of the trunk are untrained"):
        _initial(config)


@pytest.mark.slow
def test_another_scale_is_refused_before_training(tmp_path):
    """Oracle: the key that insists; insisting lets the run start."""
    _store(tmp_path / "net", _config(), seed=3, names=_names(_config()))
    config = _config(init_from=str(tmp_path / "net"))
    config.preprocessing.color.scale = 1.0
    with pytest.raises(ValueError, match="scale is 1 here, 0.015625 there"):
        _initial(config)
    config.init_preprocessing = "replace"
    _, origins, run = _initial(config)
    assert run.preprocessing["color"].scale == 1.0
    assert "initialised" not in origins.values()
