"""When does transfer pay? CamVid from scratch against trunks that learnt Imagenette.

    python -m fcn_jax.data prepare camvid --source=DIR
    python -m fcn_jax.ablate --config=experiments/chains/transfer.py:camvid,imagenette=DIR
    python -m fcn_jax.ablate --config=experiments/chains/transfer.py:camvid,trunks=DIR

1. The three classifiers learn Imagenette (`experiments/imagenette_*.py:small`), which DIR
   holds as train/<class>/ and val/<class>/; or `trunks=DIR` names the work directories of
   trained ones, DIR/alexnet, DIR/vgg16 and DIR/googlenet.
2. Check: an FCN-8s of each trunk learns four pictures by heart; its score is on these.
3. A few classes first: Road, Sky and Building against the rest.
4. All 11 classes.
5. The data curve: 10, 30 and 100 of the 367 labelled pictures, all 11 classes.

In 3 to 5 each net starts from scratch and from its trunk, with three seeds and the same
recipe: updates, rate, preprocessing, windows. All seeds start from one trunk, so that
intervals are over fine-tuning alone. The best network on val is scored on test, once.
`data_dir=DIR` says where CamVid was prepared.
"""

from pathlib import Path

from fcn_jax.chains.chain_file import experiment_config
from fcn_jax.chains.records import (
    Chain,
    Comparison,
    Curve,
    DataCurve,
    DataLine,
    Stage,
    Table,
)
from fcn_jax.config import Config

TRUNKS = {"alexnet": "AlexNet", "vgg16": "VGG16", "googlenet": "GoogLeNet"}
SIZE = "small"  # of the classifiers and of the CamVid recipe

SEEDS = (0, 1, 2)
LEARNING_RATE = 5e-4
CHECK_STEPS = 100
FEW_STEPS = 450
ALL_STEPS = 900  # of the data curve too
EVALUATIONS = 6  # in a run

FEW_CLASSES = ("Road", "Sky", "Building")
CHECK_PICTURES = 4
ALL_PICTURES = 367
FEWER_PICTURES = (10, 30, 100)
CURVE_TRUNK = "alexnet"

IMAGENETTE = "data/imagenette160"
EXPERIMENTS = Path(__file__).parents[1]
OPTIONS = ("imagenette", "trunks", "data_dir")
STARTS = {"scratch": "from scratch", "pretrained": "from Imagenette"}


def get_chain(argument: str = "camvid") -> Chain:
    options = _options(argument)
    trunks = {name: _classifier(name, options) for name in TRUNKS}
    stages = (
        []
        if "trunks" in options
        else [_trunk_stage(name, trunks[name]) for name in trunks]
    )
    stages += [_check(name, trunks[name], options) for name in trunks]
    few = {"classes": FEW_CLASSES}
    for name in trunks:
        stages += _pair("few", name, trunks[name], options, FEW_STEPS, few)
    for name in trunks:
        stages += _pair("all", name, trunks[name], options, ALL_STEPS, {})
    for count in FEWER_PICTURES:
        own = trunks[CURVE_TRUNK]
        part = _part(count)
        stages += _pair(part, CURVE_TRUNK, own, options, ALL_STEPS, {"limit": count})
    return Chain(
        name="transfer",
        title="CamVid, from scratch and from Imagenette",
        stages=tuple(stages),
        tables=_tables([stage.name for stage in stages]),
        curves=_curves(),
    )


def _options(argument: str) -> dict[str, str]:
    """The options after the data set, by name."""
    data, *given = argument.split(",")
    named = dict(option.partition("=")[::2] for option in given)
    if data != "camvid" or not named.keys() <= set(OPTIONS) or "" in named.values():
        raise ValueError(
            f"transfer:{argument} does not exist; write transfer:camvid, then any of "
            f"{', '.join(f',{name}=DIR' for name in OPTIONS)}"
        )
    return named


def _classifier(name: str, options: dict[str, str]) -> Config:
    """The configuration with which a trunk learns, or has learnt."""
    if "trunks" in options:
        return experiment_config(Path(options["trunks"]) / name / "config.json")
    config = experiment_config(EXPERIMENTS / f"imagenette_{name}.py", SIZE)
    with config.unlocked():
        config.data.folder = options.get("imagenette", IMAGENETTE)
    return config


