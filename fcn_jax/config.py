"""Every key of an experiment, with its default, unit and meaning.

An experiment file calls `base()`, changes what differs and returns the result. The
configuration is locked: a misspelt key fails at once. Only the programs (`train`,
`evaluate`, `predict`) read it; every part below them takes plain arguments.
"""

import functools
from collections.abc import Mapping
from typing import Any, TypeAlias

from ml_collections import ConfigDict
from ml_collections.config_dict import FieldReference

from fcn_jax.launch.config_values import check_values
from fcn_jax.launch.image_values import check_images
from fcn_jax.launch.ranges import check_ranges
from fcn_jax.launch.start_values import check_start
from fcn_jax.models.published import ILSVRC_MEAN, NETS
from fcn_jax.params.paths import pretrained_sources
from fcn_jax.runtime.locations import all_located, located
from fcn_jax.runtime.messages import shown

Config: TypeAlias = Any
"""A locked ConfigDict of the keys below; Any, because they are attributes of it."""

CAFFE_MULTIPLIERS = (("*.bias", 2.0, 0.0), ("*", 1.0, 1.0))
"""What the reference's VGG16 nets set: biases learn twice as fast, undecayed."""

CVPR_SOLVER = {
    "accumulation": 20,
    "data.order": "shuffle",
    "loss.reduction": "mean",
    "optimizer.momentum": 0.9,
    "evaluation.every": 500,
    "checkpoint.every": 500,
}
"""What the CVPR paper's nets have in common. Its batches of 20 images and momentum are
printed; mean loss and shuffled order are inferred."""

LONGEST_KEY = 80
"""Characters of a stored key."""

CHANGEABLE = (
    "checkpoint.*",
    "checks.*",
    "data.data_dir",
    "data.folder",
    "data.prefetch",
    "data.threads",
    "data.workers",
    "devices",
    "evaluation.*",
    "init_from",
    "log.*",
)
"""Keys that cannot alter the trajectory, so a resumed run may change them: paths too, since
whether the data are the same is read from the data."""


