"""The segments of a case in Slicer's scene as voxel arrays, (i, j, k) on the CT's grid."""

import re

import numpy as np
import slicer
import vtk

from .review import NODE, TUMOR

NODES = re.compile(rf"{NODE}(?:[ _#-]*\d+)?", re.IGNORECASE)


class Scene:
    """A CT and the segmentation on it.

    Args:
        ct: vtkMRMLScalarVolumeNode.
        segmentation: vtkMRMLSegmentationNode, which gets the segments `NODE` and `TUMOR` if it lacks them.
    """

    def __init__(self, ct, segmentation):
        self.ct, self.segmentation = ct, segmentation
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        for name in (NODE, TUMOR):
            self._id(name)

    def affine(self):
        """From voxel index to RAS mm, (4, 4)."""
        matrix = vtk.vtkMatrix4x4()
        self.ct.GetIJKToRASMatrix(matrix)
        return slicer.util.arrayFromVTKMatrix(matrix)

    def nodes(self):
        """Names of the segments that hold nodes."""
        segments = self.segmentation.GetSegmentation()
        names = [segments.GetNthSegment(n).GetName() for n in range(segments.GetNumberOfSegments())]
        return [name for name in names if NODES.fullmatch(name)]

    def drawn(self):
        """uint16: 0, or the number of the segment of nodes, in the order of `nodes`."""
        drawn = np.zeros(self.ct.GetImageData().GetDimensions(), np.uint16)
        for number, name in enumerate(self.nodes(), 1):
            drawn[self.mask(name)] = number
        return drawn

    def mask(self, name):
        """Voxels of a segment."""
        identity = self._id(name)
        shape = self.ct.GetImageData().GetDimensions()
        if not self.segmentation.GetBinaryLabelmapInternalRepresentation(identity):
            return np.zeros(shape, bool)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, identity, self.ct)
        return np.zeros(shape, bool) if found is None else found.T > 0

    def put(self, mask, name=NODE):
        """Makes these the voxels of a segment, which is added if need be."""
        voxels = np.ascontiguousarray(mask.T).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, self.segmentation, self._id(name), self.ct)

    def add(self, voxels):
        """Adds voxels (N, 3) to the segment `NODE`."""
        mask = self.mask(NODE)
        mask[tuple(voxels.T)] = True
        self.put(mask)

    def clear(self, mask):
        """Takes voxels out of all segments of nodes."""
        for name in self.nodes():
            before = self.mask(name)
            if (before & mask).any():
                self.put(before & ~mask, name)

    def draw(self, values, *, single):
        """Replaces all nodes: value by value as numbered segments if `single`, else as the segment `NODE`."""
        self.clear(np.ones(values.shape, bool))
        if not single:
            self.put(values > 0)
            return
        for value in np.unique(values[values > 0]):
            self.put(values == value, f"{NODE} {value}")

    def _id(self, name):
        segments = self.segmentation.GetSegmentation()
        return segments.GetSegmentIdBySegmentName(name) or segments.AddEmptySegment("", name)
