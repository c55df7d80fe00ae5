"""Anatomy without findings."""