def base() -> Config:
    """The defaults: the reference's heavy-momentum FCN-32s on PASCAL VOC."""
    config = ConfigDict()
    config.seed = 1337  # of initialisation, data order, augmentation and dropout
    config.steps = 100_000  # updates
    config.batch_size = 1  # images per accumulation step, over all devices
    config.accumulation = 1  # batches per update (Caffe's iter_size)
    config.devices = 0  # devices to use; 0 is all
    config.dtype = "float32"  # of the trunk's arithmetic: float32 or bfloat16
    config.tf32 = False  # GPU: round the factors of float32 products to TF32: faster
    # In which the gradients of a bfloat16 trunk are summed over devices; bfloat16 sends
    # half the bytes, and loses digits with every device.
    config.gradient_dtype = "float32"
    # Compute features again in the backward pass instead of keeping them: less memory,
    # more time, the same result up to rounding.
    config.rematerialize = False
    config.deterministic = False  # GPU: add in one order, slower; a CPU always does
    # Decay of a moving average of the parameters, which is then what is scored and
    # saved; 0 keeps none. 0.999 averages over about 1,000 updates.
    config.average_decay = 0.0
    config.mixup = 0.0  # classifiers: alpha of mixup (0.2 is usual); 0 is none

    config.recipe = "fine-tune"  # or "scratch": whether an untrained trunk is meant
    # Initial parameters: "", a checkpoint, or a tuple of checkpoints; one of a tuple may
    # be (checkpoint, rules) with rules (pattern, new name) for its parameters' names.
    config.init_from = FieldReference("", field_type=object)
    config.init_new = ()  # patterns of parameters that it does not give
    config.init_unused = ()  # patterns of its parameters that the net does not have
    # (pattern, "classes"): a layer of the head, class by class; (pattern, "channels"):
    # an input kernel for more channels or grey; (pattern, "reversed"): its channels in
    # Caffe's order, blue first; first wins.
    config.init_adapt = ()
    config.init_preprocessing = "checked"  # against the checkpoint's; or "replace"

    config.model = ConfigDict(
        {
            "backbone": "vgg16",  # vgg16, alexnet, googlenet, or one that is passed in
            "head": "skips",  # "classifier", or one that is passed in
            "stride": 32,  # finest stride fused: 32, 16 or 8
            "width": 1.0,  # factor on the trunk's channels
            # "reference"; "same": faster, not identical at borders; or of a classifier
            # "native", for images of its native size or larger.
            "padding": "reference",
            # In place of stride, (endpoint, fixed factor) of each score layer, coarsest
            # first: (("fc7", 1.0), ("pool4", 1.0), ("pool2", 1.0)).
            "scores": (),
            "at_once": False,  # fixed factors 0.01, 0.0001 on the skips
            "score_at": "",  # score this endpoint alone (truncated nets)
            "fusion": "sum",  # or "max"
            "upsampling": "fixed",  # bilinear, or "learned" from it
            "score_init": "zero",  # or "gaussian"
            "dropout_rate": -1.0,  # -1 is the backbone's own
            "order": "pool-norm",  # AlexNet: CaffeNet's; or "norm-pool"
            # "batch" after every convolution of the trunk, "response", "none"; "" is
            # the backbone's own.
            "normalization": "",
            "auxiliary": False,  # GoogLeNet as a classifier: train its two others too
            "streams": {"trunk": ("color",)},  # input names of each trunk
        }
    )
    config.preprocessing = ConfigDict(
        {
            "color": {
                "mean": ILSVRC_MEAN,  # RGB, 0..255
                "scale": 1.0,  # factor after the subtraction
                "logarithm": False,  # first take the logarithm (depth)
                "origin": "ILSVRC mean, as the reference subtracts it",
            }
        }
    )
    config.data = ConfigDict(
        {
            "name": "voc_reference",  # synthetic, folder, camvid, voc_reference, ...
            "folder": "",  # of the folder data set
            "data_dir": "",  # prepared data sets; "" is TFDS's own convention
            "classes": (),  # keep these of its classes, in this order; () is all
            "rest": "background",  # what the others become; or "ignore"
            "outputs": (),  # keep these of its label maps, ("semantic",); () is all
            "eval_name": "",  # data set of eval_split, if it is another
            "allow_overlap": False,  # evaluate images that were trained on
            "train_split": "train",
            "limit": 0,  # train on so many examples, drawn by config.seed; 0 is all
            "eval_split": "val",
            "order": "replacement",  # the reference's sampling, or "shuffle"
            "canvas": (0, 0),  # rows, columns of a batch; 0 is the largest image's
            "canvases": 1,  # at most so many sizes of batches, one program each
            "crop": (0, 0),  # random window in training; 0 is the whole image
            "mirror": False,  # flip half of the images left to right
            "jitter": 0,  # pixels of random shift along each axis
            "scale": (1.0, 1.0),  # least, largest random enlargement; needs a crop
            "color": (0.0, 0.0, 0.0),  # random brightness, contrast, saturation
            "lighting": 0.0,  # standard deviation of AlexNet's PCA noise; it used 0.1
            "workers": 0,  # processes that load images; 0 loads in threads
            "threads": 0,  # threads that load images, in each process; 0 is by machine
            "prefetch": 0,  # batches made ahead, in each process; 0 is by machine
        }
    )
    config.images = ConfigDict(  # of a classifier, which has one label an image
        {
            "size": 224,  # rows and columns of what training takes, and of the crop
            # Least, largest shorter side, in pixels, to which training resizes an image
            # before it takes a window (VGG16: (256, 512)); (0, 0) where area says.
            "sides": (0, 0),
            # Least, largest share of the image's area that a window of random ratio
            # has, before it is resized (GoogLeNet); (0, 0) where sides say.
            "area": (0.08, 1.0),
            "view": "crop",  # what is scored: the centre crop, or "whole" images
            "view_side": 256,  # shorter side of it before the crop; 0 leaves it
        }
    )
    config.synthetic = ConfigDict(
        {
            "classes": 6,  # with the background, at most 21
            "train_length": 2000,  # images
            "eval_length": 64,
            "min_size": 64,  # pixels, of either side
            "max_size": 96,
            "seed": 0,  # another seed is another data set
        }
    )
    config.loss = ConfigDict(
        {
            # Or "sigmoid": each class against all others; "null-background": the same
            # without a score of the background.
            "name": "softmax",
            "reduction": "sum",  # over pixels and images; or "mean" over valid pixels
            "class_weights": (),  # one factor a class, or none
            "smoothing": 0.0,  # of labels: what the other classes share, in training
            "sampling": 1.0,  # probability with which a cell of pixels is kept
            "sampling_cell": 1,  # pixels, its side; the papers' cells are of stride 32
            "class_sampling": (),  # with which pixels are kept, one a class, or none
        }
    )
    config.optimizer = ConfigDict(
        {
            "name": "caffe_sgd",  # or sgd, adam, adamw
            "learning_rate": 1e-10,
            "momentum": 0.99,
            "weight_decay": 5e-4,
            "schedule": "fixed",  # or poly, cosine, step
            "decay_every": 100_000,  # step: updates after which the rate is multiplied
            "decay_factor": 0.1,  # ... by this
            "warmup_steps": 0,  # updates of linear warm-up
            "multipliers": CAFFE_MULTIPLIERS,  # (pattern, rate, decay), first wins
        }
    )
    config.evaluation = ConfigDict(
        {
            "every": 4000,  # updates; the last one is always evaluated
            "batch_size": 0,  # images, over all devices; 0 is by device, 1 on a CPU
            "absent": "script",  # absent classes: reference's script, or "paper"
            "pictures": 4,  # examples drawn at each evaluation
        }
    )
    config.checkpoint = ConfigDict(
        {
            "every": 4000,  # updates; evaluations always save too
            "keep": 2,  # newest kept, besides the best
            "snapshots": (),  # updates whose checkpoints are kept for good
        }
    )
    config.log = ConfigDict({"every": 20})  # updates between lines of metrics.jsonl
    config.checks = ConfigDict(
        {
            "labels": True,  # the labels must hold two classes at least
            "untrained_trunk": True,  # fine-tuning needs a trunk that was loaded
            "constant_features": True,  # the trunk must tell pixels apart
            "constant_scores": True,  # ... and so must the scores, after
            "constant_scores_after": 300,  # so many updates
            "learning_rate": True,  # the rate must belong to the kind of loss
        }
    )
    return config.lock()


