"""From arrays to DICOM: images, structure sets, segmentations."""
