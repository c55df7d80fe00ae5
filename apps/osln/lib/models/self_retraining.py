"""Retraining by itself, off by default: after so many cases with a new label, when nobody works.

What is counted and how far a round is lies in a file of the store, written before anything starts. A server
that is started again goes on with the networks that are left, and trains none twice. The gate decides as
ever.
"""

import json
import logging
import threading
import time
from collections.abc import Container, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import HTTPException
from monailabel.utils.async_tasks.task import AsyncTask
from monailabel.utils.async_tasks.utils import tasks

from lib.activity import Activity
from lib.models.trainers import NetworkTrainer
from lib.options import BY_ITSELF
from osln.files.whole import write_json
from osln.published import Published
from osln.stage_two.answering import FALLBACK
from osln.store.revisions import label_revisions

logger = logging.getLogger(__name__)

FILE = ".retraining.json"
"""Of `.osln`, where no case can have such a name."""
LOOK_S = 20.0
"""Between looks."""
QUIET_S = 600.0
"""So long after the last request that works nothing begins."""
MOST_TRIES = 3
"""Starts of a network's training in a round, after restarts of the server too: one that never comes to an end
does not hold up the others."""
METHODS = ("train", "batch_infer", "scoring")
AT_WORK = ("SUBMITTED", "RUNNING")
ENDED = ("done", "failed")