def of_net(name: str) -> Config:
    """Return the defaults with the network and preprocessing of a published net.

    Args:
        name: a key of `models.published.NETS`, "nyud-fcn32s-color".

    Raises:
        ValueError: if there is no such FCN.
    """
    net = NETS.get(name)
    if net is None or net.classifier:
        known = ", ".join(key for key, own in NETS.items() if not own.classifier)
        raise ValueError(f"{name!r} is no published FCN; it must be one of {known}")
    config = base().unlock()
    config.dtype = net.dtype
    settings = net.model
    streams = settings.pop("streams")
    config.model.update(settings)
    config.model.streams = ConfigDict(streams)
    config.preprocessing = ConfigDict(
        {key: record.to_dict() for key, record in net.preprocessing.items()}
    )
    return config.lock()


def validate(config: Config) -> None:
    """Refuse values that no run could use.

    Raises:
        ValueError: one sentence with the key, the value and what is allowed.
    """
    check_values(to_dict(config), _defaults())
    check_ranges(config)
    check_images(config)
    check_start(config)


def initial_checkpoints(
    config: Config,
) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Checkpoints that give the initial parameters, each with its renaming rules."""
    return pretrained_sources(config.init_from)


def located_config(config: Config) -> Config:
    """The configuration with `~` of its paths replaced by the home directory.

    Raises:
        ValueError: for the home directory of a user that there is not.
    """
    located_one = config.copy_and_resolve_references()
    with located_one.unlocked():
        located_one.init_from = all_located(config.init_from)
        for key in ("folder", "data_dir"):
            located_one.data[key] = located(config.data[key])
    return located_one


def changeable_keys(config: Config) -> tuple[str, ...]:
    """Patterns of keys that a resumed run may change.

    The number of steps is one of them only at a fixed rate: other schedules end
    where the run does.
    """
    if config.optimizer.schedule == "fixed":
        return (*CHANGEABLE, "steps")
    return CHANGEABLE


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as nested dictionaries that JSON can store."""
    return _plain(config.to_dict())


def from_dict(stored: Mapping[str, Any], where: str = "") -> Config:
    """A stored configuration, with defaults for keys that are newer than it.

    Args:
        stored: nested dictionaries, as JSON has them.
        where: they were stored, for messages.

    Raises:
        ValueError: for a value of another type, or one that no network has.
    """
    try:
        config = _merged(stored)
        check_values(to_dict(config), _defaults())
    except (ValueError, TypeError) as error:
        text = f"{where + ': ' if where else ''}{error}"
        raise ValueError(f"{text}; the file was altered, restore it") from error
    return config


def _merged(stored: Mapping[str, Any]) -> Config:
    """The defaults with what was stored over them, of any type."""
    if not isinstance(stored, Mapping):
        raise ValueError(f"the configuration is {shown(stored)}; it must be an object")
    config = base().unlock()
    for section, value in stored.items():
        # The inputs of another net are no defaults of this one.
        merged = section != "preprocessing" and isinstance(value, dict)
        if merged and isinstance(config.get(section), ConfigDict):
            for key, inner in value.items():
                _put(config[section], key, _tuples(inner))
        else:
            _put(config, section, _tuples(value))
    return config.lock()


def _put(section: Config, key: str, value: Any) -> None:
    """Set a key to a value of any type; types are checked when all are there."""
    if not key.isprintable() or len(key) > LONGEST_KEY:
        raise ValueError(f"the configuration has the key {shown(key)}")
    if section.get(key) is not None:
        del section[key]
    section[key] = value


@functools.cache
def _defaults() -> dict[str, Any]:
    return to_dict(base())


def _plain(value: Any) -> Any:
    if isinstance(value, dict | ConfigDict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return ConfigDict({key: _tuples(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return tuple(_tuples(inner) for inner in value)
    return value
