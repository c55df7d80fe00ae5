"""PET of another day onto the planning CT (docs/registration.md)."""

from .pet import RegisteredPet, register_pet
from .quality import Quality

__all__ = ["Quality", "RegisteredPet", "register_pet"]
