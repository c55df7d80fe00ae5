"""Runs the example in a docstring."""

import doctest
from typing import Any


def failed_and_all(subject: Any, **given: Any) -> tuple[int, int]:
    """Lines of an example that do not give what they show, and all; `given` are names that it uses."""
    (example, *_) = [one for one in doctest.DocTestFinder().find(subject, extraglobs=given) if one.examples]
    failed, tried, *_ = doctest.DocTestRunner().run(example)
    return failed, tried
