"""Seconds and agreement from what annotators decided, in the order in which cases were approved."""

from typing import Any

from lib.store.reviews import DECIDED, decided_by, review_in_short

COUNTED = ("candidates", *DECIDED, "undecided", "offered", "agreed", "added")


def reviewed_cases(store: Any) -> list[dict[str, Any]]:
    """One entry for each case whose newest label came with decisions, oldest first.

    Args:
        store: An `OslnDatastore`.

    Returns:
        `case`, `at` (seconds since the epoch), `by` (who decided), `seconds`, `node_seconds`, `model` and the
        counts of `review_in_short`.
    """
    found = []
    for case, entry in store.index().objects.items():
        label = entry.labels.get("final")
        revision = label.info.get("revision") if label else None
        review = review_in_short(store.root, case, revision) if revision else None
        if review is None:
            continue
        model = review["model"] or {}
        # What was restored is the work of who decided, not of who brought it back.
        restored = label.info.get("restored_from") and decided_by(store.root, case, revision)
        by = restored or label.info.get("by")
        about = {"case": case, "at": label.info.get("ts") or 0, "by": by}
        about |= {key: review[key] for key in ("seconds", "node_seconds", *COUNTED)}
        found.append(about | {"model": model.get("name") if isinstance(model, dict) else None})
    return sorted(found, key=lambda one: (one["at"], one["case"]))


def summary(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """Figures over all reviewed cases; None where there is nothing to divide by.

    Returns:
        `cases`; `seconds_per_case` and `seconds_per_node`, means over the cases and the decisions that have
        a time; `agreement`, the share of what the model offered above the operating point that was accepted,
        edited or not; `added_per_case`, nodes that the model did not have; and the counts.
    """
    counts = {key: sum(one[key] for one in cases) for key in COUNTED}
    of_cases = [one["seconds"] for one in cases if isinstance(one["seconds"], int | float)]
    of_nodes = [seconds for one in cases for seconds in one["node_seconds"]]
    return {
        "cases": len(cases),
        "seconds_per_case": _mean(of_cases),
        "seconds_per_node": _mean(of_nodes),
        "agreement": counts["agreed"] / counts["offered"] if counts["offered"] else None,
        "added_per_case": counts["added"] / len(cases) if cases else None,
        **counts,
    }


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None
