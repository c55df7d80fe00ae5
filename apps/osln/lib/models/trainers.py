"""Trainers: one per network, run by MONAI Label in a process of its own."""

import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from lib.errors import translated
from lib.models.gpus import asked_for_several, shared_gpus, what_was_used
from lib.models.jobs import be_idle
from lib.models.training_record import TrainingRecord, line
from lib.options import BY_ITSELF, Choice, Number, Option, Switch, checked, shown
from lib.temporary import server
from osln.files.arrays import plain
from osln.files.whole import write_json
from osln.learning.fit import Progress
from osln.retraining.judgment import HIGHEST_RISK
from osln.retraining.publishing import nothing_to_learn
from osln.retraining.settings import preset_in_use
from osln.rows.experiments import (
    CLASSIFIERS,
    PRESETS,
    SEGMENTERS,
    SERVED_NETWORKS,
    Classifier,
    Segmenter,
)
from osln.store.approved import approved_cases, with_ct
from osln.store.splits import stored_splits
from osln.tagging.tagger import tagger_file
from osln.weights.model_store import ModelStore

logger = logging.getLogger(__name__)

# MONAI Label's default tracker needs a service that this app does not use, and ends trainings without it.
settings.MONAI_LABEL_TRACKING_ENABLED = False
os.environ["MONAI_LABEL_TRACKING_ENABLED"] = "false"

OF_THE_SERVER = ("model", "local_rank", "gpus", "multi_gpu", BY_ITSELF)
"""Keys that the server puts into a training request, besides the options."""
LENGTH_WORDS = {
    "iterations": "training steps; 0: the preset's, and fewer when it goes on from weights in use",
    "epochs": "passes through all candidates; 0: the preset's, and fewer when it goes on from weights in use",
}
SOLVED = "means nothing to this one, which is solved at once"
RATE_WORDS = "0: the preset's, and a smaller one when it goes on from weights in use"
SCRATCH_WORDS = "begin with random weights instead of those in use"
RISK_WORDS = "put the new weights to use only if the probability that they are worse is below this"
CROSS_FIT_WORDS = (
    "with few validation patients, judge on training patients too, by networks that have not seen them"
)


@dataclass(frozen=True)
class Place:
    """What all trainers of the app share.

    Attributes:
        studies: Folder of the studies.
        models: Folder of the model store.
        preset: Row of `PRESETS` for what is trained from scratch; None for that of the weights in use.
        devices: Devices that can be asked for, the default first.
        tagger: File of the tagger to use; None for the published version.
        fetches: Whether the images of approved cases are fetched when a training begins (`at_hand`).
    """

    studies: Path
    models: Path
    preset: str | None
    devices: tuple[str, ...]
    tagger: Path | None = None
    fetches: bool = False


