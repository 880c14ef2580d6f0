"""Renaming the arrays of a weight file by rules."""

from dataclasses import replace

from fcn_jax.convert.readers.weight_file import WeightFile, WeightFileError
from fcn_jax.params.surgery import Rules, new_names


def renamed(weight_file: WeightFile, rules: Rules) -> WeightFile:
    """Return the weight file with renamed arrays.

    Args:
        weight_file: the file.
        rules: as `surgery.new_names` takes them.

    Raises:
        WeightFileError: for a rule that is malformed or applies to nothing, and for two
            arrays of one name.
    """
    if not rules:
        return weight_file
    try:
        names = new_names(weight_file.arrays, rules)
    except ValueError as error:
        raise WeightFileError(f"{weight_file.path}: {error}") from None
    return replace(
        weight_file,
        arrays={names[name]: array for name, array in weight_file.arrays.items()},
    )
