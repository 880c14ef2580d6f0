"""Learning rates that cannot train are refused, and the advice is the right way."""

import re

import pytest

from fcn_jax.training.checks.rates import check_learning_rate

REFERENCE = {
    "optimizer": "caffe_sgd",
    "learning_rate": 1e-10,
    "momentum": 0.99,
    "reduction": "sum",
    "valid_pixels": 187_500,
}
DECADES = [10.0**exponent for exponent in range(-20, 13)]


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"learning_rate": 1e-14},
        {"learning_rate": 1e-4, "momentum": 0.9, "reduction": "mean"},
        {"learning_rate": 0.1, "momentum": 0.9, "reduction": "mean"},
        {"learning_rate": 1e-3, "optimizer": "adam"},
        {"learning_rate": 1e-5, "optimizer": "adamw", "reduction": "mean"},
        {"valid_pixels": 0},
    ],
)
def test_rates_of_the_papers_pass(change):
    """Oracle: the solvers of the reference, and usual rates of the others."""
    check_learning_rate(**{**REFERENCE, **change})


@pytest.mark.parametrize("optimizer", ["caffe_sgd", "sgd"])
def test_rate_of_a_mean_loss_on_a_sum_is_refused(optimizer):
    """Oracle: by hand; 1e-4 * 187,500 / 0.01 = 1,875, and 1e-10 is recommended."""
    settings = {**REFERENCE, "optimizer": optimizer, "learning_rate": 1e-4}
    with pytest.raises(
        ValueError,
        match=r"by 1.87e\+03.*lower it to about 1.0e-10.*reduction=mean.*learning_rate=F",
    ):
        check_learning_rate(**settings)


@pytest.mark.parametrize("optimizer", ["caffe_sgd", "sgd"])
def test_rate_of_a_sum_on_a_mean_loss_is_refused(optimizer):
    """Oracle: by hand; 1.9e-3 * 0.01 = 1.9e-5 is recommended."""
    settings = {**REFERENCE, "optimizer": optimizer, "reduction": "mean"}
    with pytest.raises(
        ValueError, match=r"raise it to about 1.9e-05.*reduction=sum.*learning_rate=F"
    ):
        check_learning_rate(**settings)


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_the_inherited_rate_of_an_adaptive_optimiser_is_refused(optimizer, reduction):
    """Oracle: 1e-10 in each of 100,000 updates moves a weight by 1e-5 at most."""
    settings = {**REFERENCE, "optimizer": optimizer, "reduction": reduction}
    with pytest.raises(
        ValueError, match=r"raise it to about 1.0e-04.*name=caffe_sgd.*learning_rate=F"
    ):
        check_learning_rate(**settings)


@pytest.mark.parametrize("optimizer", ["caffe_sgd", "sgd", "adam", "adamw"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
@pytest.mark.parametrize("pixels", [1, 1000, 10**7])
def test_advice_over_many_decades(optimizer, reduction, momentum, pixels):
    """Oracle: order; what is refused lies outside one interval, and each remedy passes."""
    settings = {
        "optimizer": optimizer,
        "momentum": momentum,
        "reduction": reduction,
        "valid_pixels": pixels,
    }
    verdicts = []
    for rate in DECADES:
        refusal = _refusal(**settings, learning_rate=rate)
        if not refusal:
            verdicts.append("good")
            continue
        found = re.search(r"(raise|lower) it to about (\S+),", refusal)
        assert found, refusal
        verdicts.append(found[1])
        advised = float(found[2])
        assert (advised > rate) == (found[1] == "raise")
        check_learning_rate(**settings, learning_rate=advised)
        other = dict(re.findall(r"--config\.\w+\.(name|reduction)=(\w+)", refusal))
        if other:
            changed = {"optimizer": other.pop("name", optimizer), **other}
            check_learning_rate(**{**settings, **changed}, learning_rate=rate)
    assert sorted(verdicts, key=["raise", "good", "lower"].index) == verdicts
    assert set(verdicts) == {"raise", "good", "lower"}


def _refusal(**settings) -> str:
    """What the check says, "" if it lets the rate through."""
    try:
        check_learning_rate(**settings)
    except ValueError as error:
        return str(error)
    return ""
