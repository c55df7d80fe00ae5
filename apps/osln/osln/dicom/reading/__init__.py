"""From DICOM to arrays: CT, PET in SUV, structure sets, segmentations."""
