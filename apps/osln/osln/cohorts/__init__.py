"""Patients in splits: phantoms and approved cases."""
