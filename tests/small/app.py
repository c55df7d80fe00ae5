"""The inference tasks on a store of tiny cases, asked as the server asks them."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fastapi import HTTPException

from lib.models import infers
from lib.web import answers
from lib.web.sessions import OslnSessions
from osln.active.evidence import CaseEvidence
from osln.published import Published
from osln.rows.experiments import ROWS, SERVED_NETWORKS
from osln.weights.model_store import ModelStore
from small import store as small_store


def make_models(folder: Path, names: tuple[str, ...] = SERVED_NETWORKS) -> Path:
    """A model store of untrained networks and the tagger that they claim to have learned from."""
    tagger = small_store.ship_untrained_tagger(folder)
    small_store.publish(folder, names, tagger=tagger)
    store = ModelStore(folder)
    for row in ROWS.values():
        if row.stage_one == row.name:
            store.set_thresholds(row.name, {"0.15": 0.5})
    return folder


class Store:
    """The methods of a datastore that inference uses."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.saved: list[tuple[str, dict[str, Any]]] = []
        self.evidence: dict[str, CaseEvidence] = {}

    def list_images(self) -> list[str]:
        return [path.name.removesuffix(".nii.gz") for path in self.root.glob("*.nii.gz")]

    def get_image_uri(self, case: str) -> str:
        return str(self.root / f"{case}.nii.gz") if case in self.list_images() else ""

    def keep_evidence(self, case: str, evidence: CaseEvidence, read: str) -> None:
        self.evidence[case] = evidence

    def save_prediction(self, case: str, file: str, info: dict[str, Any], read: str) -> str:
        self.saved.append((case, info))
        return case


class Asking:
    """Asks for an inference as the server does and keeps the files that the server would delete.

    Args:
        folder: For the model store, the studies with one case `p1`, and the sessions.
        template: Model store of `make_models`, which is copied.
    """

    def __init__(self, folder: Path, template: Path) -> None:
        self.models = Path(shutil.copytree(template, folder / "models"))
        self.tagger = self.models / "shipped" / "lesanet.safetensors"
        small_store.make_case(folder / "studies", "p1")
        self.store = Store(folder / "studies")
        self.sessions = OslnSessions(folder)
        self.files: list[Path] = []
        self.use(self.models, self.tagger)

    def use(self, models: Path, tagger: Path | None) -> None:
        """Goes on with other weights or another tagger, as after a restart of the server."""
        self.tasks = infers.build(Published(ModelStore(models), tagger), ("cpu",))

    def __call__(self, model: str = "osln", image: Any = "p1", **options: Any) -> dict[str, Any]:
        request = {"model": model, "image": image, **options}
        result = answers.answer(request, self.tasks, self.store, self.sessions)
        self.files.append(Path(result["file"]))
        return result

    def clean(self) -> None:
        for file in self.files:
            file.unlink(missing_ok=True)

    def refusal(self, *args: Any, **options: Any) -> tuple[int, str]:
        """Status and sentence of a request that must be refused."""
        with pytest.raises(HTTPException) as caught:
            self(*args, **options)
        return caught.value.status_code, caught.value.detail
