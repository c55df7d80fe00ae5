"""Phantoms that look like patients: ranges, what is drawn from them, tissues and the scanner."""
