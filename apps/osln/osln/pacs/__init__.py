"""A store that mirrors a PACS: listed by QIDO-RS, filled by WADO-RS, approved labels returned by STOW-RS."""
