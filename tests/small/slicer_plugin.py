"""What 3D Slicer's MONAI Label module does around its client: options, scene, export, messages.

Written from the module's behavior: its option table turns every value into text and back, it numbers the
values of a submitted label map 1, 2, 3, ... in the order of the scene's segments, and shows the `msg` of an
error. What only Slicer can do (reading and writing its files) is in `slicer_scene`.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import requests
import SimpleITK as sitk
from monailabel.client import MONAILabelClient
from monailabel.client.client import MONAILabelClientException

SECTIONS = {"infer": "models", "train": "trainers", "activelearning": "strategies"}
NOT_SENT = ("background", "foreground_scribbles", "background_scribbles")


class Plugin:
    """The module as an annotator uses it.

    Args:
        url: Of the server.
        folder: For its temporary files.
        extension: Setting "File Extension".
        user: Setting "Client/User-ID".
    """

    def __init__(self, url: str, folder: Path, extension: str = ".nii.gz", user: str = "anna") -> None:
        self.url = url
        self.folder = folder
        self.extension = extension
        self.client = MONAILabelClient(url, str(folder), client_id=user)
        self.info: dict[str, Any] = {}
        self.sample: dict[str, Any] = {}
        self.ct = folder / "no volume yet"
        self.segments: dict[str, np.ndarray] = {}
        self.connect()

    def connect(self) -> None:
        """The refresh button."""
        assert not self.client.auth_enabled()
        self.info = self.client.info()

    def options(self, section: str, name: str) -> dict[str, Any]:
        """What the table "Options" sends for a model, trainer or strategy that nobody has changed."""
        config = self.info[SECTIONS[section]].get(name, {}).get("config", {})
        return {key: _through_the_table(value) for key, value in config.items()}

    def next_sample(self, strategy: str = "first") -> Path | None:
        """Asks for a case, downloads its CT and makes the empty segments; None if no case waits."""
        self.sample = self.client.next_sample(strategy, self.options("activelearning", strategy))
        if not self.sample.get("id"):
            return None
        return self.open(self.sample)

    def open(self, sample: dict[str, Any]) -> Path:
        """Downloads the CT of a sample as Slicer does from a server on another computer."""
        self.sample = sample
        reply = requests.get(f"{self.url}/datastore/image", params={"image": sample["id"]}, timeout=60)
        reply.raise_for_status()
        self.ct = self.folder / f"{sample['id']}.nii.gz"
        self.ct.write_bytes(reply.content)
        if checksum := sample.get("checksum"):
            assert checksum == f"SHA256:{hashlib.sha256(reply.content).hexdigest()}"
        self.segments = {name: np.zeros(self.shape, bool) for name in self.info["labels"]}
        return self.ct

    def load(self, ct: Path) -> None:
        """The annotator opens a CT by hand, which begins a session."""
        self.ct, self.sample = ct, {"id": ct.name.split(".")[0], "session": True}
        self.segments = {name: np.zeros(self.shape, bool) for name in self.info["labels"]}

    @property
    def shape(self) -> tuple[int, ...]:
        return sitk.ReadImage(str(self.ct)).GetSize()

    def run(self, model: str, **changed: Any) -> dict[str, Any]:
        """The button "Run": the label map's values 1..N become the segments of these names."""
        params = self.options("infer", model) | changed
        params |= {"result_extension": ".nrrd", "result_dtype": "uint8"}
        session = self._session() if self.sample.get("session") else None
        file, result = self.client.infer(model, self.sample["id"], params, session_id=session)
        names = result.get("label_names") or self.info["models"][model]["labels"]
        values = sitk.GetArrayFromImage(sitk.ReadImage(file)).T
        for value, name in enumerate(sorted(names, key=names.get), 1):
            self.segments[name] = values == value
        Path(file).unlink()
        return result

    def smart_edit(
        self, model: str, inside: np.ndarray, outside: np.ndarray, segment: str = "lymph node", **changed: Any
    ) -> dict[str, Any]:
        """Clicks of "SmartEdit": the answer becomes the segment that is drawn.

        Args:
            model: One of type "deepgrow".
            inside, outside: (N, 3) RAS mm of the points that were set, all of them with each click.
            segment: That is drawn.
            changed: Of the options.
        """
        assert self.info["models"][model]["type"] in ("deepgrow", "deepedit")
        volume = sitk.ReadImage(str(self.ct))

        def indices(points: np.ndarray) -> list[list[int]]:
            # ITK's patient axes are LPS. Slicer turns the third axis of a left-handed volume.
            lps = np.asarray(points, float).reshape(-1, 3) * (-1, -1, 1)
            found = [volume.TransformPhysicalPointToContinuousIndex(point.tolist()) for point in lps]
            if np.linalg.det(np.reshape(volume.GetDirection(), (3, 3))) < 0:
                found = [(i, j, volume.GetSize()[2] - 1 - k) for i, j, k in found]
            return [[round(value) for value in index] for index in found]

        params = {"label": segment, "foreground": indices(inside), "background": indices(outside)}
        params |= self.options("infer", model) | changed
        params |= {"result_extension": ".nrrd", "result_dtype": "uint8"}
        session = self._session() if self.sample.get("session") else None
        file, result = self.client.infer(model, self.sample["id"], params, session_id=session)
        self.segments[segment] = sitk.GetArrayFromImage(sitk.ReadImage(file)).T == 1
        Path(file).unlink()
        return result

    def submit(self, file: Path | None = None) -> dict[str, Any]:
        """ "Submit Label": the scene's segments as a label map, or a file that Slicer has written of them."""
        if self.sample.get("session"):
            self.client.upload_image(str(self._saved_ct()), self.sample["id"])
            self.sample["session"] = False
        info = [
            {"name": name, "idx": number}
            for number, name in enumerate(self.segments, 1)
            if name not in NOT_SENT
        ]
        file = file or self.exported()
        return self.client.save_label(self.sample["id"], str(file), params={"label_info": info})

    def exported(self) -> Path:
        """The label map on the CT's grid, of 16-bit numbers as Slicer writes it."""
        values = np.zeros(self.shape, np.int16)
        sent = [mask for name, mask in self.segments.items() if name not in NOT_SENT]
        for value, mask in enumerate(sent, 1):
            values[mask] = value
        image = sitk.GetImageFromArray(np.ascontiguousarray(values.T))
        image.CopyInformation(sitk.ReadImage(str(self.ct)))
        path = self.folder / f"export{self.extension}"
        sitk.WriteImage(image, str(path), useCompression=True)
        return path

    def message(self, act: Any, *args: Any, **options: Any) -> str:
        """What the error box says of an action that the server refuses."""
        try:
            act(*args, **options)
        except MONAILabelClientException as error:
            return f"Message:: {error.msg}"
        raise AssertionError("the server accepted it")

    def training(self) -> tuple[float, float]:
        """Percent of the bars "Status" and "Accuracy", as the module computes them while it waits."""
        stats = next(iter(self.client.info()["train_stats"].values()))
        epoch = 0 if stats.get("total_time") else stats.get("epoch", 1)
        return max(1, 100 * epoch / stats.get("total_epochs", 1)), 100 * stats.get("best_metric", 0)

    def _session(self) -> str:
        if "session_id" not in self.sample:
            created = self.client.create_session(str(self._saved_ct()))
            self.sample["session_id"] = created["session_id"]
        assert self.client.get_session(self.sample["session_id"])
        return self.sample["session_id"]

    def _saved_ct(self) -> Path:
        path = self.folder / f"volume{self.extension}"
        sitk.WriteImage(sitk.ReadImage(str(self.ct)), str(path), useCompression=True)
        return path


def _through_the_table(value: Any) -> Any:
    if isinstance(value, list):
        return value[0]
    if isinstance(value, bool):
        return value
    text = str(value) if value else ""
    if isinstance(value, int):
        return int(text) if text else 0
    if isinstance(value, float):
        return float(text) if text else 0.0
    return text
