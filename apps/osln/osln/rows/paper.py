"""The paper's Tables 1a, 1b and 2, and what goes beyond them, as data: captions, figures, questions.

A line names what is run by rows of `osln.rows.experiments` and repeats the figures that the paper gives for
its own patients. A row that stands in several tables is run once. A network, classifier or experiment that no
table names is a line of "beyond", so that nothing goes unmeasured. Only the standard library is imported.

Reference:
    The paper, Tables 1 and 2. Table 1 is on its 23 validation patients, Table 2 on its 34 test patients.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from osln.rows.detectors import DETECTORS
from osln.rows.experiments import CLASSIFIERS, ROWS, Row
from osln.rows.lines import Line, Question, Table, candidate_row, detector_row

LEAST = {"train": 1, "validation": 2, "test": 2, "stage two": 1}
"""Phantoms of each split."""


@dataclass(frozen=True)
class CohortSizes:
    """Phantoms of each split; those of "stage two" train classifiers and no network of stage one.

    Raises:
        ValueError: Fewer than `LEAST`.
    """

    train: int
    validation: int
    test: int
    stage_two: int

    def __post_init__(self) -> None:
        # One patient has no interval.
        if any(self.of(split) < least for split, least in LEAST.items()):
            told = ", ".join(f"{self.of(split)} {split} (at least {least})" for split, least in LEAST.items())
            raise ValueError(f"the cohort is too small for its splits: {told}")

    def of(self, split: str) -> int:
        return int(getattr(self, split.replace(" ", "_")))


COHORT_SIZES = {
    # Enough test phantoms for differences of about .05; the whole run took 102 minutes on two cores.
    "demo": CohortSizes(train=120, validation=30, test=96, stage_two=240),
    # The same patients on its own grid, so that the presets can be compared.
    "standard": CohortSizes(train=120, validation=30, test=96, stage_two=240),
    "fine": CohortSizes(train=120, validation=30, test=96, stage_two=240),
    "wide": CohortSizes(train=120, validation=30, test=96, stage_two=240),
    # The paper's (section 4.1); its patients of stage two are those of stage one.
    "paper": CohortSizes(train=84, validation=23, test=34, stage_two=84),
    "paper-fast": CohortSizes(train=84, validation=23, test=34, stage_two=84),
}
"""By preset; of generated cohorts only."""
COHORT_KINDS = ("default", "realistic", "mixed", "blind", "zoned")
"""Of generated cohorts (`osln.cohorts.phantoms.KINDS`)."""


BACKBONES = {"": "3D U-Net", "se-unet": "SE-UNet", "hrnet": "HRNet", "psnn": "PSNN"}
_TABLE_1A = {
    "ct": (0.736, 0.762),
    "ef": (0.732, 0.722),
    "ct-se-unet": (0.686, 0.693),
    "ef-se-unet": (0.705, 0.705),
    "ct-hrnet": (0.524, 0.538),
    "ef-hrnet": (0.656, 0.638),
    "ct-psnn": (0.709, 0.714),
    "ef-psnn": (0.574, 0.592),
}
_TABLE_1B = {
    "ct": (0.736, 0.762),
    "ct-stratified": (0.772, 0.772),
    "ef": (0.732, 0.722),
    "ef-stratified": (0.788, 0.760),
    "lf": (0.786, 0.732),
    "lf-stratified": (0.828, 0.817),
}
"""Recall at precision .15, mRecall."""
_TABLE_2 = {
    "ct-stratified": {
        None: (0.407, 0.431),
        "random-views": (0.220, 0.067),
        "tag": (0.380, 0.408),
        "local-ct": (0.421, 0.449),
        "local-ct-pet": (0.450, 0.491),
        "glnet": (0.513, 0.563),
    },
    "ef-stratified": {
        None: (0.370, 0.395),
        "random-views": (0.225, 0.092),
        "tag": (0.397, 0.444),
        "local-ct": (0.423, 0.473),
        "local-ct-pet": (0.469, 0.518),
        "glnet": (0.507, 0.572),
    },
    "lf-stratified": {
        None: (0.441, 0.478),
        "random-views": (0.257, 0.143),
        "tag": (0.471, 0.531),
        "local-ct": (0.513, 0.576),
        "local-ct-pet": (0.526, 0.594),
        "glnet": (0.552, 0.645),
    },
}
"""Best F1, mFROC, by setting of stage one and classifier."""
_MULAN = {"mulan-ct": (0.335, 0.348), "mulan-ct-pet": (0.436, 0.475)}


def _recall(pair: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("recall", "mean_recall"), pair, strict=True))


def _froc(pair: tuple[float, float]) -> dict[str, float]:
    return dict(zip(("f1", "mfroc"), pair, strict=True))


def _stream(stage_one: str) -> str:
    return stage_one.split("-")[0].upper()


def _table_1a() -> Table:
    lines = []
    for suffix, title in BACKBONES.items():
        for stream in ("ct", "ef"):
            name = f"{stream}-{suffix}" if suffix else stream
            lines.append(Line(f"{title}, {stream.upper()}", ROWS[name], _recall(_TABLE_1A[name])))
    questions = [
        Question(f"Is the 3D U-Net better ({line.title})?", ROWS[line.row.key.split("-")[0]], line.row)
        for line in lines
        if "-" in line.row.key
    ]
    return Table("1a", "Backbones of stage one, without stratification", tuple(lines), tuple(questions))


def _table_1b() -> Table:
    lines = [
        Line(
            f"{_stream(name)}, {'with' if 'stratified' in name else 'without'} stratification",
            ROWS[name],
            _recall(figures),
        )
        for name, figures in _TABLE_1B.items()
    ]
    long = {name: ROWS[name].changed(length=2) for name in ("ct", "ef", "lf")}
    two_ct = ROWS["ct"].changed(copies=2)
    lines += [
        Line(f"{_stream(name)}, without, twice the training steps", row, control=True)
        for name, row in long.items()
    ]
    lines.append(Line("maximum of two CT networks", two_ct, control=True))
    questions = [
        *(
            Question(f"Does stratification help {_stream(name)}?", ROWS[f"{name}-stratified"], ROWS[name])
            for name in long
        ),
        *(
            Question(f"... at equal training steps ({_stream(name)})?", ROWS[f"{name}-stratified"], row)
            for name, row in long.items()
        ),
        Question("Does PET in early fusion help?", ROWS["ef"], ROWS["ct"]),
        Question("Does late fusion beat CT?", ROWS["lf"], ROWS["ct"]),
        Question("Does late fusion beat early fusion?", ROWS["lf"], ROWS["ef"]),
        Question("Is late fusion more than two networks?", ROWS["lf"], two_ct),
        Question("Does late fusion beat CT, stratified?", ROWS["lf-stratified"], ROWS["ct-stratified"]),
        Question("Does late fusion beat EF, stratified?", ROWS["lf-stratified"], ROWS["ef-stratified"]),
        *(
            Question(f"Was {_stream(name)} trained long enough?", long[name], ROWS[name])
            for name in ("ct", "ef")
        ),
    ]
    return Table("1b", "Streams and distance stratification", tuple(lines), tuple(questions))


def _table_2() -> Table:
    lines = [
        Line(_candidate_title(setting, name), candidate_row(setting, name), _froc(figures))
        for setting, by in _TABLE_2.items()
        for name, figures in by.items()
    ]
    lines += [
        Line(DETECTORS[name].title, detector_row(name), _froc(figures)) for name, figures in _MULAN.items()
    ]
    asked = [
        ("glnet", None, "Does GLNet beat the stage-one score?"),
        ("local-ct", None, "Does a CT patch beat it?"),
        ("local-ct", "random-views", "Is a 3D patch more than random views?"),
        ("local-ct-pet", "local-ct", "Does PET help the local module?"),
        ("glnet", "local-ct-pet", "Do tags help the local module?"),
        ("local-ct", "tag", "Is a patch more than tags?"),
    ]
    questions = [
        Question(
            f"{words[:-1]} ({_stream(setting)})?",
            candidate_row(setting, better),
            candidate_row(setting, other),
        )
        for setting in _TABLE_2
        for better, other, words in asked
    ]
    best = candidate_row("lf-stratified", "glnet")
    questions += [
        Question(
            f"Do candidates of late fusion help GLNet ({_stream(other)})?",
            best,
            candidate_row(other, "glnet"),
        )
        for other in ("ct-stratified", "ef-stratified")
    ]
    ct, both = map(detector_row, _MULAN)
    questions += [
        Question("Does GLNet beat MULAN on CT + PET (LF)?", best, both),
        Question("Does GLNet beat MULAN on CT + PET (CT)?", candidate_row("ct-stratified", "glnet"), both),
        Question("Does stage one alone (LF#)?", candidate_row("lf-stratified", None), both),
        Question("Does PET help MULAN?", both, ct),
    ]
    return Table("2", "Both stages", tuple(lines), tuple(questions))


def _candidate_title(setting: str, classifier: str | None) -> str:
    return f"{_stream(setting)} ({CLASSIFIERS[classifier].title})" if classifier else f"{_stream(setting)}#"


def _beyond(others: Iterable[Table]) -> Table:
    """What no other table has, beside the paper's method."""
    used = {row for table in others for row in table.rows}
    best, first = ROWS["osln"], ROWS["lf-stratified"]
    lines = [Line("LF, with stratification (Table 1b)", first), Line("LF (GLNet) (Table 2)", best)]
    joint = best.changed(joint=True)
    lines.append(Line(f"LF ({CLASSIFIERS['glnet'].title} and stage-one score)", joint))
    for row in ROWS.values():
        # Other ways of fusing, and of dropping candidates, train nothing: ./benchmarks/run fusion has them.
        maps_alone = row.classifier is None and not (row.fusion == "max" and row.in_tumor)
        if not row.of_one_zone and row not in used and not maps_alone:
            lines.append(Line(row.title, row))
            used.add(row)
    questions = [
        Question(f"Is it better than {base}: {line.title}?", line.row, minus)
        for line in lines
        for base, minus in (("LF with stratification", first), ("LF (GLNet)", best))
        if line.row.kind == minus.kind and line.row not in (first, best)
    ]
    questions += [
        Question("Are four strata more than two zones?", ROWS["gated-strata"], ROWS["gated-soft"]),
        Question(
            "Does the predicted overlap help the score?",
            ROWS["osln-local-quality"],
            ROWS["osln-local-context"],
        ),
    ]
    return Table("beyond", "Rows that the paper does not have", tuple(lines), tuple(questions))


