"""PET of another day onto the planning CT (docs/registration.md)."""

from osln.registration.pet import RegisteredPet, register_pet
from osln.registration.quality import Quality

__all__ = ["Quality", "RegisteredPet", "register_pet"]
