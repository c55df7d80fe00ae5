"""What was measured or fitted with weights: operating points and fusions, kept by the weights they are of."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from osln.files.whole import plain
from osln.rows.experiments import CLASSIFIERS, ROWS, Row
from osln.weights.store_state import SHIPPED, StoreState

KEPT = 50
"""Measurements of a name that are kept; who goes further back than that measures again."""
HANDED_AT, FUSED_BY = "handed at", "fused by"
"""Among the checksums: where stage one hands over to a classifier, and what its maps are fused by."""
TRIED = "tried"
"""In a measurement: it was made with a version that has never been in use."""

Entry = Mapping[str, Any]


class Measurements(StoreState):
    """Operating points and fusions of a store of weights.

    A threshold means nothing without the networks that it was measured with. So each measurement is kept with
    their checksums, and the one of exactly the weights in use is taken, also after another version was put
    into use by hand or a publication was taken back. Weights that come into use without a measurement go by
    the points that were used before them, which stand in for their own; `is_measured` says that they do.
    What was measured with a version before it came into use is of its weights alone until then.
    """

    def thresholds(self, name: str) -> dict[str, float]:
        """Operating points: of a row of stage one the threshold of the fused map by precision, e.g.
        {"0.15": .4}; of a classifier the score by false positives per patient, {"3": .2}.

        Measured on validation patients; {} if nobody has measured any.
        """
        return dict((self._points(name) or {}).get("thresholds") or {})

    def is_measured(self, name: str) -> bool:
        """Whether `thresholds` are of exactly the weights in use."""
        found = self._points(name)
        return found is not None and self._fits(name, found)

    def curve(self, name: str) -> list[dict[str, float]]:
        """What validation patients gave at the operating points of a classifier with the weights in use.

        Returns:
            Points of `fp_per_patient`, `threshold` and `sensitivity`; [] if that was not measured.
        """
        return [dict(point) for point in (self._with_curve(name) or {}).get("curve") or []]

    def curve_patients(self, name: str) -> int | None:
        """How many patients `curve` is of; None if that was not kept."""
        return (self._with_curve(name) or {}).get("patients")

    def _with_curve(self, name: str) -> Entry | None:
        found = self._points(name)
        if found is None or not self._fits(name, found):
            return None
        # Former software kept a curve with the networks alone.
        if found["weights"] is None and found["curve_of"] != self._networks(classifier_row(name)):
            return None
        return found

    def is_as_shipped(self, name: str) -> bool:
        """Whether `thresholds` and `curve` are those that came with the software."""
        found = self._points(name)
        return found is not None and bool(found.get("shipped"))

    def set_thresholds(
        self,
        name: str,
        thresholds: Mapping[str, float],
        curve: Sequence[Mapping[str, float]] = (),
        *,
        patients: int | None = None,
        weights: Mapping[str, str] | None = None,
        stand_in: bool = False,
    ) -> None:
        """Keeps operating points that were measured.

        Args:
            name: As of `thresholds`.
            thresholds, curve: What was measured.
            patients: How many patients the curve is of.
            weights: `weights_of` as it was when the measurement began; by default as it is now.
            stand_in: They follow from points that were measured with other weights: `is_measured` says no.
        """
        entry = {"thresholds": dict(thresholds), "curve": list(curve), "patients": patients}
        if stand_in:
            entry["stands_in"] = True
        self._keep("measured", name, entry, weights)

    def fusion(self, row: str) -> dict[str, Any]:
        """What was fitted on validation patients to fuse the networks of a row with learned fusion.

        Returns:
            `weights`, checksum by network that it was fitted to, and `zones`, see `LearnedFusion.from_json`;
            {} if it was not fitted.
        """
        found = self._fitted(row)
        if found is None:
            return {}
        return {"weights": found.get("stands_in", found["weights"]), "zones": found["zones"]}

    def set_fusion(self, row: str, zones: Mapping[str, Any]) -> None:
        """Keeps what was fitted to the weights in use; see `fusion`."""
        self._keep("fusions", row, {"zones": dict(zones)})

    def checksum(self, network: str) -> str | None:
        """SHA-256 of the weights of a network that are in use; None if there are none."""
        history = self._state()["published"].get(network, [])
        if not history or history[-1] == SHIPPED:
            entry = self._shipped_manifest().get("networks", {}).get(network)
        else:
            entry = self._read_version(self.root / network / f"{history[-1]}.json")
        return entry["sha256"] if entry else None

    def weights_of(self, name: str) -> dict[str, str]:
        """All that the operating points of a row of stage one or of a classifier belong to, as it is now.

        Returns:
            Checksum by network; of a row with learned fusion also what it fuses by, of a classifier where
            stage one hands over. {} if no row asks the classifier.
        """
        if name not in CLASSIFIERS:
            return self._networks(ROWS.get(name)) | self._fused_by(name, self.fusion(name).get("zones"))
        row = classifier_row(name)
        if row is None:
            return {}
        return self._networks(row) | _handed_at(row, self.thresholds(row.stage_one))

    def _fitted(self, row: str) -> Entry | None:
        shipped = self._shipped_manifest().get("fusions", {}).get(row)
        return self._found("fusions", row, shipped, self._networks(ROWS.get(row)))

    def _points(self, name: str) -> Entry | None:
        return self._found("measured", name, self._shipped_points(name), self.weights_of(name))

    def _fits(self, name: str, entry: Entry) -> bool:
        return entry["weights"] in (None, self.weights_of(name)) and "stands_in" not in entry

    def _stand_ins(self, network: str, now: "Measurements") -> dict[str, dict[str, Entry]]:
        """What stands in for measurements that these weights lack: by kind and name.

        Args:
            network: Which is another one than in the store as it is now.
            now: The store as it is now.
        """
        rows = [name for name, row in ROWS.items() if row.stage_one == name and network in row.segmenters]
        scorers = [name for name in CLASSIFIERS if (row := classifier_row(name)) and network in row.networks]
        found: dict[str, dict[str, Entry]] = {"fusions": {}, "measured": {}}
        for name in rows:
            weights, fitted = self._networks(ROWS[name]), now.fusion(name)
            kept = Measurements._fitted(self, name)
            # What stood in for these weights when they were last in use does so again.
            if fitted and (kept is None or kept["weights"] != weights):
                of, zones = fitted["weights"], fitted["zones"]
                found["fusions"][name] = {"weights": weights, "stands_in": of, "zones": zones}
        for name in (*rows, *scorers):
            before, own = now._points(name), Measurements._points(self, name)
            if before is None or (own is not None and own["weights"] == self.weights_of(name)):
                continue
            points = {"thresholds": before["thresholds"], "stands_in": True}
            found["measured"][name] = {"weights": self.weights_of(name), **points}
        return found

    def _no_more_tried(self, state: dict[str, Any]) -> None:
        """Notes in a state that what was measured with the weights of this store is in use now."""
        for kind in ("measured", "fusions"):
            for name, entries in state.get(kind, {}).items():
                now = self._now_of(kind, name)
                for entry in entries:
                    if entry["weights"] == now:
                        entry.pop(TRIED, None)

    def _now_of(self, kind: str, name: str) -> dict[str, str]:
        """What a measurement of this kind would be of now."""
        return self._networks(ROWS.get(name)) if kind == "fusions" else self.weights_of(name)

    def _networks(self, row: Row | None) -> dict[str, str]:
        found = {name: self.checksum(name) for name in (row.networks if row else ())}
        return {name: sha256 for name, sha256 in found.items() if sha256}

    def _fused_by(self, name: str, zones: Any) -> dict[str, str]:
        if name not in ROWS or ROWS[name].fusion != "learned":
            return {}
        return {FUSED_BY: hashlib.sha256(json.dumps(zones, sort_keys=True).encode()).hexdigest()[:12]}

    def _shipped_points(self, name: str) -> Entry | None:
        """The manifest's points, of the networks that came with them."""
        manifest = self._shipped_manifest()
        points = manifest.get("thresholds", {})
        if not points.get(name):
            return None
        row = classifier_row(name) if name in CLASSIFIERS else ROWS.get(name)
        networks = manifest.get("networks", {})
        weights = {one: networks[one]["sha256"] for one in (row.networks if row else ()) if one in networks}
        if row is not None and name in CLASSIFIERS:
            weights |= _handed_at(row, points.get(row.stage_one, {}))
        weights |= self._fused_by(name, manifest.get("fusions", {}).get(name, {}).get("zones"))
        curve = manifest.get("curves", {}).get(name, {}).get("points", [])
        return {"weights": weights, "thresholds": points[name], "curve": curve, "shipped": True}

    def _found(self, kind: str, name: str, shipped: Entry | None, weights: Mapping[str, str]) -> Entry | None:
        """The measurement of these weights, or the closest one; None if there is none at all."""
        own = of_former_software(self._state()).get(kind, {}).get(name, [])
        # What former software kept had taken the place of what was shipped.
        replaced = bool(own) and own[0]["weights"] is None
        # A score means nothing but for the network that gives it, whatever candidates it is handed.
        scorer = name if name in CLASSIFIERS else None
        if shipped is None or (replaced and shipped["weights"] != weights):
            return _closest(own, weights, scorer)
        return _closest([shipped, *own], weights, scorer)

    def _keep(self, kind: str, name: str, entry: Entry, weights: Mapping[str, str] | None = None) -> None:
        with self._lock():
            state = of_former_software(self._state())
            if weights is None:
                weights = self._now_of(kind, name)
            kept = [one for one in state.setdefault(kind, {}).get(name, []) if one["weights"] != weights]
            state[kind][name] = [*kept, {"weights": dict(weights)} | plain(dict(entry))][-KEPT:]
            self._write_state(state)


