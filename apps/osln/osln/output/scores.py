"""Scores of every candidate of the cases in a folder of results, and the file that has them all."""

from functools import cache
from pathlib import Path

from osln.files.arrays import write_json
from osln.output.writing import SCORES, read_failure, read_result

CaseScores = dict[int, float]
"""Score by value of a case's label map."""


def result_scores(out: Path) -> dict[str, CaseScores | None]:
    """Scores by case, as the finished results say them; None where a label map shows what was kept alone.

    A case that failed has none, also where the files of an earlier run still lie there.
    """
    scores = {}
    for path in sorted(out.glob("*.json")):
        try:
            seen = path.stat()
        except FileNotFoundError:
            # Another part of a job array does this case again.
            continue
        about = _result(path, (seen.st_ino, seen.st_mtime_ns, seen.st_size))
        if about is not None and not read_failure(out, path.stem):
            (scores[path.stem],) = about
    return scores


@cache
def _result(path: Path, _seen: tuple[int, int, int]) -> tuple[CaseScores | None] | None:
    """The scores of a finished result, None if the file is none; read once, as each case asks for all."""
    content = read_result(path)
    if not content or "failed" in content:
        return None
    if SCORES not in content.get("files", []):
        return (None,)
    drawn = set(content["drawn"])
    return ({one["id"]: one["score"] for one in content["candidates"] if one["id"] in drawn},)


def write_scores(out: Path) -> None:
    """Writes the scores of the finished cases whose label maps hold every candidate.

    Parts of a job array may write together: whoever writes looks again, so that the last one has written
    what all have left.
    """
    written = None
    while (scores := _of_every_candidate(out)) != written:
        if scores:
            write_json(out / SCORES, scores)
        elif _are_ours(out):
            (out / SCORES).unlink(missing_ok=True)
        written = scores


def _of_every_candidate(out: Path) -> dict[str, dict[str, float]]:
    return {
        case: {str(value): score for value, score in of_case.items()}
        for case, of_case in result_scores(out).items()
        if of_case is not None
    }


def check_scores(out: Path) -> None:
    """Refuses a folder whose file of scores is somebody else's.

    Raises:
        ValueError: No result in the folder says that it is of these commands.
    """
    if (out / SCORES).exists() and not _are_ours(out):
        raise ValueError(f"{out / SCORES} was not written by this command: choose another folder")


def _are_ours(out: Path) -> bool:
    return any(SCORES in read_result(path).get("files", []) for path in out.glob("*.json"))
