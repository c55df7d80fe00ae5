"""Lymph nodes: stations, sizes, uptake, and the clinical rule that makes some of them OSLNs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from osln.phantom.body.shapes import WORLD, ellipsoid
from osln.phantom.findings.findings import Deposit
from osln.phantom.findings.space import FatSpace
from osln.phantom.findings.tags import node_tags
from osln.phantom.parameters import PhantomParameters

_TRIES = 30
ROOM_MM = 3.5
"""Radius of the sphere that has to fit at a place before a node is drawn there."""
NO_ROOM = "found no room in the fat"
THINNED = "were thinned out near the tumor"
"""Why a drawn node is not placed."""

Place = tuple[np.ndarray, np.ndarray]
"""Where something is in the patient and in the anatomy, mm."""


@dataclass(frozen=True)
class Station:
    """A lymph node station: anatomical center and spread in mm, relative weight, tags of the place."""

    name: str
    center_mm: tuple[float, float, float]
    sd_mm: tuple[float, float, float]
    weight: float
    tags: tuple[str, ...]


_MEDIASTINUM = ("mediastinum", "mediastinum lymph node")
_SUPERIOR = (*_MEDIASTINUM, "superior mediastinum", "superior mediastinum lymph node")
_HILUM = ("hilum", "hilum lymph node")
_UPPER_ABDOMEN = ("upper abdomen", "abdomen lymph node")
_RETRO = ("retroperitoneum", "retroperitoneum lymph node")

STATIONS = (
    Station("neck IV right", (36, -2, 290), (7, 9, 10), 0.8, ()),
    Station("neck IV left", (-36, -2, 290), (7, 9, 10), 0.8, ()),
    Station("1R supraclavicular", (48, 14, 268), (12, 9, 6), 1.0, ("supraclavicular lymph node",)),
    Station("1L supraclavicular", (-48, 14, 268), (12, 9, 6), 1.0, ("supraclavicular lymph node",)),
    Station("2R upper paratracheal", (20, 0, 244), (7, 10, 8), 1.2, _SUPERIOR),
    Station("2L upper paratracheal", (-20, -4, 246), (6, 10, 7), 1.0, _SUPERIOR),
    Station("3A prevascular", (0, 50, 222), (14, 7, 14), 1.0, (*_MEDIASTINUM, "anterior mediastinum")),
    Station("4R lower paratracheal", (17, 2, 216), (6, 8, 8), 1.4, (*_MEDIASTINUM, "pretracheal lymph node")),
    Station("4L lower paratracheal", (-12, -4, 212), (6, 7, 6), 1.0, _MEDIASTINUM),
    Station("5 aortopulmonary", (-26, 12, 212), (7, 10, 7), 1.0, (*_MEDIASTINUM, "aorticopulmonary window")),
    Station("7 subcarinal", (4, -12, 184), (9, 7, 8), 1.6, (*_MEDIASTINUM, "subcarinal lymph node")),
    Station("8 upper paraesophageal", (8, -26, 205), (9, 7, 20), 1.0, _MEDIASTINUM),
    Station("8 middle paraesophageal", (2, -26, 155), (13, 7, 18), 1.6, _MEDIASTINUM),
    Station("8 lower paraesophageal", (-6, -20, 118), (14, 9, 12), 1.6, _MEDIASTINUM),
    Station("10R hilar", (44, -8, 188), (7, 8, 9), 1.0, (*_HILUM, "right hilum lymph node")),
    Station("10L hilar", (-44, -10, 188), (7, 8, 9), 1.0, (*_HILUM, "left hilum lymph node")),
    Station("15 cardiophrenic", (24, 50, 112), (14, 7, 8), 0.8, ("cardiophrenic",)),
    Station("retrocrural", (2, -28, 84), (7, 6, 9), 0.8, (*_RETRO, "retrocrural lymph node")),
    Station("1-2 paracardial", (-22, 6, 86), (9, 9, 8), 1.3, _UPPER_ABDOMEN),
    Station("3-7 left gastric", (-22, 6, 70), (9, 9, 8), 1.4, _UPPER_ABDOMEN),
    Station("8 common hepatic", (12, 12, 56), (9, 8, 7), 1.0, (*_UPPER_ABDOMEN, "porta Hepatis lymph node")),
    Station("9 celiac", (-6, 4, 56), (10, 7, 8), 1.2, _UPPER_ABDOMEN),
    Station("11 splenic", (-44, -14, 58), (13, 7, 8), 0.9, _UPPER_ABDOMEN),
    Station("16 left paraaortic", (-22, -20, 26), (6, 8, 16), 1.3, (*_RETRO, "paraaortic")),
    Station("16 aortocaval", (6, -20, 24), (5, 7, 16), 1.0, (*_RETRO, "paracaval lymph node")),
    Station("mesenteric", (-4, 24, 14), (16, 9, 10), 1.0, ("abdomen lymph node", "mesentery lymph node")),
)  # fmt: skip


def place_nodes(
    rng: np.random.Generator,
    parameters: PhantomParameters,
    space: FatSpace,
    to_world: Callable[[np.ndarray], np.ndarray],
    to_anatomical: Callable[[np.ndarray], np.ndarray],
    stations: Sequence[Station] = STATIONS,
) -> list[Deposit]:
    """Draw the patient's nodes and decide which of them are OSLNs.

    Args:
        rng: the nodes' stream.
        parameters: numbers, sizes, uptake and the rule.
        space: free fat and distances to the tumor; placed nodes are added to it.
        to_world: anatomical point (3,) to world millimeters.
        to_anatomical: the other way, for the region of a node that sits in no station.
        stations: where nodes may sit.

    Returns:
        Nodes in the order they were placed.

    Reference: the paper's section 2 (clinical rule) and Figure 1g (sizes).
    """
    weights = np.array([s.weight for s in stations]) / sum(s.weight for s in stations)
    nodes = []
    for _ in range(int(rng.poisson(parameters.node_mean))):
        station = stations[int(rng.choice(len(stations), p=weights))]
        places = _station_places(station, to_world)
        node = _place(rng, parameters, space, places, station)
        if node is not None:
            nodes.append(node)
    for _ in range(int(rng.poisson(parameters.near_tumor_mean))):
        if len(space.boundary_mm):
            start = space.boundary_mm[int(rng.integers(len(space.boundary_mm)))]
            node = _place(rng, parameters, space, _places_beside(start, to_anatomical), station=None)
            if node is not None:
                nodes.append(node)
    return nodes


def _place(
    rng: np.random.Generator,
    parameters: PhantomParameters,
    space: FatSpace,
    place_of: Callable[[np.ndarray], Place],
    station: Station | None,
) -> Deposit | None:
    """One node at a station (None: beside the tumor), or None when it is thinned out or finds no room."""
    draws = rng.random(8)
    size_draw = float(rng.standard_normal())
    rotation = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
    places = map(place_of, rng.standard_normal((_TRIES, 3)))
    found = next((one for one in places if space.fits(one[0], ROOM_MM, parameters.node_gap_mm)), None)
    if found is None:
        space.refused[NO_ROOM] += 1
        return None
    center, anatomical = found
    distance = float(space.distance_mm(center)[0])
    if station is not None:
        far = _logistic((distance - parameters.acceptance_middle_mm) / parameters.acceptance_width_mm)
        if draws[0] > parameters.acceptance_near + (1 - parameters.acceptance_near) * far:
            space.refused[THINNED] += 1
            return None
    share = parameters.malignant_near * np.exp(-max(distance - 25.0, 0.0) / parameters.malignant_decay_mm)
    malignant = bool(draws[1] < parameters.malignant_base + share)
    median, sigma, low, high = parameters.malignant_short_mm if malignant else parameters.benign_short_mm
    short = float(np.clip(median * np.exp(sigma * size_draw), low, high))
    span = parameters.malignant_elongation if malignant else parameters.benign_elongation
    long = short * (span[0] + draws[2] * (span[1] - span[0]))
    while short > 3.4 and not space.fits(center, 0.25 * (short + long), parameters.node_gap_mm):
        short, long = 0.9 * short, 0.9 * long
    reach = 0.5 * long
    if not space.fits(center, 0.25 * (short + long), parameters.node_gap_mm):
        space.refused[NO_ROOM] += 1
        return None
    space.take(center, reach)
    visible = short >= parameters.visible_short_mm
    avid_chance = _logistic((short - parameters.avid_middle_mm) / parameters.avid_width_mm)
    avid = malignant and visible and bool(draws[3] < avid_chance)
    osln = visible and counts_as_osln(parameters, distance, short, avid, draws[4], draws[5])
    if avid:
        suv = parameters.avid_suv[0] + draws[6] * (parameters.avid_suv[1] - parameters.avid_suv[0])
    else:
        low, high = parameters.reactive_suv if draws[7] < parameters.reactive_share else parameters.cold_suv
        suv = low + draws[6] * (high - low)
    hu = 36.0 + 7.0 * float(rng.standard_normal())
    radii = np.array([0.5 * short, 0.5 * (short + 0.15 * (long - short)), 0.5 * long])
    outline = ellipsoid(center, radii, hu, suv, axes=rotation, space=WORLD)
    hilum = (
        not malignant
        and short > parameters.fatty_hilum_from_mm
        and bool(rng.random() < parameters.fatty_hilum_share)
    )
    core = (ellipsoid(center, 0.42 * radii, -40.0, np.nan, axes=rotation, space=WORLD),) if hilum else ()
    tags = node_tags(station.tags if station else (), float(anatomical[2]), short, long, fatty_hilum=hilum)
    return Deposit(
        "node", center, short, long, float(4 / 3 * np.pi * radii.prod()), (outline,), core,
        avid, osln, tuple(tags), station.name if station else "beside the tumor",
    )  # fmt: skip


def _station_places(
    station: Station, to_world: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], Place]:
    """Places by standard normal offsets (3,) from a station."""

    def place_of(offset: np.ndarray) -> Place:
        anatomical = np.array(station.center_mm) + np.array(station.sd_mm) * offset
        return to_world(anatomical), anatomical

    return place_of


def _places_beside(
    start_mm: np.ndarray, to_anatomical: Callable[[np.ndarray], np.ndarray]
) -> Callable[[np.ndarray], Place]:
    """Places by standard normal offsets (3,) from a point of the tumor's boundary."""

    def place_of(offset: np.ndarray) -> Place:
        point = start_mm + 9.0 * offset
        return point, to_anatomical(point)

    return place_of


