"""Synthetic CT + PET patients with known lymph nodes and known mimics (docs/phantom.md)."""

from osln.phantom.parameters import GENERATOR_VERSION, PhantomParameters
from osln.phantom.patient.scan import Phantom, make_phantom
from osln.phantom.realistic.parameters import RealisticParameters

__all__ = ["GENERATOR_VERSION", "Phantom", "PhantomParameters", "RealisticParameters", "make_phantom"]
