"""DICOMweb as a client."""
