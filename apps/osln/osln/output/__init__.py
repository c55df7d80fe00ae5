"""What becomes of detections: label maps, JSON, DICOM, pictures and a page of all cases, case by case."""
