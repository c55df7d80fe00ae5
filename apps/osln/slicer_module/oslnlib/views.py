"""What Slicer's slice views show."""

import slicer

SUV_WINDOW = (0.0, 10.0)
PET_OPACITY = 0.5


def show(ct, pet_file):
    """Lays a PET in SUV, None if there is none, over a CT (vtkMRMLScalarVolumeNode)."""
    pet = None if pet_file is None else slicer.util.loadVolume(str(pet_file), {"name": "PET"})
    if pet is not None:
        display = pet.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevelMinMax(*SUV_WINDOW)
        hot = slicer.mrmlScene.GetFirstNodeByName("PET-Heat")
        if hot is not None:
            display.SetAndObserveColorNodeID(hot.GetID())
    slicer.util.setSliceViewerLayers(ct, pet, foregroundOpacity=PET_OPACITY, fit=True)


def jump(center_mm):
    """To a point, RAS mm."""
    slicer.modules.markups.logic().JumpSlicesToLocation(*center_mm, True)
