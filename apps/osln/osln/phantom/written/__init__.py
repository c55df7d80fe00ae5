"""Phantoms as files."""
