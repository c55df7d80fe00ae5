"""What a training is refused for."""


class NothingToLearnError(ValueError):
    """The patients lack what is to be told apart, as a fold of cross-fitting may lack nodes."""
