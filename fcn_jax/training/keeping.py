"""What a run keeps: its states, their scores and pictures."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass

from absl import logging

from fcn_jax.checkpoints.record import Record
from fcn_jax.checkpoints.store import CheckpointStore
from fcn_jax.data.categories import Categories, split_outputs
from fcn_jax.data.examples import DataError
from fcn_jax.evaluation import scores_file
from fcn_jax.evaluation.result import Evaluation, print_scores
from fcn_jax.experiment.experiment import Experiment
from fcn_jax.params.trees import flat_arrays
from fcn_jax.report.image_grid import labelled_images
from fcn_jax.report.panels import panel
from fcn_jax.runs import runlog
from fcn_jax.runtime import cli, messages
from fcn_jax.runtime.cli import Stopped
from fcn_jax.training import initialize
from fcn_jax.training.async_metrics import AsyncMetrics, NotFinite
from fcn_jax.training.state import TrainState


@dataclass
class Keeper:
    """Saves the states of a run, and the results of scoring them.

    Attributes:
        experiment: the run.
        store: its checkpoints.
        log: its log.
        origins: where each parameter came from.
        saved: updates of the newest state that is saved, or that can be made anew.
    """

    experiment: Experiment
    store: CheckpointStore
    log: runlog.RunLog
    origins: Mapping[str, str]
    saved: int

    def save(self, state: TrainState, step: int) -> None:
        """Save a state with all that is needed to continue, evaluate or predict."""
        run = self.experiment
        outputs, categories = split_outputs(run.outputs)
        record = Record(
            spec=run.spec,
            outputs=outputs,
            categories=categories,
            preprocessing=run.preprocessing,
            dtype=run.dtype,
            origins=self.origins,
            data=initialize.data_position(run, step),
            config=run.config,
        )
        collections = dict(state.variables)
        self.store.save(
            step,
            params=flat_arrays(collections.pop("params")),
            optimizer=flat_arrays(state.rest),
            collections=flat_arrays(collections),
            record=record.to_dict(),
        )
        self.saved = step

    def score(self, step: int, result: Evaluation) -> None:
        """Write a line of metrics, a picture, scores.json and the checkpoint's score."""
        scoring, outputs = self.experiment.scoring, self.experiment.outputs
        scores = result.scores(scoring.absent)
        split = scoring.split
        row = "train_evaluation" if split == "train" else split  # "train": the updates'
        self.log.evaluation(step, row, scores)
        for line, caution in result.sentences(outputs, scoring.absent):
            self.log.message(f"step {step}, {row}: loss {result.loss:.4f}, {line}")
            if caution:
                logging.warning("step %d, %s: %s", step, row, caution)
        if result.examples:
            classes = next(iter(outputs.values()))
            rated = result.rated
            title = f"step {step}   {rated.replace('_iu', ' IU')} {scores[rated]:.3f}"
            if isinstance(classes, Categories):
                picture = labelled_images(result.examples, classes, title=title)
            else:
                picture = panel(result.examples, classes, title=title)
            self.log.picture(step, row, picture)
        record = result.record(outputs, scoring.absent)
        own = scores_file.question(scoring, self.log.directory)
        about = {"step": step, **own.about(scoring.source.fingerprint)}
        runlog.write_scores(self.log.directory / scores_file.OWN, {**about, **record})
        self.log.flush()
        self.store.rate(step, scores[result.rated])

    def show(self, result: Evaluation) -> None:
        """Print the last scores; if that fails, nothing is lost."""
        run = self.experiment
        try:
            with cli.printing():
                print_scores(result, run.outputs, run.scoring.absent)
        except (OSError, UnicodeError) as error:  # a script's own stream may be strict
            logging.warning(
                "the scores could not be printed (%s); they are in %s",
                messages.error_sentence(error),
                self.log.directory / scores_file.OWN,
            )

    def rescue(
        self, state: TrainState, step: int, metrics: AsyncMetrics, reason: BaseException
    ) -> bool:
        """Save the state of a run that ends early, if it is sound.

        Nothing is saved after an error of a check: a continued run would skip the check.

        Args:
            state: the newest state.
            step: its number of completed updates.
            metrics: its pending rows are written first.
            reason: why the run ends.

        Returns:
            Whether the run can be continued from this state.

        Raises:
            CheckpointError: if a run that a signal ends cannot be saved.
        """
        checked = isinstance(reason, ValueError) and not isinstance(reason, DataError)
        if checked or isinstance(reason, NotFinite):
            return False
        if step == self.saved:
            return True
        with contextlib.suppress(OSError):  # a full disk may still take the state
            metrics.catch_up()
        try:
            self.save(state, step)
        except Exception as error:
            if isinstance(reason, Stopped):
                raise
            sentence = messages.error_sentence(error)
            logging.error("the state after update %d is lost: %s", step, sentence)
            return False
        logging.info("the state after update %d is saved", step)
        return True
