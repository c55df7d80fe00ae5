"""Images of a folder of cases as DICOM, made when they are asked for and never stored."""
