"""Checks of the splits of a run before it starts."""

from fcn_jax.data.examples import Source


def check_disjoint(train: Source, evaluation: Source) -> None:
    """Refuse to evaluate on training images.

    Args:
        train: the split to learn from.
        evaluation: the split to score.

    Raises:
        ValueError: if the splits share names of images.
    """
    learnt = {train.name(index) for index in range(len(train))}
    names = [evaluation.name(index) for index in range(len(evaluation))]
    shared = [name for name in names if name in learnt]
    if shared:
        raise ValueError(
            f"{len(shared)} of the {len(names)} images of the evaluation split are in "
            f"the training split too ({', '.join(shared[:3])}, ...), so scores would "
            "say nothing; choose other splits, or insist with "
            "config.data.allow_overlap=True"
        )
