"""Anybody's predictions against the truth."""