class SelfRetraining:
    """Starts the trainings of a store's networks by itself.

    Args:
        store: An `OslnDatastore`.
        published: The weights in use.
        trainers: By name of the network.
        after: Cases with a new label that begin a round.
        activity: Tells since when nobody has worked.
    """

    def __init__(
        self,
        store: Any,
        published: Published,
        trainers: Mapping[str, NetworkTrainer],
        after: int,
        activity: Activity,
    ) -> None:
        self._store, self._published, self._trainers = store, published, trainers
        self._after, self._activity = after, activity
        self._ended = threading.Event()

    def start(self) -> None:
        """Begins; the thread ends with the process."""
        threading.Thread(target=self._run, name="self-retraining", daemon=True).start()

    def stop(self) -> None:
        """Has the thread end; a training that runs goes on."""
        self._ended.set()

    def _run(self) -> None:
        while not self._ended.wait(LOOK_S):
            try:
                self.look()
            except Exception:
                logger.exception("Retraining by itself failed; the next look follows")

    def look(self) -> None:
        """One look: begins a round, goes on with it, or ends it."""
        state = self._state()
        if state is None:
            # What was approved before it was switched on is not new.
            self._write({"counted": self._labels(), "round": None})
            return
        labels, counted = self._labels(), state["counted"]
        same = {
            case: number
            for case, number in counted.items()
            if labels.get(case, number) >= number and self._is_kept(case)
        }
        if same != counted:
            # What comes under the id of a removed case is another one, whose revisions begin anew.
            state["counted"] = same
            self._write(state)
        if state["round"] is None:
            if len(self._new(state)) < self._after or self._busy():
                return
            names, began = self._networks(), int(time.time())
            state["counted"] = self._labels()
            state["round"] = {"began": began, "networks": names, "tries": {}, "refused": {}}
            self._write(state)
        elif state["round"]["networks"] != (names := self._networks()):
            # Another row answers by default since, or it asks others in this version of the software.
            before, after = (", ".join(some) for some in (state["round"]["networks"], names))
            logger.info("The round of %s goes on with %s", before, after)
            state["round"]["networks"] = names
            self._write(state)
        left = [name for name in state["round"]["networks"] if not self._done(name, state["round"])]
        if not left:
            refused = state["round"]["refused"]
            done = [name for name in state["round"]["networks"] if name not in refused]
            logger.info("Retrained by itself: %s", ", ".join(done) or "nothing")
            last = datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")
            if refused:
                last += f", without {'; '.join(f'{name} ({why})' for name, why in refused.items())}"
            self._write(state | {"round": None, "last": last})
        elif not self._busy():
            self._train(left[0], state)

    def status(self) -> dict[str, Any]:
        """For the worklist: how far it is.

        Returns:
            `after`, `new` (cases with a new label), `networks` of the round that is going on, those that are
            `left` of them, and `message`, a sentence.
        """
        state = self._state() or {"counted": self._labels(), "round": None, "last": None}
        new, going_on = len(self._new(state)), state["round"]
        networks = going_on["networks"] if going_on else []
        left = [name for name in networks if not self._done(name, going_on)]
        if left:
            at = f"{len(networks) - len(left) + 1} of {len(networks)}"
            running = any(task["status"] == "RUNNING" for task in tasks("train"))
            message = f"Retraining by itself: {left[0]} ({at}){'' if running else ', when nobody works'}."
        elif new >= self._after:
            message = f"{_cases(new)} with a new label: retraining begins when nobody works."
        else:
            told = f" Last done {state['last']}: the page Models tells what came of it."
            message = (
                f"Retraining begins by itself after {_cases(self._after)} with a new label, {new} so far."
                f"{told if state['last'] else ''}"
            )
        return {"after": self._after, "new": new, "networks": networks, "left": left, "message": message}

    def _train(self, name: str, state: dict[str, Any]) -> None:
        tries = state["round"]["tries"]
        tries[name] = tries.get(name, 0) + 1
        # Before the start: whatever ends the server now, the training counts as begun.
        self._write(state)
        refused = state["round"]["refused"]
        try:
            _, busy = AsyncTask.run("train", {"model": name, BY_ITSELF: True}, enqueue=False)
            refused.pop(name, None)
            # Another training was quicker: that was no try.
            tries[name] -= bool(busy)
            logger.info("%s is retrained by itself%s", name, f" later: {busy}" if busy else "")
        except HTTPException as error:
            refused[name] = str(error.detail)
            logger.warning("%s is not retrained by itself: %s", name, error.detail)
        self._write(state)

    def _done(self, name: str, going_on: Mapping[str, Any]) -> bool:
        """Whether a network is done with in a round: trained by whomever, stopped, or tried often."""
        stats = self._trainers[name].stats()
        if stats.get("start_ts", 0) >= going_on["began"] and stats.get("status") in ENDED:
            return True
        tries = going_on["tries"].get(name, 0)
        own = [task["status"] for task in tasks("train") if task["request"].get("model") == name]
        stopped = bool(own) and own[-1] == "STOPPED"
        return tries > 0 and (stopped or (tries >= MOST_TRIES and not set(own) & set(AT_WORK)))

    def _networks(self) -> list[str]:
        """Those of the first row, stage one first; the classifier's stand-in where there is no tagger."""
        row = next(iter(self._published.rows.values()))
        tags = not row.needs_tags or self._published.tagger.describe() is not None
        names = [*row.segmenters, str(row.classifier) if tags else FALLBACK]
        return [name for name in names if name in self._trainers]

    def _busy(self) -> bool:
        """Whether somebody works, or the computer does for somebody."""
        if self._activity.quiet_s < QUIET_S or self._store.leases():
            return True
        at_work = [task for method in METHODS for task in tasks(method) if task["status"] in AT_WORK]
        # What the server does by itself for the strategies ends when a training begins.
        return any(not task["request"].get("background") for task in at_work)

    def _new(self, state: Mapping[str, Any]) -> list[str]:
        """Cases whose label is another one than when a round last began.

        A lower revision is that of another case of the id, which came between two looks.
        """
        counted = state["counted"]
        return [case for case, revision in self._labels().items() if revision != counted.get(case)]

    def _is_kept(self, case: str) -> bool:
        """Whether labels of a case are kept: not after its removal, but while its CT is away for a moment."""
        kept = label_revisions(self._store.root, case, "final").folder
        return case in self._store.index().objects or kept.is_dir()

    def _labels(self) -> dict[str, int]:
        """Revision of the approved label of each case that has one, from the index."""
        found = {}
        for case, entry in list(self._store.index().objects.items()):
            label = entry.labels.get("final")
            revision = label.info.get("revision") if label else None
            if isinstance(revision, int):
                found[case] = revision
        return found

    @property
    def _path(self) -> Path:
        return Path(self._store.root) / ".osln" / FILE

    def _state(self) -> dict[str, Any] | None:
        """What is kept; None before the first look, and if the file is damaged: then it is begun anew."""
        try:
            return _checked(json.loads(self._path.read_text()), self._trainers)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s is damaged (%s): new labels are counted anew", self._path, error)
            return None

    def _write(self, state: Mapping[str, Any]) -> None:
        write_json(self._path, state)


def _checked(state: Any, trainers: Container[str]) -> dict[str, Any]:
    """The state in its form.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: It is no state, or of networks that are not there.
    """
    going_on, last = state["round"], state.get("last")
    if going_on is not None:
        names, began = going_on["networks"], going_on["began"]
        if not isinstance(began, int) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"a round of {names} that began at {began!r}")
        # Former software may have trained others.
        names = [name for name in names if name in trainers]
        tries = {name: int(number) for name, number in going_on["tries"].items()}
        refused = {name: str(why) for name, why in going_on.get("refused", {}).items()}
        going_on = {"began": began, "networks": list(names), "tries": tries, "refused": refused}
    counted = {case: int(revision) for case, revision in state["counted"].items()}
    return {"counted": counted, "round": going_on, "last": None if last is None else str(last)}


def _cases(number: int) -> str:
    return f"{number} case{'' if number == 1 else 's'}"
