"""The generated cohorts on which strategies are compared, by name.

They share no seed with what any shipped network has learned from (`osln.cohorts.phantoms.FIRST_SEED`). The
large hospital of `sites` is like that of `alike`, and has some of its patients.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from osln.phantom import PhantomParameters
from osln.phantom.parameters import BLIND


@dataclass(frozen=True)
class Site:
    """Where some of the patients of a cohort come from.

    Attributes:
        name: For reports.
        pooled: Share of the patients that may be labeled.
        tested: Share of those that test.
        changes: What is different there from `PhantomParameters`.
    """

    name: str
    pooled: float = 1.0
    tested: float = 1.0
    changes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parameters(self) -> PhantomParameters:
        """What its patients are made with."""
        return replace(PhantomParameters(), **self.changes)


@dataclass(frozen=True)
class SimulatedCohort:
    """Patients to be labeled and to be tested with.

    Attributes:
        name: Key in `COHORTS`.
        title: What reports say of it.
        seeds: Phantom seed of each patient, one site's behind the other's.
        pool: Patients that may be labeled, in each run; the others test.
        sites: With shares that sum to 1.
    """

    name: str
    title: str
    seeds: Sequence[int]
    pool: int
    sites: tuple[Site, ...] = (Site("one"),)

    @property
    def cases(self) -> tuple[str, ...]:
        """Ids of all patients, `phantom-SEED`."""
        return tuple(f"phantom-{seed}" for seed in self.seeds)

    @property
    def test(self) -> int:
        """Patients that test, in each run."""
        return len(self.seeds) - self.pool

    @cached_property
    def by_case(self) -> Mapping[str, Site]:
        """The site that each case comes from."""
        pooled, tested = self._shares(self.pool, "pooled"), self._shares(self.test, "tested")
        counts = [one + other for one, other in zip(pooled, tested, strict=True)]
        sites = [site for site, count in zip(self.sites, counts, strict=True) for _ in range(count)]
        return dict(zip(self.cases, sites, strict=True))

    def _shares(self, count: int, of: str) -> list[int]:
        borders = np.round(np.cumsum([0.0, *(getattr(site, of) for site in self.sites)]) * count)
        return np.diff(borders).astype(int).tolist()

    def dealt(self, seed: int) -> tuple[list[str], list[str]]:
        """Which patients may be labeled and which test in the run of a seed, both in an order by chance.

        Each site keeps its shares.
        """
        rng = np.random.default_rng([seed, self.seeds[0]])
        pool: list[str] = []
        test: list[str] = []
        for site, pooled in zip(self.sites, self._shares(self.pool, "pooled"), strict=True):
            own = [case for case in self.cases if self.by_case[case] == site]
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

ALIKE = (*range(700_000, 700_050), *range(710_000, 710_030))

COHORTS = {
    one.name: one
    for one in (
        SimulatedCohort("alike", "patients alike", ALIKE, 50),
        SimulatedCohort(
            "blind", "a rule blind to distance", range(720_000, 720_032), 20, (Site("one", changes=BLIND),)
        ),
        SimulatedCohort("few", "few patients alike", range(740_000, 740_040), 24),
        SimulatedCohort("sites", "hospitals that differ", (*ALIKE[:26], *range(730_000, 730_027)), 33, SITES),
    )
}
"""By name."""