def _trunk_stage(name: str, classifier: Config) -> Stage:
    return Stage(f"imagenette-{name}", classifier, seeds=(0,), metric="top1")


def _fcn(classifier: Config, options: dict[str, str], steps: int) -> Config:
    """FCN-8s of a trunk on CamVid, unlocked."""
    config = experiment_config(EXPERIMENTS / "camvid_fcn8s.py", SIZE).unlock()
    for key in ("backbone", "width", "order", "normalization"):
        config.model[key] = classifier.model[key]
    config.preprocessing = classifier.preprocessing.copy_and_resolve_references()
    config.optimizer.multipliers = classifier.optimizer.multipliers
    config.optimizer.learning_rate = LEARNING_RATE
    config.data.data_dir = options.get("data_dir", "")
    config.steps = steps
    config.evaluation.every = max(1, steps // EVALUATIONS)
    config.checkpoint.every = config.evaluation.every
    config.evaluation.pictures = 2
    return config


def _check(name: str, classifier: Config, options: dict[str, str]) -> Stage:
    """Whether an FCN of the trunk can learn four pictures by heart."""
    config = _fcn(classifier, options, CHECK_STEPS)
    config.data.limit = CHECK_PICTURES
    config.data.eval_split = "train"  # of which these are left
    config.data.allow_overlap = True
    config.data.mirror = False
    return Stage(f"check-{name}", config.lock(), seeds=(0,))


def _pair(
    part: str,
    name: str,
    classifier: Config,
    options: dict[str, str],
    steps: int,
    data: dict,
) -> list[Stage]:
    """The same net from scratch, and from its trunk."""
    found = []
    for start in STARTS:
        config = _fcn(classifier, options, steps)
        config.data.update(data)
        init_from = ""
        if start == "pretrained":
            config.recipe = "fine-tune"
            config.init_new = ("head.*",)
            config.init_unused = ("*fc8*", "*loss*")
            if "trunks" in options:
                config.init_from = str((Path(options["trunks"]) / name).absolute())
            else:
                init_from = f"imagenette-{name}"
        found.append(
            Stage(
                f"{part}-{name}-{start}",
                config.lock(),
                seeds=SEEDS,
                init_from=init_from,
                test_split="test",
            )
        )
    return found


def _part(count: int) -> str:
    return "all" if count == ALL_PICTURES else f"n{count}"


def _names(part: str, trunks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{part}-{name}-{start}" for name in trunks for start in STARTS)


def _table(title: str, part: str, trunks: tuple[str, ...]) -> Table:
    comparisons = [Comparison(TRUNKS[name], *_names(part, (name,))) for name in trunks]
    return Table(title, _names(part, trunks), tuple(comparisons))


def _tables(stages: list[str]) -> tuple[Table, ...]:
    classifiers = tuple(name for name in stages if name.startswith("imagenette-"))
    parts = {
        f"{count} pictures, all 11 classes": _part(count) for count in FEWER_PICTURES
    }
    return (
        *([Table("Classifiers on Imagenette", classifiers)] if classifiers else []),
        Table("Four pictures by heart", tuple(f"check-{name}" for name in TRUNKS)),
        _table("Road, Sky and Building against the rest", "few", tuple(TRUNKS)),
        _table("All 11 classes, all 367 pictures", "all", tuple(TRUNKS)),
        *(_table(title, part, (CURVE_TRUNK,)) for title, part in parts.items()),
    )


def _curves() -> tuple[Curve | DataCurve, ...]:
    counts = (*FEWER_PICTURES, ALL_PICTURES)
    lines = tuple(
        DataLine(
            label,
            tuple((count, f"{_part(count)}-{CURVE_TRUNK}-{start}") for count in counts),
        )
        for start, label in STARTS.items()
    )
    titles = {"few": "Three classes", "all": "All 11 classes"}
    return (
        *(
            Curve(f"{title}, {TRUNKS[name]}", _names(part, (name,)))
            for part, title in titles.items()
            for name in TRUNKS
        ),
        DataCurve(f"Labelled pictures, {TRUNKS[CURVE_TRUNK]}", lines),
    )
