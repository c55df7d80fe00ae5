"""What a viewer can choose of a row: operating points, scores, rejected candidates, devices."""

from lib.options import Choice, Number, Option, Switch
from osln.pipeline import operating_points
from osln.published import Published
from osln.rows.experiments import Row


def row_options(row: Row, published: Published, devices: tuple[str, ...]) -> tuple[Option, ...]:
    """What a viewer shows for a row, with the operating points that were measured with the weights in use."""
    point = Choice("operating_point", tuple(operating_points(row, published)))
    device = Choice("device", devices)
    if row.classifier is None:
        return point, device
    # Score 0 leaves the choice to the operating point: viewers always send a value.
    return point, Number("score", 0.0, 0.0, 1.0), Switch("show_rejected", False), device
