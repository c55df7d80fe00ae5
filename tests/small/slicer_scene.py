"""3D Slicer's own code, run by the interpreter of slicer-core: one scene, told what to do line by line.

Each line of the standard input is a JSON list: the name of a function below and its arguments. Each line of
the standard output is its answer. Arrays travel as .npy files in the file's voxel order (i, j, k). This file
imports nothing of this repository, and nothing of it is imported: `slicer_process` starts it.
"""

import json
import sys
from types import SimpleNamespace

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy


class Scene:
    """What the MONAI Label module does with MRML nodes, without its widgets."""

    def __init__(self):
        self.mrml = slicer.vtkMRMLScene()
        self.logic = slicer.vtkSlicerSegmentationsModuleLogic()
        self.logic.SetMRMLScene(self.mrml)
        volumes = slicer.vtkSlicerVolumesLogic()
        volumes.SetMRMLScene(self.mrml)
        # Where `slicer.util` looks for what Slicer's window would have put there.
        slicer.mrmlScene = self.mrml
        slicer.modules = SimpleNamespace(
            volumes=SimpleNamespace(logic=lambda: volumes),
            segmentations=SimpleNamespace(logic=lambda: self.logic),
        )

    def open_ct(self, file, voxels):
        """A new scene with one CT and an empty segmentation on its grid."""
        self.mrml.Clear(0)
        self.ct = self._read(file, "vtkMRMLScalarVolumeNode")
        self.segmentation = self.mrml.AddNewNodeByClass("vtkMRMLSegmentationNode")
        self.segmentation.CreateDefaultDisplayNodes()
        self.segmentation.SetReferenceImageGeometryParameterFromVolumeNode(self.ct)
        return self._told(self.ct, voxels)

    def read_label_map(self, file, voxels):
        """A file as a label map node."""
        return self._told(self._read(file, "vtkMRMLLabelMapVolumeNode"), voxels)

    def read_segmentation(self, file):
        """A file as a segmentation node, which takes the place of the scene's."""
        node = self.logic.LoadSegmentationFromFile(file, False)
        self.segmentation.GetSegmentation().DeepCopy(node.GetSegmentation())
        self.mrml.RemoveNode(node)
        return type(node).__name__

    def import_label_map(self, file, names):
        """The button "Run": the values 1..N of a file become the segments of these names."""
        node = self._read(file, "vtkMRMLLabelMapVolumeNode")
        done = self.logic.ImportLabelmapToSegmentationNode(node, self.segmentation, strings(names))
        self.mrml.RemoveNode(node)
        return done

    def add(self, name):
        """An empty segment."""
        self.segmentation.GetSegmentation().AddEmptySegment(name, name)

    def remove(self, name):
        self.segmentation.GetSegmentation().RemoveSegment(self._id(name))

    def rename(self, name, new):
        self.segmentation.GetSegmentation().GetSegment(self._id(name)).SetName(new)

    def order(self, names):
        self.segmentation.GetSegmentation().ReorderSegments([self._id(name) for name in names])

    def paint(self, name, voxels):
        """Adds voxels to a segment without taking them from others."""
        mask = np.load(voxels)
        image = slicer.vtkOrientedImageData()
        image.SetDimensions(mask.shape)
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
        vtk_to_numpy(image.GetPointData().GetScalars())[:] = mask.astype(np.uint8).ravel(order="F")
        matrix = vtk.vtkMatrix4x4()
        self.ct.GetIJKToRASMatrix(matrix)
        image.SetImageToWorldMatrix(matrix)
        merge = self.logic.MODE_MERGE_MAX
        return self.logic.SetBinaryLabelmapToSegment(image, self.segmentation, self._id(name), merge)

    def segments(self, folder):
        """Name, color, place and, as FOLDER/NAME.npy on the CT's grid, the voxels of each segment."""
        told = []
        for identity in self._ids():
            segment = self.segmentation.GetSegmentation().GetSegment(identity)
            image = slicer.vtkOrientedImageData()
            self.segmentation.GetBinaryLabelmapRepresentation(identity, image)
            matrix = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(matrix)
            scalars = image.GetPointData().GetScalars()
            file = f"{folder}/{segment.GetName()}.npy"
            if scalars is None or not vtk_to_numpy(scalars).any():
                # Of an empty segment on turned axes Slicer makes no image.
                np.save(file, np.zeros(self.ct.GetImageData().GetDimensions(), np.uint8))
            else:
                node = self._export([identity])
                self._told(node, file)
                self.mrml.RemoveNode(node)
            told.append(
                {
                    "name": segment.GetName(),
                    "value": segment.GetLabelValue(),
                    "color": segment.GetColor(),
                    "affine": values(matrix),
                    "extent": image.GetExtent(),
                }
            )
        return told

    def save_label_map(self, file):
        """The button "Submit Label": all segments as one label map on the CT's grid."""
        self._save(self._export(self._ids()), file, True)
        return self._names()

    def save_segmentation(self, file, cropped, compressed):
        """The same with the setting "Allow Overlapping Segmentations"."""
        self._save(self.segmentation, file, compressed, cropped)
        return self._names()

    def read_markups(self, file):
        """Label and RAS place of each point of a Markups file, and whether it is drawn."""
        storage = slicer.vtkMRMLMarkupsJsonStorageNode()
        storage.SetFileName(file)
        node = self.mrml.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
        self.mrml.AddNode(storage)
        if not storage.ReadData(node):
            raise ValueError(f"Slicer cannot read {file}")
        return [
            [
                node.GetNthControlPointLabel(n),
                list(node.GetNthControlPointPositionWorld(n)),
                bool(node.GetNthControlPointVisibility(n)),
            ]
            for n in range(node.GetNumberOfControlPoints())
        ]

    def module(self, folder, action, *arguments):
        """Something that `oslnlib.scene` of the module OSLN does; arrays travel as .npy files."""
        if folder not in sys.path:
            sys.path.insert(0, folder)
        from oslnlib.scene import Scene as Opened
        from oslnlib.scene import drawings

        opened = Opened(self.ct, self.segmentation)
        if action == "drawn":
            np.save(arguments[0], opened.drawn())
            return list(opened.nodes().values())
        if action == "tumor":
            return np.save(arguments[0], opened.tumor())
        if action == "drawings":
            return [[*key, *held] for key, held in drawings().items()]
        loaded = [np.load(one) if str(one).endswith(".npy") else one for one in arguments]
        if action == "draw":
            return opened.draw(loaded[0], single=loaded[1])
        answer = getattr(opened, action)(*loaded)
        return answer.tolist() if isinstance(answer, np.ndarray) else answer

    def save_ct(self, file):
        """What the module uploads of a volume that the server does not have."""
        self._save(self.ct, file, True)

    def _ids(self):
        segmentation = self.segmentation.GetSegmentation()
        return [segmentation.GetNthSegmentID(i) for i in range(segmentation.GetNumberOfSegments())]

    def _id(self, name):
        return self.segmentation.GetSegmentation().GetSegmentIdBySegmentName(name)

    def _names(self):
        segmentation = self.segmentation.GetSegmentation()
        return [segmentation.GetSegment(identity).GetName() for identity in self._ids()]

    def _export(self, identities):
        node = self.mrml.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
        self.logic.ExportSegmentsToLabelmapNode(self.segmentation, strings(identities), node, self.ct)
        return node

    def _read(self, file, kind):
        storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
        storage.SetFileName(file)
        node = self.mrml.AddNewNodeByClass(kind)
        self.mrml.AddNode(storage)
        if not storage.ReadData(node):
            raise ValueError(f"Slicer cannot read {file}")
        return node

    def _save(self, node, file, compressed, cropped=None):
        storage = node.CreateDefaultStorageNode()
        self.mrml.AddNode(storage)
        storage.SetFileName(file)
        storage.SetUseCompression(compressed)
        if cropped is not None:
            storage.SetCropToMinimumExtent(cropped)
        if not storage.WriteData(node):
            raise ValueError(f"Slicer cannot write {file}")

    def _told(self, node, voxels):
        """Class and geometry of a volume; its voxels go to a file."""
        image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        array = vtk_to_numpy(image.GetPointData().GetScalars())
        np.save(voxels, array.reshape(image.GetDimensions(), order="F"))
        return {
            "class": node.GetClassName(),
            "shape": image.GetDimensions(),
            "spacing": node.GetSpacing(),
            "origin": node.GetOrigin(),
            "affine": values(matrix),
        }


def strings(texts):
    array = vtk.vtkStringArray()
    for text in texts:
        array.InsertNextValue(text)
    return array


def values(matrix):
    return [[matrix.GetElement(row, column) for column in range(4)] for row in range(4)]


if __name__ == "__main__":
    scene = Scene()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        try:
            answer = {"answer": getattr(scene, name)(*arguments)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