def counts_as_osln(
    parameters: PhantomParameters,
    distance_mm: float,
    short_mm: float,
    avid: bool,
    zone_draw: float,
    draw: float,
) -> bool:
    """The clinical rule with its soft border: does a node count?

    Args:
        parameters: the rule's border, limits and label noise.
        distance_mm: to the tumor.
        short_mm: short axis.
        avid: PET-avid.
        zone_draw, draw: uniform numbers in [0, 1) that decide zone and label noise.

    Reference: the paper's section 2.
    """
    proximal = zone_draw < _logistic((parameters.rule_middle_mm - distance_mm) / parameters.rule_width_mm)
    return bool(draw < _counting_share(parameters, proximal, short_mm, avid))


def chance_of_osln(parameters: PhantomParameters, distance_mm: float, short_mm: float, avid: bool) -> float:
    """The chance that `counts_as_osln` is true of a node of which this is known."""
    if short_mm < parameters.visible_short_mm:
        return 0.0
    near = _logistic((parameters.rule_middle_mm - distance_mm) / parameters.rule_width_mm)
    proximal, distal = (_counting_share(parameters, zone, short_mm, avid) for zone in (True, False))
    return near * proximal + (1 - near) * distal


def _counting_share(parameters: PhantomParameters, proximal: bool, short_mm: float, avid: bool) -> float:
    """How many such nodes count, label noise among them."""
    if proximal:
        fulfilled = avid or short_mm >= parameters.visible_short_mm
        return parameters.proximal_counts if fulfilled else parameters.proximal_noise
    fulfilled = avid or short_mm >= parameters.enlarged_short_mm
    return parameters.distal_counts if fulfilled else parameters.distal_noise


def _logistic(x: float) -> float:
    """1 / (1 + exp(-x)), safe for any x."""
    return float(1.0 / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))))
