"""Synthetic CT + PET patients with known lymph nodes and known mimics (docs/phantom.md)."""

from .imaging import Phantom, make_phantom
from .parameters import GENERATOR_VERSION, PhantomParameters

__all__ = ["GENERATOR_VERSION", "Phantom", "PhantomParameters", "make_phantom"]