def _served() -> Table:
    """The rows that the server offers: all that shipped weights are made for."""
    rows = [row for row in ROWS.values() if row.served and not row.of_one_zone]
    scored = [row for row in rows if row.classifier]
    controls = {row: row.setting.changed(ranked=True) for row in scored}
    lines = [Line(row.title, row) for row in rows]
    lines += [
        Line(f"{row.key}: stage one's score", row, control=True) for row in dict.fromkeys(controls.values())
    ]
    asked = [
        ("Do zones help late fusion?", ROWS["lf-stratified"], ROWS["lf"]),
        ("Do zones help early fusion?", ROWS["ef-stratified"], ROWS["ef"]),
        ("Does late fusion beat early fusion, stratified?", ROWS["lf-stratified"], ROWS["ef-stratified"]),
    ]
    asked += [(f"Is it better than stage one's score: {row.title}?", row, controls[row]) for row in scored]
    best = ROWS["osln"]
    asked += [(f"Is it better than GLNet: {row.title}?", row, best) for row in scored if row != best]
    return Table(
        "served", "Rows that the server offers", tuple(lines), tuple(Question(*one) for one in asked)
    )


_PAPER = (_table_1a(), _table_1b(), _table_2())
_EVERYTHING = (*_PAPER, _beyond(_PAPER))
ALL = tuple(table.name for table in _EVERYTHING)
"""Names of the tables that together have every row."""
TABLES = {table.name: table for table in (*_EVERYTHING, _served())}
"""By the names that the command line takes; "served" has some of the rows of the others."""


def rows_of(names: Iterable[str], keys: Sequence[str] = ()) -> tuple[Row, ...]:
    """Every row of these tables once, those whose map others need among them.

    Args:
        names: Of the tables.
        keys: Of the rows that are wanted; all of them if empty.

    Raises:
        ValueError: The tables have no row of such a key.
    """
    names = tuple(names)
    rows = dict.fromkeys(row for name in names for row in TABLES[name].rows)
    known = [row.key for row in rows]
    if unknown := [key for key in keys if key not in known]:
        raise ValueError(
            f"no row {', '.join(unknown)} in {' and '.join(names)}: expected some of {', '.join(known)}"
        )
    return tuple(row for row in rows if not keys or row.key in keys)
