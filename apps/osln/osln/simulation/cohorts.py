"""The generated cohorts on which strategies are compared, by name.

Their seeds are no others' (`osln.cohorts.phantoms.FIRST_SEED`), and those of `trial` are in no other cohort.
The patients of `blind` are some of `alike`, of whom other nodes count.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from osln.phantom import PhantomParameters

EVERYWHERE_MM = -1e6
"""Border of the proximal zone that leaves no node in it: all count by the same rule."""
BLIND: dict[str, Any] = {"rule_middle_mm": EVERYWHERE_MM, "enlarged_short_mm": 8.0}
"""A node counts from a short axis of 8 mm or if it is avid, wherever it is."""


@dataclass(frozen=True)
class Site:
    """Where some of the patients of a cohort come from.

    Attributes:
        name: For reports.
        pooled: Share of the patients that may be labeled.
        tested: Share of those that test.
        changes: What is different there from `PhantomParameters`.
        rule: The same of the rule by which nodes count alone: other truths of the same images.
    """

    name: str
    pooled: float = 1.0
    tested: float = 1.0
    changes: Mapping[str, Any] = field(default_factory=dict)
    rule: Mapping[str, Any] = field(default_factory=dict)

    @property
    def imaged(self) -> PhantomParameters:
        """What the images are made with."""
        return replace(PhantomParameters(), **self.changes)

    @property
    def judged(self) -> PhantomParameters:
        """What the truth is made with."""
        return replace(self.imaged, **self.rule)


@dataclass(frozen=True)
class SimulatedCohort:
    """Patients to be labeled and to be tested with.

    Attributes:
        name: Key in `COHORTS`.
        title: What reports say of it.
        first_seed: Phantom seed of the first patient.
        pool: Patients that may be labeled, in each run.
        test: Patients that test, in each run.
        sites: With shares that sum to 1.
    """

    name: str
    title: str
    first_seed: int
    pool: int
    test: int
    sites: tuple[Site, ...] = (Site("one"),)

    def site_of(self, case: str) -> Site:
        """The site that a case comes from; sites have their patients one behind the other."""
        index = self.cases.index(case)
        for site, count in zip(self.sites, self._counts, strict=True):
            if index < count:
                return site
            index -= count
        raise AssertionError(case)

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of all patients, `phantom-SEED`."""
        seeds = range(self.first_seed, self.first_seed + sum(self._counts))
        return tuple(f"phantom-{seed}" for seed in seeds)

    @property
    def _counts(self) -> list[int]:
        """Patients of each site."""
        pooled, tested = self._shares(self.pool, "pooled"), self._shares(self.test, "tested")
        return [one + other for one, other in zip(pooled, tested, strict=True)]

    def _shares(self, count: int, of: str) -> list[int]:
        borders = np.round(np.cumsum([0.0, *(getattr(site, of) for site in self.sites)]) * count)
        return np.diff(borders).astype(int).tolist()

    def dealt(self, seed: int) -> tuple[list[str], list[str]]:
        """Which patients may be labeled and which test in the run of a seed, both in an order by chance.

        Each site keeps its shares.
        """
        rng = np.random.default_rng([seed, self.first_seed])
        pool: list[str] = []
        test: list[str] = []
        left = list(self.cases)
        for pooled, tested in zip(
            self._shares(self.pool, "pooled"), self._shares(self.test, "tested"), strict=True
        ):
            own, left = left[: pooled + tested], left[pooled + tested :]
            order = rng.permutation(len(own))
            pool += [own[index] for index in order[:pooled]]
            test += [own[index] for index in order[pooled:]]
        return [pool[index] for index in rng.permutation(len(pool))], sorted(test)


SITES = (
    Site("large", 0.64, 0.25),
    Site("noisy", 0.12, 0.25, {"ct_noise_hu": 26.0, "pet_noise_fraction": 0.28, "pet_blur_fwhm_mm": 8.0}),
    Site(
        "native",
        0.12,
        0.25,
        {"ct_noise_hu": 18.0, "fat_texture_hu": 22.0, "tumor_z_share": (0.05, 0.15, 0.80)},
    ),
    Site(
        "advanced",
        0.12,
        0.25,
        {"malignant_base": 0.20, "malignant_near": 0.70, "tumor_z_share": (0.90, 0.05, 0.05)},
    ),
)
"""One large hospital and three small ones: their own noise and sharpness of PET, their own fat and place of
the tumor, their own share of enlarged nodes. All are tested alike, so that labels of the small ones pay."""

COHORTS = {
    one.name: one
    for one in (
        SimulatedCohort("trial", "patients alike, to choose settings with", 700_000, 32, 18),
        SimulatedCohort("alike", "patients alike", 710_000, 70, 40),
        SimulatedCohort("blind", "a rule blind to distance", 710_030, 38, 22, (Site("one", rule=BLIND),)),
        SimulatedCohort("sites", "hospitals that differ", 730_000, 48, 28, SITES),
    )
}
