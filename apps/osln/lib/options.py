"""The options of a request: what a client may set, in which range, and how the viewers show it.

MONAI Label merges whatever a client sends into the request of a task, so that `params` can replace the
model, the image or a file name of the server. Here a task lists its options; everything else is refused
with the list, and only checked values reach the science.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

BY_SERVER = ("method", "background", "by_itself")
"""Keys that the server puts into the request of a task, and no client may."""
BY_ITSELF = "by_itself"
"""Key of a request of the server itself, which nobody waits for."""
FROM_CLIENT = ("client_id", "user", "logging")
"""Keys that every MONAI Label client adds and no task reads."""


@dataclass(frozen=True)
class Choice:
    """One of several strings: a combo box in the viewers, the first entry being the default.

    Attributes:
        name: Key in the request.
        values: Allowed values; the viewers need strings.
        words: What it is, for a person who chooses.
    """

    name: str
    values: tuple[str, ...]
    words: str = ""

    @property
    def shown(self) -> list[str]:
        return list(self.values)

    @property
    def default(self) -> str:
        return self.values[0]

    def checked(self, value: Any) -> str:
        """Returns the value if it is allowed; a client that sends the whole list back means the default.

        Raises:
            ValueError: If the value is not one of `values`.
        """
        if list(self.values) == value:
            return self.default
        if value not in self.values:
            raise ValueError(f"{self.name} is one of {listed(self.values)}, not {value!r}")
        return str(value)


@dataclass(frozen=True)
class Number:
    """A number in a range; text such as "1e-3" is read as a number, as the viewers send text.

    Attributes:
        name: Key in the request.
        default: Value if the request has none; an int asks for whole numbers.
        low: Smallest allowed value.
        high: Largest allowed value.
        words: What it is, for a person who chooses.
    """

    name: str
    default: float
    low: float
    high: float
    words: str = ""

    @property
    def shown(self) -> float:
        return self.default

    def checked(self, value: Any) -> float:
        """Returns the value as int or float.

        Raises:
            ValueError: If it is no number, not whole where a whole number is asked, or out of range.
        """
        whole = isinstance(self.default, int)
        wanted = f"{self.name} is a {'whole ' if whole else ''}number from {self.low} to {self.high}"
        try:
            number = float(value) if not isinstance(value, bool) else float("nan")
        except (TypeError, ValueError):
            number = float("nan")
        if not self.low <= number <= self.high or (whole and number != int(number)):
            raise ValueError(f"{wanted}, not {value!r}")
        return int(number) if whole else number


@dataclass(frozen=True)
class Switch:
    """On or off: a check box in the viewers.

    Attributes:
        name: Key in the request.
        default: Value if the request has none.
        words: What it is, for a person who chooses.
    """

    name: str
    default: bool
    words: str = ""

    @property
    def shown(self) -> bool:
        return self.default

    def checked(self, value: Any) -> bool:
        """Returns the value as bool; "true" and "false" are read as text.

        Raises:
            ValueError: If it is neither true nor false.
        """
        text = str(value).lower()
        if text not in ("true", "false"):
            raise ValueError(f"{self.name} is true or false, not {value!r}")
        return text == "true"


Option = Choice | Number | Switch


def listed(names: Iterable[str]) -> str:
    return ", ".join(str(name) for name in names)


def shown(options: Iterable[Option]) -> dict[str, Any]:
    """The options as MONAI Label's `config` of a task: the viewers build their widgets from it."""
    return {option.name: option.shown for option in options}


def checked(
    given: Mapping[str, Any], options: Collection[Option], ignored: Collection[str] = ()
) -> dict[str, Any]:
    """Every option with the value of the request or its default.

    Args:
        given: What the client sent.
        options: What the task accepts.
        ignored: Further keys that may be there and mean nothing to the task.

    Raises:
        ValueError: If a key is unknown or a value not allowed; the sentence lists what is.
    """
    known = {option.name: option for option in options}
    strange = sorted(
        str(key) for key in given if key not in known and key not in ignored and key not in FROM_CLIENT
    )
    if strange:
        raise ValueError(f"unknown option {listed(strange)}; the options here are: {listed(known)}")
    return {
        name: option.default if given.get(name) is None else option.checked(given[name])
        for name, option in known.items()
    }
