"""Slicer's window without Slicer: what the module OSLN asks of `slicer`, `vtk` and `qt`, in plain Python.

Segments are arrays (i, j, k) on the CT's grid. What Slicer's own code does with them is tested with
slicer-core (tests/whole/test_slicer_module.py); this is for the window, which slicer-core does not have.
"""

import importlib
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import MagicMock

import numpy as np

FOLDER = Path(__file__).resolve().parents[2] / "apps" / "osln" / "slicer_module"
SHAPE = (20, 18, 16)
CANDIDATE = {
    "rank": 1,
    "center_mm": [10.0, 10.0, 10.0],
    "radius_mm": 6.0,
    **dict.fromkeys(("score", "stage_one_score", "suv_max", "distance_mm", "zone", "state")),
    "kept": True,
}
BOX, BESIDE, FAR = np.s_[9:12, 9:12, 9:12], np.s_[15:17, 9:12, 9:12], np.s_[2:4, 2:4, 2:4]
"""The candidate's outline, and boxes that do not touch it, the first within its radius."""


class Segment:
    def __init__(self, name):
        self.name, self.array = name, None

    def GetName(self):  # noqa: N802
        return self.name

    def GetLabelValue(self):  # noqa: N802
        return 1


class Segmentation:
    """vtkMRMLSegmentationNode and its vtkSegmentation in one."""

    def __init__(self, identity):
        self.identity, self.segments = identity, {}

    def GetID(self):  # noqa: N802
        return self.identity

    def GetSegmentation(self):  # noqa: N802
        return self

    def GetNumberOfSegments(self):  # noqa: N802
        return len(self.segments)

    def GetNthSegmentID(self, number):  # noqa: N802
        return list(self.segments)[number]

    def GetSegment(self, identity):  # noqa: N802
        return self.segments[identity]

    def AddEmptySegment(self, identity, name):  # noqa: N802
        identity = identity or f"Segment_{len(self.segments) + 1}"
        self.segments[identity] = Segment(name)
        return identity

    def GetBinaryLabelmapInternalRepresentation(self, identity):  # noqa: N802
        array = self.segments[identity].array
        if array is None:
            return None
        points = SimpleNamespace(GetScalars=lambda: array.ravel(order="F"))
        extent = tuple(number for side in array.shape for number in (0, side - 1))
        return SimpleNamespace(
            GetPointData=lambda: points, GetDimensions=lambda: array.shape, GetExtent=lambda: extent
        )

    def SetReferenceImageGeometryParameterFromVolumeNode(self, ct):  # noqa: N802
        """On the CT's grid it is in any case."""

    def CreateDefaultDisplayNodes(self):  # noqa: N802
        """Nothing is displayed."""

    def paint(self, name, box):
        """Adds a segment in which a box is drawn."""
        segment = self.segments[self.AddEmptySegment("", name)]
        segment.array = np.zeros(SHAPE, np.uint8)
        segment.array[box] = 1


class Volume:
    def __init__(self, name, array=None):
        self.name, self.array = name, array

    def GetName(self):  # noqa: N802
        return self.name

    def GetImageData(self):  # noqa: N802
        return SimpleNamespace(GetDimensions=lambda: SHAPE)

    def GetIJKToRASMatrix(self, matrix):  # noqa: N802
        """Voxels are of 1 mm, and lie at the origin."""


