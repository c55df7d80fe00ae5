"""The jobs of a run: every row of its tables, each thing made once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from osln.cohorts.cohort import SPLITS
from osln.reproduction.end_to_end import detect_nodes, train_end_to_end
from osln.reproduction.jobs import Job
from osln.reproduction.plan import EVALUATED, Network, Plan
from osln.reproduction.stage_one import count_row, make_maps, prepare_cases, train_network
from osln.reproduction.stage_two import make_candidates, make_tags, score_row, train_row
from osln.rows.experiments import CLASSIFIERS, SEGMENTERS
from osln.rows.lines import Row

CHUNK = 16
"""Patients of one job."""
CANDIDATES_PER_PATIENT = 28
"""Of late fusion at precision .15 on phantoms, true nodes added; for the estimate of time alone."""
SECONDS = {"map": 0.5, "count": 0.15, "candidates": 0.06, "tag": 0.009, "slices": 0.28, "detect": 1.8}
"""What one core took with the demo preset: for a map, for a patient's counts and candidates, for a tag, for a
detector's training step and for its look at a patient. They weigh the progress bar and the order."""
STEP_SECONDS = {"unet": 0.3, "se-unet": 0.36, "hrnet": 0.06, "psnn": 0.16}
"""The same of a training step of 8 patches, by backbone; two heads take a third more."""
CANDIDATE_SECONDS = {"glnet": 0.0033, "set-glnet": 0.0048, "random-views": 0.0011}
"""The same of a candidate in a training step, by network; hardly anything where there is no patch."""


def jobs_of(plan: Plan) -> dict[str, Job]:
    """Every job by name."""
    jobs = dict(_prepare(plan))
    for seed in range(plan.seeds):
        for row in plan.rows:
            _add_row(jobs, plan, row, seed)
    return jobs


def rows_without(plan: Plan, failures: Mapping[str, Exception]) -> dict[Row, str]:
    """The rows that need a job that failed, with its name and what it raised."""
    found = {}
    for row in plan.rows if failures else ():
        jobs = dict(_prepare(plan))
        for seed in range(plan.seeds):
            _add_row(jobs, plan, row, seed)
        if name := next((name for name in jobs if name in failures), None):
            found[row] = f"{name}: {failures[name]}"
    return found


def _prepare(plan: Plan) -> Iterable[tuple[str, Job]]:
    taught = _needs_stage_two(plan.rows)
    for split in SPLITS:
        if split == "stage two" and (not taught or plan.cohort.cases(split) == plan.cohort.cases("train")):
            continue
        for cases in _chunks(plan.cohort.cases(split)):
            targets = tuple(plan.cohort.path(case) for case in cases)
            cost = plan.cohort.seconds * len(cases)
            yield f"patients {cases[0]}", Job(prepare_cases, (cases,), (), targets, cost)


def _add_row(jobs: dict[str, Job], plan: Plan, row: Row, seed: int) -> None:
    """The jobs of one row, those of other rows that it needs among them."""
    evaluated = [case for split in EVALUATED for case in plan.cohort.cases(split)]
    if row.detector:
        _add_detector(jobs, plan, row, seed, evaluated)
        return
    networks = plan.networks(row, seed)
    maps = [_add_maps(jobs, plan, network, evaluated, row.turns) for network in networks]
    counted = f"counts of {row.setting.name} seed {seed}"
    targets = (plan.counts_path(row, seed),)
    cost = SECONDS["count"] * len(evaluated)
    jobs.setdefault(counted, Job(count_row, (counted, row.setting, seed), tuple(maps), targets, cost))
    if row.kind == "recall":
        return
    found = [name for split in EVALUATED for name in _add_candidates(jobs, plan, row, seed, split, counted)]
    if row.classifier is None:
        return
    row = replace(row, joint=False)
    if row.teacher != row:
        _add_row(jobs, plan, row.teacher, seed)
    trained = _add_classifier(jobs, plan, row.teacher, seed)
    if CLASSIFIERS[str(row.classifier)].tags:
        found += [_add_tags(jobs, plan, row, seed, name) for name in list(found)]
    scored = f"scores of {row.name} seed {seed}"
    cost = CANDIDATE_SECONDS["glnet"] * len(evaluated) * CANDIDATES_PER_PATIENT / 3 * row.turns
    targets = (plan.scores_path(row, seed),)
    jobs.setdefault(scored, Job(score_row, (scored, row, seed), (trained, *found), targets, cost, True))


