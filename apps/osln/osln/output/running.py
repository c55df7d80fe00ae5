"""Cases through a pipeline, one after the other, whatever a single case does."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from osln.output.cases import Case, Tell, load_for
from osln.output.ct_images import series_key
from osln.output.result import result
from osln.output.scores import write_scores
from osln.output.writing import (
    CT_SERIES,
    Wanted,
    check_name,
    check_place,
    failure_path,
    finish,
    forget_failure,
    is_finished,
    made_from,
    note_failure,
    read_failure,
    with_former_series,
    write_files,
)
from osln.pipeline import Pipeline

logger = logging.getLogger(__name__)

DONE, PRESENT, FAILED = "done", "present", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a case.

    Attributes:
        case: Its name.
        state: "done", "present" (finished before) or "failed".
        reason: Why it failed.
        candidates, kept: Numbers of a case that was done now.
        warnings: What a person should look at.
        seconds: Duration.
    """

    case: str
    state: str
    reason: str = ""
    candidates: int = 0
    kept: int = 0
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        if self.state == FAILED:
            return f"{self.case}: failed: {self.reason}"
        if self.state == PRESENT:
            return f"{self.case}: done before with the same images, weights and options"
        return f"{self.case}: {self.kept} of {self.candidates} candidates kept in {self.seconds:.1f} s"


def run_cases(
    cases: Sequence[Case],
    pipeline: Pipeline,
    wanted: Wanted,
    *,
    overwrite: bool = False,
    tell: Tell = lambda words, share: None,
) -> Iterator[Outcome]:
    """Finds the nodes of each case and writes its files; a case that fails does not stop the others.

    With every candidate, the scores of all cases are written after each of them: a run may be stopped.

    Args:
        cases: In this order.
        pipeline: Loaded once for all.
        wanted: What is written, and where.
        overwrite: Do finished cases again.
        tell: What goes on inside a case.
    """
    for case in cases:
        began = time.perf_counter()
        try:
            outcome = _run_case(case, pipeline, wanted, overwrite=overwrite, tell=tell)
        except Exception as error:
            # ValueError and OSError say themselves what is wrong; others are accidents, told with their kind.
            logger.debug("case %s failed", case.name, exc_info=True)
            expected = isinstance(error, (ValueError, OSError))
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            _note_failure(case, reason, wanted)
            outcome = Outcome(case.name, FAILED, reason, seconds=time.perf_counter() - began)
        if wanted.every:
            _write_scores(wanted)
        yield outcome


def _run_case(case: Case, pipeline: Pipeline, wanted: Wanted, *, overwrite: bool, tell: Tell) -> Outcome:
    began = time.perf_counter()
    check_name(case.name)
    made = with_former_series(case.name, made_from(case, pipeline, wanted), wanted)
    if not overwrite and is_finished(case.name, made, wanted) and _same_series(case, made, wanted):
        # Of a run in between, with other images or options.
        forget_failure(wanted.out, case.name)
        return Outcome(case.name, PRESENT)
    check_place(case, made, wanted, overwrite=overwrite)
    with case.files(tell) as files:
        study, left_out = load_for(pipeline.row, files.paths)
        # The images of a study tell their doubts themselves.
        warnings = list(dict.fromkeys([*files.warnings, *left_out]))
        series = case.ct_series(study.ct) if wanted.dicom else None
        if series is not None:
            made = made | {CT_SERIES: series_key(series)}
        read = time.perf_counter()
        found = pipeline.detect(study)
        detected = time.perf_counter()

        def content(**latencies: float) -> dict:
            seconds = {"read": read - began, **found.seconds, **latencies}
            told = result(
                found, pipeline, warnings=warnings, latencies=seconds, with_rejected=wanted.with_rejected
            )
            return {"case": case.name, **told, "made_from": made}

        about = content()
        names = write_files(found, study, about, wanted, series)
        done = time.perf_counter()
        finished = about | content(write=done - detected, total=done - began)
        finish(case.name, finished, names, wanted)
    return Outcome(
        case.name,
        DONE,
        candidates=len(found.candidates),
        kept=len(found.kept),
        warnings=tuple(finished["warnings"]),
        seconds=done - began,
    )


def _same_series(case: Case, made: dict[str, Any], wanted: Wanted) -> bool:
    """Whether the DICOM objects of a finished case, if any are wanted, refer to the CT that is given now."""
    return not wanted.dicom or series_key(case.ct_series(None)) == made.get(CT_SERIES)


def _note_failure(case: Case, reason: str, wanted: Wanted) -> None:
    try:
        # What a stopped run left is known by this file; one of somebody else's stays.
        former = read_failure(wanted.out, case.name)
        if former or not failure_path(wanted.out, case.name).exists():
            note_failure(wanted.out, case.name, reason, former.get("files", []))
    except OSError as error:
        logger.warning("the failure of case %s could not be written down: %s", case.name, error)


def _write_scores(wanted: Wanted) -> None:
    try:
        write_scores(wanted.out)
    except OSError as error:
        # The results have them, too.
        logger.warning("the scores of all cases could not be written: %s", error)
