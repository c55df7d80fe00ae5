"""OSLN Label as a MONAI Label app: registers what the tables of `osln` declare."""

import os
from pathlib import Path
from typing import Any

from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp

from lib.activity import ACTIVITY
from lib.configuration import configuration
from lib.models import batch, infers, scoring, strategies, trainers
from lib.models.background import Background
from lib.models.self_retraining import SelfRetraining
from lib.models.server_process import end_with_server
from lib.pacs import datastore as pacs_datastore
from lib.pacs import settings as pacs_settings
from lib.pacs.keeper import PacsKeeper
from lib.store.datastore import OslnDatastore
from lib.temporary import move_in
from lib.web import (
    answers,
    case_routes,
    dicom_routes,
    dicomweb_routes,
    gate,
    house,
    model_routes,
    ohif_routes,
    own_routes,
    pages,
    requests,
    review_routes,
    slicer_routes,
    startup,
    threads,
    worklist_routes,
)
from lib.web.quiet import silence
from lib.web.sessions import OslnSessions
from osln import __version__
from osln.active.strategies import DEFAULT
from osln.jobs.memory import few_heaps
from osln.published import Published, led_by
from osln.rows.experiments import DEFAULT_PRESET, PRESETS
from osln.store.tenancy import move_into
from osln.weights.model_store import ModelStore

# A reload makes a new app of the modules that are there. MONAI Label would load them once more: the door then
# writes who asks into one module, and all that is stored reads it in the other.
os.environ["MONAI_LABEL_RELOAD_APP_LIB"] = "false"
silence()
end_with_server()
few_heaps()


class OslnApp(MONAILabelApp):
    """Finds, and learns to find, oncology-significant lymph nodes in CT and PET."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.configuration = configuration(conf or {}, app_dir)
        self._given = studies
        self._keeper: PacsKeeper | None = None
        self._background: Background | None = None
        self._retraining: SelfRetraining | None = None
        self.published = Published(
            ModelStore(self.configuration.models), self.configuration.tagger, led_by(self.configuration.row)
        )
        super().__init__(
            app_dir,
            pacs_settings.shown(studies),
            conf or {},
            name="OSLN Label",
            description=f"Oncology-significant lymph nodes in radiotherapy CT and PET. {infers.NOTE}",
            version=__version__,
            labels={"lymph node": 1, "tumor": 2},
        )
        # The stock app would start all scoring methods after each next case and each training.
        self._auto_update_scoring = False

    def init_datastore(self) -> OslnDatastore:
        kinds = {
            "auto_reload": settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            "read_only": settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        }
        if pacs_settings.is_pacs(self._given):
            return pacs_datastore.open_pacs(self._given, self.app_dir, self.configuration.pacs, **kinds)
        return OslnDatastore(self.studies, **kinds)

    def init_infers(self) -> dict[str, Any]:
        return infers.build(self.published, self.configuration.devices)

    def init_trainers(self) -> dict[str, Any]:
        chosen = self.configuration
        folder = self._datastore.root
        place = (folder, chosen.models, chosen.preset, chosen.devices, chosen.tagger)
        return trainers.build(*place, fetches=pacs_settings.is_pacs(self._given))

    def init_strategies(self) -> dict[str, Any]:
        return strategies.build(
            self.configuration.asked, lambda: scoring.current_keys(self.published).values()
        )

    def next_sample(self, request: dict[str, Any]) -> dict[str, Any]:
        return super().next_sample({**request, "strategy": request.get("strategy") or DEFAULT})

    def init_scoring_methods(self) -> dict[str, Any]:
        preset = PRESETS[self.configuration.preset or DEFAULT_PRESET]
        return {scoring.NAME: scoring.Evidence(self.published, preset, self.infer)}

    def init_batch_infer(self) -> batch.Batch:
        return batch.Batch(self.configuration.devices)

    def info(self) -> dict[str, Any]:
        told = super().info()
        stats = trainers.newest_first(told["train_stats"])
        pacs = {"pacs": self._keeper.status()} if self._keeper else {}
        return told | {"train_stats": stats, "tagger": self.published.tagger.describe()} | pacs

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        return answers.answer(request, self._infers, datastore or self._datastore, self._sessions)

    def evidence(self) -> dict[str, Any] | None:
        """How far the evidence for the strategies is, see `Background.status`; None outside of a server."""
        return self._background and self._background.status()

    def on_init_complete(self) -> None:
        from monailabel.app import app

        super().on_init_complete()
        move_in()
        gate.install()
        studies = None if pacs_settings.is_pacs(self._given) else Path(self._given)
        requests.install(app, self.configuration.body_timeout_s)
        house.install(app, house.house_of(self.configuration.access, studies))
        own = [
            case_routes,
            dicom_routes,
            dicomweb_routes,
            model_routes,
            ohif_routes,
            own_routes,
            pages,
            review_routes,
            slicer_routes,
            worklist_routes,
        ]
        threads.unfreeze(app, own)
        if pacs_settings.is_pacs(self._given):
            pacs_settings.hide(self._given)
        startup.log_startup(self)

    def server_mode(self, mode: bool) -> None:
        if mode:
            move_into(self._datastore.root)
        super().server_mode(mode)
        if mode and self._keeper is None and isinstance(self._datastore, pacs_datastore.PacsDatastore):
            self._keeper = PacsKeeper(self._datastore)
            self._keeper.start()
        if mode and self._background is None:
            wanted = self.configuration.evidence
            self._background = Background(self._datastore, self.published, ACTIVITY, wanted=wanted)
            self._background.start()
        after = self.configuration.retrain_after
        if mode and self._retraining is None and after:
            self._retraining = SelfRetraining(
                self._datastore, self.published, self._trainers, after, ACTIVITY
            )
            self._retraining.start()

    def retraining(self) -> dict[str, Any] | None:
        """How far retraining by itself is, see `SelfRetraining.status`; None where it is off."""
        return self._retraining and self._retraining.status()

    def close(self) -> None:
        """Ends what works in the background; a new app takes this one's place (`/reload`)."""
        for one in (self._keeper, self._background, self._retraining):
            if one is not None:
                one.stop()
        self._datastore.close()

    def on_save_label(self, image_id: str, label_id: str) -> dict[str, Any]:
        return self._datastore.about_label(label_id)

    def _load_sessions(self, load: bool = False) -> OslnSessions | None:
        return OslnSessions(self._datastore.root, settings.MONAI_LABEL_SESSION_EXPIRY) if load else None
