"""The table of the engines: medians and ranges over rounds, and the share of time that two workers take."""

from benchmarks.scaling import report


def test_medians_and_ranges_and_the_share_of_each_round():
    def runs(*further: float) -> list[dict[str, float]]:
        return [{"start": 1.0 + number, "each further": one} for number, one in enumerate(further)]

    found = {("patient", "Ray", 1): runs(1.0, 2.0, 1.2), ("patient", "Ray", 2): runs(0.5, 1.2, 0.9)}

    assert report(found).splitlines()[2:] == [
        "| patient | Ray | 2.0 (1.0 - 3.0) | 2.0 (1.0 - 3.0) | 1200 (1000 - 2000) | 900 (500 - 1200) "
        "| 0.60 (0.50 - 0.75) |"
    ]
