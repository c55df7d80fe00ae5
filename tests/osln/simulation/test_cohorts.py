"""Who may be labeled and who tests."""

from osln.cohorts.phantoms import FIRST_SEED
from osln.simulation.cohorts import COHORTS, SITES, SimulatedCohort, Site

TWO = SimulatedCohort("two", "two sites", range(10), 6, (Site("a", 0.5, 0.25), Site("b", 0.5, 0.75)))


def test_no_patient_has_taught_a_shipped_network_or_is_in_a_cohort_twice():
    for cohort in COHORTS.values():
        assert len(set(cohort.seeds)) == len(cohort.seeds)
        assert min(cohort.seeds) >= max(FIRST_SEED.values()) + 100_000
        assert sum(map(len, cohort.dealt(0))) == len(cohort.seeds)


def test_only_the_large_hospital_has_patients_of_another_cohort():
    sites, alike = COHORTS["sites"], COHORTS["alike"]
    shared = set(sites.cases) & set(alike.cases)

    assert shared == {case for case, site in sites.by_case.items() if site.name == "large"}
    assert sites.by_case[sites.cases[0]].parameters == alike.by_case[alike.cases[0]].parameters
    assert not set(COHORTS["blind"].cases) & {*sites.cases, *alike.cases}


def test_sites_have_their_shares():
    # Of 6 to label 3 and 3; of 4 to test 1 and 3.
    assert [site.name for site in TWO.by_case.values()] == ["a"] * 4 + ["b"] * 6
    pool, test = TWO.dealt(0)
    assert [sum(TWO.by_case[case].name == "a" for case in part) for part in (pool, test)] == [3, 1]
    assert sorted(pool + test) == sorted(TWO.cases)


def test_a_seed_deals_the_same_and_another_one_something_else():
    assert TWO.dealt(1) == TWO.dealt(1)
    assert TWO.dealt(1) != TWO.dealt(2)


def test_shares_of_sites_sum_to_one():
    assert sum(site.pooled for site in SITES) == sum(site.tested for site in SITES) == 1


def test_the_blind_rule_ignores_the_distance():
    (site,) = COHORTS["blind"].sites
    from osln.phantom.findings.nodes import counts_as_osln

    told = {
        (short, avid, counts_as_osln(site.parameters, distance, short, avid, 0.5, 0.5))
        for distance in (0.0, 40.0, 70.0, 200.0)
        for short, avid in ((6.0, False), (6.0, True), (9.0, False))
    }
    assert told == {(6.0, False, False), (6.0, True, True), (9.0, False, True)}
