"""What a command line means, read in this process."""

from pathlib import Path

import pytest

from fcn_jax.launch.flags import parse, usage

TINY = f"--config={Path(__file__).parents[1] / 'tiny.py'}"


def test_flags_and_overrides():
    """Oracle: by hand; defaults are the experiment's."""
    command = parse(
        [
            *("--workdir=a", TINY, "--config.data.crop=(24,32)", "--mode=evaluate"),
            *("--config.steps", "3", "--noconfig.data.mirror", "--config.seed=9"),
            *("--checkpoint=c", "--split=s", "--config.init_from=runs/x"),
        ]
    )
    assert command.config.data.crop == (24, 32)
    assert (command.config.steps, command.config.seed) == (3, 9)
    assert command.config.data.mirror is False
    assert command.config.init_from == "runs/x"
    assert command.config.is_locked
    assert command.experiment.file.name == "tiny.py"
    assert (command.workdir, command.mode) == ("a", "evaluate")
    assert (command.checkpoint, command.split) == ("c", "s")
    again = parse([TINY])
    assert again.config.data.crop == (0, 0)
    assert (again.workdir, again.mode, again.split) == ("", "train", "")


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        ("--config.data.crop=(1,2) --config.data.crop=(3,4)", "data.crop", (3, 4)),
        ("--config.data.crop (1,2) --config.data.crop (3,4)", "data.crop", (3, 4)),
        ("-config.data.crop=(1,2) --config.data.crop=(3,4)", "data.crop", (3, 4)),
        (
            "--config.data.classes=a --config.steps=2 --config.data.classes=('b',)",
            "data.classes",
            ("b",),
        ),
        ("--config.init_new=('a',) --config.init_new=()", "init_new", ()),
        ("--config.steps=5 --config.steps=7", "steps", 7),
        ("--config.data.mirror --noconfig.data.mirror", "data.mirror", False),
        (
            "--config.data.mirror --config.steps=3 --config.data.mirror=False",
            "data.mirror",
            False,
        ),
        ("--config.model.dropout_rate -1 --config.steps=2", "model.dropout_rate", -1.0),
    ],
)
def test_of_a_flag_given_twice_the_last_holds(words, key, value):
    """Oracle: the last value; other flags between them keep theirs."""
    command = parse([TINY, *words.split()])
    section, _, name = key.rpartition(".")
    found = command.config[section] if section else command.config
    assert found[name] == value
    steps = [word for word in words.split() if word.startswith("--config.steps=")]
    if steps:
        assert command.config.steps == int(steps[-1].partition("=")[2])


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("learning_rate=0.1", "did you mean --config.optimizer.learning_rate?"),
        ("learning_rate=False", "did you mean --config.checks.learning_rate?"),
        ("optimizer.learning_rat=1", "did you mean --config.optimizer.learning_rate?"),
        ("lerning_rate=0.1", "did you mean --config.optimizer.learning_rate?"),
        ("stepz=3", "did you mean --config.steps?"),
        ("width=2", "did you mean --config.model.width?"),
        ("every=3", "--config.checkpoint.every or --config.evaluation.every or"),
        ("model.batch_size=3", "--config.batch_size or --config.evaluation.batch_size"),
        ("folder=x", "did you mean --config.data.folder?"),
        ("zzz=1", "fcn_jax/config.py lists all keys"),
    ],
)
def test_a_wrong_key_names_the_right_one(word, meant):
    """Oracle: the key of the same or nearest name, whatever its section."""
    with pytest.raises(ValueError, match="the experiment has no key") as caught:
        parse([TINY, f"--config.{word}"])
    assert meant in str(caught.value)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--workdir=x"], "--config is missing"),
        (["--confg=x"], "confg"),
        ([TINY, "train"], "'train'. is not a flag"),
        ([TINY, "--mode=test"], "train|evaluate"),
        ([TINY, "--workdir"], "workdir"),
        ([TINY, "--config.steps=many"], "steps"),
        ([TINY, "--config.model.stride=(8,)"], "stride"),
        ([TINY, "--config.data.crop=(1,"], "crop"),
        (["--config"], "there is no experiment"),
    ],
)
def test_mistakes(words, sentence):
    """Oracle: the sentence has the words."""
    with pytest.raises(ValueError, match=sentence):
        parse(words)


def test_the_usage_tells_every_flag():
    """Oracle: the flags that `parse` takes."""
    text = usage("What it is.")
    for flag in ("config", "workdir", "mode", "checkpoint", "split", "debug"):
        assert f"  --{flag}\n" in text
    assert text.startswith("What it is.\n")


@pytest.mark.parametrize("flag", ["workdir", "checkpoint", "split"])
@pytest.mark.parametrize("form", ["--{}=", "-{}="])
def test_an_empty_value_is_not_the_default(flag, form):
    """Oracle: refused; --workdir=$UNSET would train in another run's directory."""
    with pytest.raises(ValueError, match=f"--{flag} is given and empty"):
        parse([TINY, form.format(flag)])
    with pytest.raises(ValueError, match=f"--{flag} is given and empty"):
        parse([f"--{flag}", "", TINY])


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("batch_size=abc", "config.batch_size is 'abc'; it must be a whole number"),
        ("batch_size=2.5", "config.batch_size is '2.5'; it must be a whole number"),
        (
            "data.mirror=maybe",
            "config.data.mirror is 'maybe'; it must be True or False",
        ),
        ("model.width=thin", "config.model.width is 'thin'; it must be a number"),
    ],
)
def test_a_value_of_another_type_is_told_with_its_key(word, sentence):
    """Oracle: the key, the value as given, and the type of the default, by hand."""
    with pytest.raises(ValueError) as caught:
        parse([TINY, f"--config.{word}"])
    assert str(caught.value).startswith(sentence)
