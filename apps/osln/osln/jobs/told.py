"""What workers of a cluster tell; a module of its own, so that its process loads nothing else."""


class Told:
    """Keeps what workers tell until it is taken; an actor."""

    def __init__(self) -> None:
        self._told: list[tuple[str, float, str]] = []

    def add(self, told: tuple[str, float, str]) -> None:
        """From a worker: name of the artifact, share and words."""
        self._told.append(told)

    def take(self) -> list[tuple[str, float, str]]:
        """All since the last call."""
        told, self._told = self._told, []
        return told