def _add_classifier(jobs: dict[str, Job], plan: Plan, row: Row, seed: int) -> str:
    """The jobs of a row's classifier; returns the name of the training."""
    classifier = CLASSIFIERS[str(row.classifier)]
    counted = f"counts of {row.setting.name} seed {seed}"
    names = _add_candidates(jobs, plan, row, seed, "stage two", counted)
    if classifier.tags:
        names += [_add_tags(jobs, plan, row, seed, name) for name in list(names)]
    trained = f"classifier {row.name} seed {seed}"
    teaching = len(plan.cohort.cases("stage two")) * CANDIDATES_PER_PATIENT * plan.preset.stage_two.epochs
    cost = CANDIDATE_SECONDS[classifier.network] * teaching * (1.0 if classifier.inputs else 0.02)
    targets = (plan.classifier_path(row, seed),)
    jobs.setdefault(trained, Job(train_row, (trained, row, seed), tuple(names), targets, cost, True))
    return trained


def _add_detector(jobs: dict[str, Job], plan: Plan, row: Row, seed: int, evaluated: Sequence[str]) -> None:
    """The jobs of an end-to-end detector."""
    trained, found = (f"{word} {row.detector} seed {seed}" for word in ("detector", "nodes of"))
    learned = _preparing(jobs, plan.cohort.cases("train"))
    cost = SECONDS["slices"] * plan.detector_steps
    targets = (plan.detector_path(row, seed),)
    jobs[trained] = Job(train_end_to_end, (trained, row, seed), learned, targets, cost, True)
    needed = (trained, *_preparing(jobs, evaluated))
    cost = SECONDS["detect"] * len(evaluated)
    targets = (plan.found_path(row, seed),)
    jobs[found] = Job(detect_nodes, (found, row, seed), needed, targets, cost, True)


def _preparing(jobs: dict[str, Job], cases: Iterable[str]) -> tuple[str, ...]:
    """Names of the jobs that prepare these cases."""
    wanted = set(cases)
    return tuple(
        name for name, job in jobs.items() if job.work is prepare_cases and wanted & set(job.arguments[0])
    )


def _add_network(jobs: dict[str, Job], plan: Plan, network: Network) -> str:
    name = network_name(network)
    needed = _preparing(jobs, plan.learned_cases(network))
    segmenter = SEGMENTERS[network.segmenter]
    cost = STEP_SECONDS[segmenter.backbone] * plan.steps(network) * (1.33 if segmenter.gate else 1.0)
    targets = (plan.weights_path(network),)
    jobs.setdefault(name, Job(train_network, (name, network), needed, targets, cost, True))
    return name


def _add_maps(
    jobs: dict[str, Job], plan: Plan, network: Network, cases: Sequence[str], turns: int = 1
) -> str:
    """The job of a network's maps of these cases, that of the network before it."""
    trained = _add_network(jobs, plan, network)
    name = f"maps of {trained} from {cases[0]}" + (f" in {turns} turns" if turns > 1 else "")
    targets = tuple(plan.map_path(network, case, turns) for case in cases)
    cost = SECONDS["map"] * len(cases) * turns
    arguments = (name, network, tuple(cases), turns)
    jobs.setdefault(name, Job(make_maps, arguments, (trained, *_preparing(jobs, cases)), targets, cost, True))
    return name


def _add_candidates(
    jobs: dict[str, Job], plan: Plan, row: Row, seed: int, split: str, counted: str
) -> list[str]:
    """The jobs of a setting's candidates of a split; returns their names."""
    row, names = row.setting, []
    for cases in _chunks(plan.cohort.cases(split)):
        needed = [counted]
        if split == "stage two":
            by_network: dict[Network, list[str]] = {}
            for case in cases:
                for network in plan.unseen(row, seed, case):
                    by_network.setdefault(network, []).append(case)
            needed += [_add_maps(jobs, plan, network, asked) for network, asked in by_network.items()]
        name = f"candidates of {row.name} seed {seed} from {cases[0]}"
        targets = tuple(plan.candidates_path(row, seed, case) for case in cases)
        cost = SECONDS["candidates"] * len(cases)
        jobs.setdefault(name, Job(make_candidates, (name, row, seed, cases), tuple(needed), targets, cost))
        names.append(name)
    return names


def _add_tags(jobs: dict[str, Job], plan: Plan, row: Row, seed: int, candidates: str) -> str:
    """The job of the tags of the candidates that another job finds."""
    cases = jobs[candidates].arguments[3]
    name = candidates.replace("candidates", "tags", 1)
    targets = tuple(plan.tags_path(row, seed, case) for case in cases)
    cost = SECONDS["tag"] * CANDIDATES_PER_PATIENT * len(cases)
    jobs.setdefault(
        name, Job(make_tags, (name, row.setting, seed, cases), (candidates,), targets, cost, True)
    )
    return name


def network_name(network: Network) -> str:
    """Name of a training in the progress bar and in the record of the run."""
    without = f" without {network.left_out[0]} and others" if network.left_out else ""
    length = f" x{network.length}" if network.length > 1 else ""
    return f"network {network.segmenter}{length} seed {network.seed}{without}"


def _needs_stage_two(rows: Iterable[Row]) -> bool:
    return any(row.classifier for row in rows)


def _chunks(cases: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(cases[start : start + CHUNK]) for start in range(0, len(cases), CHUNK)]