def classifier_row(name: str) -> Row | None:
    """The row whose candidates a classifier scores and its points are of; None if no row asks it."""
    return next((row for row in ROWS.values() if row.classifier == name and row.turns == 1), None)


def _handed_at(row: Row, thresholds: Mapping[str, float]) -> dict[str, str]:
    return {HANDED_AT: f"{row.teacher.setting.key} {row.handed(thresholds):.9g}"} if thresholds else {}


def _closest(kept: Sequence[Entry], weights: Mapping[str, str], scorer: str | None) -> Entry | None:
    """Of measurements that of these weights, else that with most of them; of equals the last, the newest.

    Of a classifier's, those with the very `scorer` go first.

    One that says nothing of weights (`None`) was kept by software that did not ask. One of weights that were
    only tried is of no others.
    """

    def alike(entry: Entry) -> tuple[bool, bool, int]:
        own = entry["weights"] or {}
        same = {name for name, sha256 in weights.items() if own.get(name) == sha256}
        return own == weights, scorer in same, len(same)

    found = None
    for entry in kept:
        if entry.get(TRIED) and entry["weights"] != weights:
            continue
        if found is None or alike(entry) >= alike(found):
            found = entry
    return found


def of_former_software(state: dict[str, Any]) -> dict[str, Any]:
    """The state with what it kept before measurements were told apart by weights, as the oldest of them."""
    points, curves = state.get("thresholds", {}), state.get("curves", {})
    for name, thresholds in points.items():
        curve = curves.get(name) or {}
        old = {
            "weights": None,
            "thresholds": thresholds,
            "curve": curve.get("points", []),
            "curve_of": curve.get("weights", {}),
        }
        state.setdefault("measured", {}).setdefault(name, []).insert(0, old)
    for row, fitted in state.get("fusions", {}).items():
        if isinstance(fitted, Mapping):
            state["fusions"][row] = [fitted]
    return {key: value for key, value in state.items() if key not in ("thresholds", "curves")}
