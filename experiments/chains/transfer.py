"""When does transfer pay? From scratch against trunks that learnt Imagenette.

    python -m fcn_jax.ablate --config=experiments/chains/transfer.py:camvid,imagenette=DIR
    python -m fcn_jax.ablate --config=experiments/chains/transfer.py:camvid,trunks=package
    python -m fcn_jax.ablate --config=experiments/chains/transfer.py:folder=FOLDER,trunks=DIR

1. The three classifiers learn Imagenette (`experiments/imagenette_*.py:small`), which DIR
   holds as train/<class>/ and val/<class>/. `trunks=DIR` names the work directories of
   trained ones in place of that: those of alexnet, vgg16 and googlenet that DIR has.
   `trunks=package` takes the trunk that comes with the package.
2. Check: an FCN-8s of each trunk learns four pictures by heart; its score is on these.
3. CamVid, a few classes first: Road, Sky and Building against the rest.
4. All classes.
5. The data curve: fewer of the labelled pictures, all classes.

In 3 to 5 each net starts from scratch and from its trunk, with three seeds and the same
recipe: updates, rate, preprocessing, windows. All seeds start from one trunk, so that
intervals are over fine-tuning alone. CamVid's best network on val is scored on test, once:
val has the frames between those of train, and test has a drive of its own.

`data_dir=DIR` says where CamVid was prepared (`python -m fcn_jax.data prepare camvid`).
In the place of `camvid`, `procedural` is the set of `quickstart.py`, and `folder=FOLDER` a
data set of your own, or mosaics of photographs (`python -m fcn_jax.data mosaics`); their
scores are on val.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
from fcn_jax.data.folder.source import open_folder
from fcn_jax.launch.classifier_start import (
    PACKAGED,
    start_anew,
    start_from,
    take_trunk,
)

TRUNKS = {"alexnet": "AlexNet", "vgg16": "VGG16", "googlenet": "GoogLeNet"}
SIZE = "small"  # of the classifiers and of the recipes

SEEDS = (0, 1, 2)
CHECK_STEPS = 300
FEW_STEPS = 300
ALL_STEPS = 600  # of the data curve too
EVALUATIONS = 6  # in a run

FEW_CLASSES = ("Road", "Sky", "Building")
CHECK_PICTURES = 4
CAMVID_PICTURES = 367
FEWER_PICTURES = (10, 30, 100)
CURVE_TRUNKS = ("googlenet", "vgg16", "alexnet")  # the first that there is

VARIED = {"data.color": (0.3, 0.3, 0.3), "data.scale": (0.5, 2.0)}
WINDOW = 96  # pixels, of procedural pictures, which have at most so many

IMAGENETTE = "data/imagenette160"
EXPERIMENTS = Path(__file__).parents[1]
OPTIONS = ("imagenette", "trunks", "data_dir")
STARTS = {"scratch": "from scratch", "pretrained": "from Imagenette"}


@dataclass(frozen=True)
class Task:
    """What is learnt.

    Attributes:
        title: of the chain.
        config: of its experiment.
        pictures: labelled ones.
        few: classes that come first; () leaves that out.
        test_split: scored at the end; "" is none.
        starts: name of a trunk -> its checkpoint; "" where the chain trains it.
    """

    title: str
    config: Config
    pictures: int
    few: tuple[str, ...] = ()
    test_split: str = ""
    starts: Mapping[str, str] = field(default_factory=dict)

    @property
    def curve_trunk(self) -> str:
        """The trunk of the data curve."""
        return next(name for name in CURVE_TRUNKS if name in self.starts)

    @property
    def fewer(self) -> tuple[int, ...]:
        """Numbers of pictures in the data curve, below all of them."""
        return tuple(count for count in FEWER_PICTURES if count < self.pictures)


def get_chain(argument: str = "camvid") -> Chain:
    task, options = _parsed(argument)
    trunks = {
        name: _classifier(name, start, options) for name, start in task.starts.items()
    }
    stages = [
        _trunk_stage(name, trunks[name]) for name in trunks if not task.starts[name]
    ]
    stages += [_check(name, trunks[name], task) for name in trunks]
    few = {"classes": task.few}
    for name in trunks if task.few else ():
        stages += _pair("few", name, trunks[name], task, FEW_STEPS, few)
    for name in trunks:
        stages += _pair("all", name, trunks[name], task, ALL_STEPS, {})
    for count in task.fewer:
        limit = {"limit": count}
        name = task.curve_trunk
        stages += _pair(f"n{count}", name, trunks[name], task, ALL_STEPS, limit)
    return Chain(
        name="transfer",
        title=task.title,
        stages=tuple(stages),
        tables=_tables([stage.name for stage in stages], task),
        curves=_curves(task),
    )


def _parsed(argument: str) -> tuple[Task, dict[str, str]]:
    """The task, and the options after it, by name."""
    data, *given = argument.split(",")
    named = dict(option.partition("=")[::2] for option in given)
    kind, _, folder = data.partition("=")
    known = data in ("camvid", "procedural") or (kind == "folder" and folder)
    if not known or not named.keys() <= set(OPTIONS) or "" in named.values():
        raise ValueError(
            f"transfer:{argument} does not exist; write transfer:camvid, "
            "transfer:procedural or transfer:folder=FOLDER, then any of "
            f"{', '.join(f',{name}=DIR' for name in OPTIONS)}"
        )
    if data == "camvid":
        task = _camvid(named)
    else:
        task = _folder(folder) if folder else _procedural()
    return replace(task, starts=_starts(named.get("trunks", ""))), named


def _starts(given: str) -> dict[str, str]:
    """Checkpoint of each trunk; "" where the chain trains it."""
    if given == "package":
        return {"googlenet": PACKAGED}
    if not given:
        return dict.fromkeys(TRUNKS, "")
    runs = {name: Path(given, name).absolute() for name in TRUNKS}
    found = {name: str(run) for name, run in runs.items() if run.is_dir()}
    if not found:
        raise ValueError(
            f"trunks={given} holds no work directory {', '.join(TRUNKS)}; name the "
            "directory that has them, or write trunks=package"
        )
    return found


def _camvid(options: Mapping[str, str]) -> Task:
    config = experiment_config(EXPERIMENTS / "camvid_fcn8s.py", "pretrained")
    with config.unlocked():
        config.data.data_dir = options.get("data_dir", "")
    title = "CamVid, from scratch and from Imagenette"
    return Task(title, config, CAMVID_PICTURES, FEW_CLASSES, "test")


def _procedural() -> Task:
    config = experiment_config(EXPERIMENTS / "quickstart.py")
    with config.unlocked():
        config.data.crop = (WINDOW, WINDOW)  # which a random scale needs
    title = "Procedural pictures, from scratch and from Imagenette"
    return Task(title, config, config.synthetic.train_length)


def _folder(folder: str) -> Task:
    config = experiment_config(EXPERIMENTS / "folder.py", f"{folder},{SIZE}")
    pictures = len(open_folder(folder, config.data.train_split))
    title = f"{Path(folder).name}, from scratch and from Imagenette"
    return Task(title, config, pictures)


def _classifier(name: str, start: str, options: Mapping[str, str]) -> Config:
    """The configuration with which a trunk learns, or has learnt."""
    if start and start != PACKAGED:
        return experiment_config(Path(start) / "config.json")
    config = experiment_config(EXPERIMENTS / f"imagenette_{name}.py", SIZE)
    with config.unlocked():
        config.data.folder = options.get("imagenette", IMAGENETTE)
    return config


def _trunk_stage(name: str, classifier: Config) -> Stage:
    return Stage(f"imagenette-{name}", classifier, seeds=(0,), metric="top1")


def _fcn(classifier: Config, task: Task, steps: int) -> Config:
    """FCN-8s of a trunk on the task, unlocked."""
    config = task.config.copy_and_resolve_references().unlock()
    start_anew(config)
    take_trunk(config, classifier)
    config.update_from_flattened_dict(VARIED)
    config.steps = steps
    config.evaluation.every = max(1, steps // EVALUATIONS)
    config.checkpoint.every = config.evaluation.every
    config.evaluation.pictures = 2
    return config


def _check(name: str, classifier: Config, task: Task) -> Stage:
    """Whether an FCN of the trunk can learn four pictures by heart."""
    config = _fcn(classifier, task, CHECK_STEPS)
    config.data.limit = CHECK_PICTURES
    config.data.eval_split = config.data.train_split  # of which these are left
    config.data.allow_overlap = True
    config.data.mirror = False
    config.data.scale = (1.0, 1.0)
    config.data.color = (0.0, 0.0, 0.0)
    return Stage(f"check-{name}", config.lock(), seeds=(0,))


def _pair(
    part: str,
    name: str,
    classifier: Config,
    task: Task,
    steps: int,
    data: Mapping[str, object],
) -> list[Stage]:
    """The same net from scratch, and from its trunk."""
    found = []
    for begin in STARTS:
        config = _fcn(classifier, task, steps)
        config.data.update(data)
        if "classes" in data:
            config.loss.class_weights = ()  # those of the recipe are of all classes
        init_from = ""
        if begin == "pretrained":
            init_from = "" if task.starts[name] else f"imagenette-{name}"
            start_from(config, task.starts[name])
        found.append(
            Stage(
                f"{part}-{name}-{begin}",
                config.lock(),
                seeds=SEEDS,
                init_from=init_from,
                test_split=task.test_split,
            )
        )
    return found


def _names(part: str, trunks: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{part}-{name}-{start}" for name in trunks for start in STARTS)


def _table(title: str, part: str, trunks: tuple[str, ...]) -> Table:
    comparisons = [Comparison(TRUNKS[name], *_names(part, (name,))) for name in trunks]
    return Table(title, _names(part, trunks), tuple(comparisons))


def _parts(task: Task) -> dict[str, str]:
    """The parts with every trunk, and their titles."""
    few = {"few": f"{', '.join(task.few)} against the rest"} if task.few else {}
    return few | {"all": f"All classes, all {task.pictures} pictures"}


def _tables(stages: list[str], task: Task) -> tuple[Table, ...]:
    classifiers = tuple(name for name in stages if name.startswith("imagenette-"))
    return (
        *([Table("Classifiers on Imagenette", classifiers)] if classifiers else []),
        Table("Four pictures by heart", tuple(f"check-{name}" for name in task.starts)),
        *(
            _table(title, part, tuple(task.starts))
            for part, title in _parts(task).items()
        ),
        *(
            _table(f"{count} pictures, all classes", f"n{count}", (task.curve_trunk,))
            for count in task.fewer
        ),
    )


def _curves(task: Task) -> tuple[Curve | DataCurve, ...]:
    parts = {count: f"n{count}" for count in task.fewer} | {task.pictures: "all"}
    lines = tuple(
        DataLine(
            label,
            tuple(
                (n, f"{part}-{task.curve_trunk}-{start}") for n, part in parts.items()
            ),
        )
        for start, label in STARTS.items()
    )
    return (
        *(
            Curve(f"{title.split(',')[0]}, {TRUNKS[name]}", _names(part, (name,)))
            for part, title in _parts(task).items()
            for name in task.starts
        ),
        DataCurve(f"Labelled pictures, {TRUNKS[task.curve_trunk]}", lines),
    )
