"""A store that mirrors a PACS."""