class NetworkTrainer(TrainTask):
    """Trains one network on the approved labels and publishes it if it is not likely to be worse.

    Args:
        network: Which network.
        place: What all trainers of the app share.
    """

    def __init__(self, network: Segmenter | Classifier, place: Place) -> None:
        super().__init__(f"Trains {network.name} ({about(network)}) on approved labels")
        self.network = network
        self.place = place
        self.solved = isinstance(network, Classifier) and network.network == "numbers"
        self.length = "iterations" if isinstance(network, Segmenter) else "epochs"
        self.options: tuple[Option, ...] = (
            Number(self.length, 0, 0, 1_000_000, SOLVED if self.solved else LENGTH_WORDS[self.length]),
            Number("learning_rate", 0.0, 0.0, 1.0, SOLVED if self.solved else RATE_WORDS),
            Switch("from_scratch", False, SCRATCH_WORDS),
            Number("highest_risk", HIGHEST_RISK, 0.0, 0.5, RISK_WORDS),
            Switch("cross_fit", True, CROSS_FIT_WORDS),
            Choice("device", place.devices, "where it is trained"),
        )

    @property
    def record(self) -> Path:
        """Where the training process leaves its state for the server process."""
        return self.place.models / "training" / f"{self.network.name}.json"

    def config(self) -> dict[str, Any]:
        return shown(self.options)

    def check(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The checked options of a request.

        Raises:
            ValueError: If an option is unknown or not allowed, or a GPU is named that is not there.
        """
        options = checked(request, self.options, OF_THE_SERVER)
        self.shared_gpus(request, options)
        return options

    def shared_gpus(self, request: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[str, ...]:
        """The GPUs that share each training; () if one device does it, as always in stage two.

        Raises:
            ValueError: As of `gpus.shared_gpus`.
        """
        shared = shared_gpus(request, self.place.devices, PRESETS[self.preset_for(options)].batch)
        return shared if isinstance(self.network, Segmenter) else ()

    def check_cases(self) -> None:
        """Looks before a training starts whether it has anything to learn from; decides no split.

        Slicer shows why a training is refused, but not why one has ended.

        Raises:
            ValueError: If no approved case is one to train with.
        """
        cases, lacking = approved_cases(self.place.studies), dict[str, str]()
        if not self.place.fetches:
            cases, lacking = with_ct(self.place.studies, cases)
        known = stored_splits(self.place.studies)
        splits = {case: known[case] for case in cases if case in known}
        if len(splits) == len(cases) and "train" not in splits.values():
            raise ValueError(nothing_to_learn(self.network.name, splits, lacking))

    def check_free(self) -> None:
        """Raises BusyError if somebody else trains this network for the same model store."""
        with ModelStore(self.place.models).training(self.network.name):
            pass

    def preset_for(self, options: Mapping[str, Any]) -> str:
        """The preset of the weights in use; of what begins anew the app's, if it names one.

        Raises:
            ValueError: The version in use cannot be read, and it is to be gone on from.
        """
        store = ModelStore(self.place.models)
        if not options["from_scratch"]:
            store.check_in_use(self.network.name)
        anew = options["from_scratch"] or store.published(self.network.name) is None
        return (self.place.preset if anew else None) or preset_in_use(store, self.network.name)

    @property
    def reports(self) -> Path:
        """Folder of the comparisons that decided about each version trained by the server."""
        return self.place.models / "training" / "reports" / self.network.name

    def curve(self) -> list[dict[str, Any]]:
        """Figures of the running or the last training by epoch; [] before the first."""
        return self._record().get("curve", [])

    def stats(self) -> dict[str, Any]:
        """State of the running or the last training, as the viewers show it; {} before the first."""
        return {key: value for key, value in self._record().items() if key != "curve"}

    def _record(self) -> dict[str, Any]:
        try:
            return json.loads(self.record.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            logger.warning("%s is damaged and will be written anew by the next training", self.record)
            return {}

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Trains, compares with the version in use on the same patients, and publishes or not.

        Returns:
            The report of the comparison.

        Raises:
            HTTPException: 4xx with a sentence if an option is not allowed or the labels do not suffice.
        """
        # Before the record is written, which is that of the training at work.
        with translated(), ModelStore(self.place.models).training(self.network.name):
            return self._train(request, datastore)

    def _train(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        record = TrainingRecord(self.record)
        if request.get(BY_ITSELF) and server()[0] not in (0, os.getpid()):
            be_idle()

        def on_progress(progress: Progress) -> None:
            logger.info("%s %s", self.network.name, line(progress))
            record.progress(progress)

        def on_step(sentence: str) -> None:
            logger.info("%s %s", self.network.name, sentence)
            record.note(status="preparing", step=sentence)

        try:
            options = self.check(request)
            shared = self.shared_gpus(request, options)
            device = shared[0] if shared else options["device"]
            record.write(status="preparing")
            work = _retraining(self.network)
            with datastore.at_hand(on_step):
                report = work(
                    self.place.studies,
                    self.place.models,
                    self.network.name,
                    preset=self.preset_for(options),
                    learning_rate=options["learning_rate"] or None,
                    from_scratch=options["from_scratch"],
                    highest_risk=options["highest_risk"],
                    cross_fit=options["cross_fit"],
                    device=device,
                    tagger_path=tagger_file(ModelStore(self.place.models), self.place.tagger),
                    on_progress=on_progress,
                    on_step=on_step,
                    **{self.length: options[self.length] or None},
                    **({"devices": shared} if shared else {}),
                )
        except ValueError as error:
            logger.error("%s was not trained: %s", self.network.name, error)
            record.end(status="failed", error=str(error))
            raise
        outcome = plain(report.to_json())
        if asked_for_several(request):
            outcome["devices"] = what_was_used(shared, device)
            logger.info("%s: %s", self.network.name, outcome["devices"])
        self._keep(outcome)
        record.end(status="done", step=None, report=outcome)
        logger.info("%s: %s. Next: %s", self.network.name, report.sentence, report.next_step)
        return outcome

    def _keep(self, outcome: Mapping[str, Any]) -> None:
        """Writes the report of a comparison, which has been decided already."""
        path = self.reports / f"{outcome['version']}.json"
        try:
            write_json(path, outcome)
        except OSError as error:
            logger.warning("%s cannot be written (%s): the report is in the log alone", path, error)


def newest_first(stats: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The states of all trainers by name, the latest training first: Slicer shows the first one only."""
    return dict(sorted(stats.items(), key=lambda item: -item[1].get("start_ts", 0)))


def _retraining(network: Segmenter | Classifier) -> Callable[..., Any]:
    """What retrains a network: imported where it is asked for, in the process of the training."""
    if isinstance(network, Segmenter):
        from osln.retraining.segmenter import retrain

        return retrain
    from osln.retraining.classifier import retrain_classifier

    return retrain_classifier


def about(network: Segmenter | Classifier) -> str:
    """What a network sees, for the list of trainers."""
    if isinstance(network, Segmenter):
        return f"inputs {' + '.join(network.inputs)}, zone {network.zone}"
    return f"stage two, {network.title}"


def build(
    studies: Path,
    models: Path,
    preset: str | None,
    devices: tuple[str, ...],
    tagger: Path | None = None,
    fetches: bool = False,
) -> dict[str, TrainTask]:
    """The trainers by the name of their network; arguments as in `Place`."""
    place = Place(studies, models, preset, devices, tagger, fetches)
    networks: dict[str, Segmenter | Classifier] = {**SEGMENTERS, **CLASSIFIERS}
    return {name: NetworkTrainer(networks[name], place) for name in SERVED_NETWORKS}