class Desk:
    """Slicer's scene, the questions that were asked, and the answer to them.

    Attributes:
        nodes: Of the scene.
        asked: Questions, newest last.
        answer: To the next questions.
        told: What was shown in a window of its own.
        cleared: How often the scene was closed.
        arrays: (i, j, k) by the name of the file that is loaded as a label map.
        module: The module OSLN.
    """

    def __init__(self, monkeypatch):
        self.nodes, self.asked, self.answer, self.told, self.cleared, self.arrays = [], [], True, [], 0, {}
        slicer, vtk, qt = ModuleType("slicer"), ModuleType("vtk"), MagicMock()
        slicer.mrmlScene = SimpleNamespace(
            Clear=self._clear,
            AddNewNodeByClass=self._add,
            GetFirstNodeByClass=lambda kind: next(iter(self._of(kind)), None),
            IsNodePresent=lambda node: node in self.nodes,
            RemoveNode=lambda node: None,
        )
        slicer.modules = MagicMock()
        slicer.util = SimpleNamespace(
            arrayFromSegmentBinaryLabelmap=lambda node, identity, ct: node.segments[identity].array.T,
            updateSegmentBinaryLabelmapFromArray=self._update,
            arrayFromVTKMatrix=lambda matrix: np.eye(4),
            arrayFromVolume=lambda node: node.array.T,
            confirmOkCancelDisplay=self._ask,
            confirmYesNoDisplay=self._ask,
            getNodesByClass=self._of,
            infoDisplay=self.told.append,
            loadLabelVolume=lambda file: Volume("label", self.arrays[Path(file).name].copy()),
            loadVolume=self.load,
            mainWindow=lambda: None,
            setSliceViewerLayers=lambda ct, pet, **how: None,
            tryWithErrorDisplay=lambda **how: nullcontext(),
        )
        vtk.vtkMatrix4x4 = lambda: None
        base = SimpleNamespace(ScriptedLoadableModule=object, ScriptedLoadableModuleWidget=Parent)
        parts = {
            "slicer": slicer,
            "slicer.ScriptedLoadableModule": base,
            "vtk": vtk,
            "vtk.util": ModuleType("vtk.util"),
            "vtk.util.numpy_support": SimpleNamespace(vtk_to_numpy=np.asarray),
            "qt": qt,
        }
        for name, part in parts.items():
            monkeypatch.setitem(sys.modules, name, part)
        monkeypatch.syspath_prepend(str(FOLDER))
        for name in ("names", "parts", "review", "scene", "server", "views"):
            monkeypatch.delitem(sys.modules, f"oslnlib.{name}", raising=False)
        for name in ("oslnlib", "OSLN"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        self.module = importlib.import_module("OSLN")

    def window(self, server):
        """The module's window, whose every login leads to this server."""
        window = self.module.OSLNWidget()
        window.setup()
        for line, text in (("url", "http://server"), ("name", "anna"), ("password", "secret")):
            setattr(window, line, SimpleNamespace(text=text))
        self.module.Server = lambda url, name, password: server
        return window

    def load(self, file, about):
        """A volume that is loaded."""
        self.nodes.append(Volume(about["name"]))
        return self.nodes[-1]

    def _clear(self):
        self.cleared += 1
        self.nodes.clear()

    def _add(self, kind, name):
        self.nodes.append(Segmentation(f"{kind}{len(self.nodes)}"))
        return self.nodes[-1]

    def _of(self, kind):
        wanted = {"vtkMRMLSegmentationNode": Segmentation, "vtkMRMLScalarVolumeNode": Volume}[kind]
        return [node for node in self.nodes if isinstance(node, wanted)]

    def _update(self, array, node, identity, ct):
        node.segments[identity].array = array.T.copy()

    def _ask(self, question):
        self.asked.append(question)
        return self.answer


class Parent:
    """ScriptedLoadableModuleWidget."""

    def setup(self):
        self.layout = MagicMock()


class Served:
    """The server's side, as the module's class has it; `refused` are methods that fail, and with what."""

    def __init__(self, desk):
        self.desk, self.found, self.sent, self.refused = desk, [dict(CANDIDATE)], [], {}
        self.sample, self.newest, self.stored = {"id": "two", "why": ""}, 0, None
        self.newest_tumor = 0
        prediction = np.zeros(SHAPE, np.uint16)
        prediction[BOX] = 1
        desk.arrays["found.nii.gz"] = prediction

    def __getattribute__(self, name):
        if name in object.__getattribute__(self, "__dict__").get("refused", {}):
            raise self.refused[name]
        return object.__getattribute__(self, name)

    def next_sample(self, strategy):
        return self.sample

    def opened(self, image):
        return self.get("/osln/case", image=image)["case"]

    def image(self, case, folder):
        return f"{case}.nii.gz"

    def file(self, path, folder, name=None, **query):
        return name

    def label(self, case, folder):
        return self.stored

    def revision(self, case):
        return self.newest

    def tumor_revision(self, case):
        return self.newest_tumor

    def candidates(self, case):
        model = {"name": "osln", "versions": {}, "operating_point": None}
        return {"case": case, "model": model, "candidates": [dict(one) for one in self.found]}

    def get(self, path, **query):
        return {"case": "one", "pet": {"message": ""}, "warnings": []}

    def find(self, case):
        """Finds what it had found."""

    def submit(self, case, content, info, review, base, tumor_base):
        self.sent.append((case, info, review, base, tumor_base))
        tumor = any(one["name"] == "tumor" for one in info)
        return {"revision": base + 1, "tumor_revision": tumor_base + 1 if tumor else None}

    def training(self):
        return "no training is running"
