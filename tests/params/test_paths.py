"""Dotted paths and ordered rule tables."""

import pytest

from fcn_jax.params.paths import first_match, flatten, match_all, unflatten

TREE = {"trunk": {"conv1": {"kernel": 1, "bias": 2}}, "head": {"upscore2": 3}}
PATHS = ["trunk.conv1.kernel", "trunk.conv1.bias", "head.upscore2"]


def test_flatten_and_unflatten_are_inverse():
    """Oracle: by hand."""
    flat = flatten(TREE)
    assert flat == dict(zip(PATHS, (1, 2, 3), strict=True))
    assert unflatten(flat) == TREE
    assert flatten({}) == unflatten({}) == {}


def test_first_match_is_the_first_in_order_over_the_whole_path():
    """Oracle: by hand; a glob matches the whole path, case and all."""
    assert first_match("trunk.conv1.bias", ["*.kernel", "*.bias", "*"]) == "*.bias"
    assert first_match("trunk.conv1.bias", ["*", "*.bias"]) == "*"
    assert first_match("trunk.conv1.bias", ["conv1.*", "trunk"]) is None
    assert first_match("trunk.conv1.bias", ["*.Bias"]) is None
    assert first_match("trunk.conv1.bias", ["trunk.conv[12].bias"]) is not None


def test_match_all_takes_the_first_rule():
    """Oracle: by hand."""
    rules = [("head.*", "frozen"), ("*.bias", "twice"), ("*", "once")]
    values = match_all(PATHS, rules, "the rate")
    assert values == dict(zip(PATHS, ("once", "twice", "frozen"), strict=True))


def test_uncovered_parameter_is_refused():
    """Oracle: the message names the parameter, the purpose and the patterns."""
    with pytest.raises(ValueError, match=r"the rate matches.*'head.upscore2'.*trunk"):
        match_all(PATHS, [("trunk.*", 1)], "the rate")


@pytest.mark.parametrize(
    "rules",
    [
        [("*.kernell", 0), ("*", 1)],
        [("*", 1), ("*.kernell", 0)],
        [("*.bias", 2), ("*", 1), ("*.conv1.bias", 0)],
    ],
)
def test_idle_rule_is_refused(rules):
    """Oracle: a rule that is misspelt, or hidden behind an earlier one."""
    idle = next(p for p, _ in rules if "kernell" in p or "conv1" in p)
    with pytest.raises(ValueError, match="for the rate apply to no parameter") as error:
        match_all(PATHS, rules, "the rate")
    assert idle in str(error.value)
