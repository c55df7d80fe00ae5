"""The pictures of a report: curves of every table, node volumes, and patients as in Figures 2 and 4."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from osln.imaging.lung_column import LungColumn
from osln.metrics.froc import best_f1
from osln.pictures import draw_detections, draw_inputs
from osln.reproduction.artifacts import Artifacts
from osln.reproduction.charts import froc_chart, recall_precision_chart, volume_chart
from osln.reproduction.classes import node_volumes_mm3
from osln.reproduction.figures import CandidateResult, MapResult, Result
from osln.reproduction.reading import case_scores, read_candidates, row_patients
from osln.reproduction.report import Picture
from osln.reproduction.stage_two import find
from osln.rows.experiments import PROXIMAL_MM, ROWS, Row
from osln.rows.lines import Line, Table
from osln.rows.paper import TABLES
from osln.stage_one.candidates import Detections

DPI = 80
SHOWN_ROW = ROWS["osln"]
"""The paper's method: its candidates are drawn."""


def draw_all(artifacts: Artifacts, results: Mapping[Row, Result], folder: Path) -> list[tuple[str, Picture]]:
    """Draws everything into the folder; each picture with the name of the table or section it belongs to."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for section, name, caption, figure in _figures(artifacts, results):
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=DPI, facecolor=figure.get_facecolor())
        drawn.append((section, Picture(path, caption)))
    return drawn


def _figures(artifacts: Artifacts, results: Mapping[Row, Result]) -> Iterable[tuple[str, str, str, Figure]]:
    cohort = artifacts.cohort
    for name in artifacts.plan.tables:
        table = TABLES[name]
        lines = [line for line in table.lines if line.row in results]
        maps = {
            _caption(line): result.test
            for line in lines
            if isinstance(result := results[line.row], MapResult)
        }
        if maps:
            words = (
                "Recall against precision, macro-averaged over the test patients, for every voxel threshold."
            )
            yield name, f"recall-precision-{name}", words, recall_precision_chart(maps)
        if panels := _panels(table, lines, results):
            yield name, f"froc-{name}", "FROC on the test patients.", froc_chart(panels)
    columns = [cohort.column(case) for split in ("train", "test") for case in cohort.cases(split)]
    words = "Volumes of the nodes of training and test patients by zone (the paper's Figure 1g)."
    yield "patients", "node-volumes", words, volume_chart(_volumes(columns))
    cases = shown_cases(cohort.cases("test"), results)
    for title, case in cases.items():
        column = with_tumor(cohort.column(case))
        words = f"{case}, the test patient with {title}"
        yield (
            "patients",
            f"inputs-{case}",
            f"{words}: what stage one sees (Figure 2).",
            draw_inputs(column, case),
        )
        if SHOWN_ROW in results:
            found = scored_detections(artifacts, SHOWN_ROW, 0, case)
            picture = draw_detections(found, column.nodes, f"{case}, LF (GLNet)")
            yield (
                "patients",
                f"found-{case}",
                f"{words}: what is found and what stage two rejects (Figure 4).",
                picture,
            )


def _caption(line: Line) -> str:
    return f"{line.title} (control)" if line.control else line.title


def _panels(table: Table, lines: Iterable[Line], results: Mapping[Row, Result]) -> dict[str, dict[str, list]]:
    """A panel for each setting of stage one, and one for the detectors."""
    panels: dict[str, dict[str, list]] = {}
    for line in lines:
        result = results[line.row]
        if isinstance(result, CandidateResult):
            title = "end to end" if line.row.detector else line.row.setting.key
            panels.setdefault(title, {})[line.title] = list(result.test)
    return panels


def _volumes(columns: Iterable[LungColumn]) -> dict[str, np.ndarray]:
    volumes: dict[str, list[float]] = {"proximal": [], "distal": []}
    for column in columns:
        nodes: np.ndarray = column.nodes  # type: ignore[assignment]
        labels = np.unique(nodes[nodes > 0])
        for label, volume in zip(labels, node_volumes_mm3(column), strict=True):
            near = column.distance_mm is None or np.median(column.distance_mm[nodes == label]) <= PROXIMAL_MM
            volumes["proximal" if near else "distal"].append(float(volume))
    return {zone: np.array(values) for zone, values in volumes.items()}


def shown_cases(cases: Sequence[str], results: Mapping[Row, Result]) -> dict[str, str]:
    """Test patients to draw: of the middle and of the lowest share of nodes found, not the best ones.

    Where the paper's method was not run, the first one.
    """
    result = results.get(SHOWN_ROW)
    if not isinstance(result, CandidateResult):
        return {"the first id": cases[0]}
    at = best_f1(result.validation[0]).threshold
    shares = {
        case: (one.hits & (one.scores >= at)).sum() / one.n_nodes
        for case, one in zip(cases, result.test[0], strict=True)
        if one.n_nodes
    }
    ordered = sorted(shares, key=lambda case: (shares[case], case))
    named = {"the middle share of nodes found": len(ordered) // 2, "the lowest share of nodes found": 0}
    return {title: ordered[index] for title, index in named.items()}


def scored_detections(artifacts: Artifacts, row: Row, seed: int, case: str) -> Detections:
    """A test patient's candidates under a row's scores, kept from validation's best F1 on."""
    maps = artifacts.fused(row, seed, case)
    found = find(artifacts.cohort, row, artifacts.counts(row, seed).path, maps, case)
    sets = read_candidates(artifacts, row, seed, "test")
    at = next(index for index, one in enumerate(sets) if one.case == case)
    scores = case_scores(artifacts, row, seed, "test", sets)[at]
    least = best_f1(row_patients(artifacts, row, seed, "validation")).threshold
    candidates = [
        replace(candidate, score=float(score), kept=bool(score >= least))
        for candidate, score in zip(found.candidates, scores, strict=True)
    ]
    return replace(found, column=with_tumor(found.column), candidates=candidates, classifier=row.classifier)


def with_tumor(column: LungColumn) -> LungColumn:
    """The column with its tumor, which compact columns leave out: where the distance is not positive."""
    return column if column.distance_mm is None else replace(column, tumor=column.distance_mm <= 0)
