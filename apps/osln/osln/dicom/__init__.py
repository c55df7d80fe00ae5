"""DICOM in and out: series to volumes in HU and SUV, structure sets to masks, masks to SEG and RTSTRUCT."""
