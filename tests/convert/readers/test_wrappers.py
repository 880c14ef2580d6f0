"""Names without the prefixes of wrappers."""

import pytest

from fcn_jax.convert.readers.wrappers import unwrapped

NAMES = ["features.0.weight", "features.0.bias", "classifier.6.weight"]


@pytest.mark.parametrize(
    "prefix",
    [
        *("module.", "_orig_mod.", "model.", "encoder.", "net.", "state_dict."),
        *("module._orig_mod.", "_orig_mod.module.", "state_dict.model.encoder."),
        *("model.net.module.", ""),
    ],
)
def test_prefixes_are_dropped(prefix):
    """Oracle: the names before they got the prefix."""
    wrapped = [f"{prefix}{name}" for name in NAMES]
    assert unwrapped(wrapped) == dict(zip(wrapped, NAMES, strict=True))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (
            ["encoder.conv1_1.weight", "encoder.fc6.bias", "decoder.up.weight"],
            ["conv1_1.weight", "fc6.bias", "decoder.up.weight"],
        ),
        (
            ["model.features.0.weight", "criterion.weight"],
            ["features.0.weight", "criterion.weight"],
        ),
        (
            ["module.model.features.0.weight", "module.loss.weight"],
            ["features.0.weight", "loss.weight"],
        ),
        # Two nets: nothing tells which is meant.
        (["net.conv1_1.weight", "model.conv1_1.weight"], None),
        # Without the prefix two names would be one.
        (["net.conv1_1.weight", "net.a", "a"], None),
        # Words that no wrapper puts there.
        (["student.conv1_1.weight", "teacher.a"], None),
        (["module.a", "b"], None),
        (["modules.features.0.weight"], None),
    ],
)
def test_a_prefix_of_some_names(names, expected):
    """Oracle: typed here; where a guess would be needed the names stay."""
    assert list(unwrapped(names).values()) == (expected or names)
