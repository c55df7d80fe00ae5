"""The segments of a case in Slicer's scene as voxel arrays, (i, j, k) on the CT's grid."""

import hashlib

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from .names import NODE, TUMOR, kind_of


def segments(segmentation):
    """Id and name of each segment of a vtkMRMLSegmentationNode, in its order."""
    held = segmentation.GetSegmentation()
    ids = [held.GetNthSegmentID(n) for n in range(held.GetNumberOfSegments())]
    return [(identity, held.GetSegment(identity).GetName() or "") for identity in ids]


def kinds(segmentation):
    """Kind of each segment by its id; None where the name says none."""
    found = {}
    for identity, name in segments(segmentation):
        try:
            found[identity] = kind_of(name)
        except ValueError:
            found[identity] = None
    return found


def drawings():
    """What all segmentations of Slicer's scene hold, to be compared with what they hold later.

    By node and segment its name and a digest of its voxels; what holds none is left out. It is taken of each
    segment's own voxels, so that it needs no CT and little time.
    """
    held = {}
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode"):
        for identity, name in segments(node):
            voxels = _own_voxels(node, identity)
            if len(voxels):
                held[node.GetID(), identity] = (name, hashlib.sha256(voxels.tobytes()).hexdigest())
    return held


def _own_voxels(node, identity):
    """Voxels (N, 3) of a segment, (k, j, i) from the origin of its own label map."""
    image = node.GetBinaryLabelmapInternalRepresentation(identity)
    scalars = image.GetPointData().GetScalars() if image else None
    if scalars is None:
        return np.zeros((0, 3), int)
    array = vtk_to_numpy(scalars).reshape(image.GetDimensions()[::-1])
    # Several segments may lie in one label map, each with a value; its box grows with what is painted.
    value = node.GetSegmentation().GetSegment(identity).GetLabelValue()
    return np.argwhere(array == value) + image.GetExtent()[4::-2]


class Scene:
    """A CT and the segmentation on it.

    Args:
        ct: vtkMRMLScalarVolumeNode.
        segmentation: vtkMRMLSegmentationNode, which gets the segments `NODE` and `TUMOR` if it has none of
            that kind.
    """

    def __init__(self, ct, segmentation):
        self.ct, self.segmentation = ct, segmentation
        self._kept = {}
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        for name in (NODE, TUMOR):
            if kind_of(name) not in kinds(segmentation).values():
                self._id(name)

    def there(self):
        """Whether CT and segmentation are still in Slicer's scene, which others may close."""
        return all(slicer.mrmlScene.IsNodePresent(node) for node in (self.ct, self.segmentation))

    def unsubmitted(self):
        """Whether Slicer's scene holds other drawings than the server has given or was sent."""
        return drawings() != self._kept

    def submitted(self):
        """The server has stored what is drawn in the segmentation."""
        own = self.segmentation.GetID()
        self._kept = {key: one for key, one in drawings().items() if key[0] == own}

    def refuse_unknown(self):
        """Raises ValueError if a segment holds voxels and its name says neither node nor tumor."""
        for identity, name in segments(self.segmentation):
            if len(_own_voxels(self.segmentation, identity)):
                kind_of(name)

    def affine(self):
        """From voxel index to RAS mm, (4, 4)."""
        matrix = vtk.vtkMatrix4x4()
        self.ct.GetIJKToRASMatrix(matrix)
        return slicer.util.arrayFromVTKMatrix(matrix)

    def nodes(self):
        """Name of each segment that holds nodes, by its id."""
        of = kinds(self.segmentation)
        return {identity: name for identity, name in segments(self.segmentation) if of[identity] == "node"}

    def drawn(self):
        """uint16: 0, or the number of the segment of nodes, in the order of `nodes`."""
        drawn = np.zeros(self.ct.GetImageData().GetDimensions(), np.uint16)
        for number, identity in enumerate(self.nodes(), 1):
            drawn[self._mask(identity)] = number
        return drawn

    def tumor(self):
        """Voxels of all segments of the tumor."""
        tumor = np.zeros(self.ct.GetImageData().GetDimensions(), bool)
        for identity, kind in kinds(self.segmentation).items():
            if kind == "tumor":
                tumor |= self._mask(identity)
        return tumor

    def put(self, mask, name=NODE):
        """Makes these the voxels of a segment, which is added if need be."""
        self._put(mask, self._id(name))

    def add(self, voxels):
        """Adds voxels (N, 3) to the segment `NODE`."""
        identity = self._id(NODE)
        mask = self._mask(identity)
        mask[tuple(voxels.T)] = True
        self._put(mask, identity)

    def clear(self, mask):
        """Takes voxels out of all segments of nodes."""
        for identity in self.nodes():
            before = self._mask(identity)
            if (before & mask).any():
                self._put(before & ~mask, identity)

    def draw(self, values, *, single):
        """Replaces all nodes by what the server has stored.

        Value by value as numbered segments if `single`, else as the segment `NODE`.
        """
        self.clear(np.ones(values.shape, bool))
        if single:
            for value in np.unique(values[values > 0]):
                self.put(values == value, f"{NODE} {value}")
        else:
            self.put(values > 0)
        # Only these: a tumor that was drawn before is still to be submitted.
        own = {(self.segmentation.GetID(), identity) for identity in self.nodes()}
        former = {key: one for key, one in self._kept.items() if key not in own}
        self._kept = {**former, **{key: one for key, one in drawings().items() if key in own}}

    def _mask(self, identity):
        """Voxels of a segment."""
        shape = self.ct.GetImageData().GetDimensions()
        if not self.segmentation.GetBinaryLabelmapInternalRepresentation(identity):
            return np.zeros(shape, bool)
        found = slicer.util.arrayFromSegmentBinaryLabelmap(self.segmentation, identity, self.ct)
        return np.zeros(shape, bool) if found is None else found.T > 0

    def _put(self, mask, identity):
        voxels = np.ascontiguousarray(mask.T).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(voxels, self.segmentation, identity, self.ct)

    def _id(self, name):
        """Id of the first segment of this name, which is added if there is none."""
        held = [identity for identity, other in segments(self.segmentation) if other == name]
        return held[0] if held else self.segmentation.GetSegmentation().AddEmptySegment("", name)
