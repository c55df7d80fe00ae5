"""Names of segments mean in the module for 3D Slicer what they mean on the server."""

import pytest

from lib.store import segments
from slicer_module.oslnlib import names
from slicer_module.oslnlib.names import kind_of


def test_the_module_has_the_servers_names():
    assert names.NAMES == segments.NAMES


@pytest.mark.parametrize(
    "name", ["lymph node", " LN 2 ", "GTVp", "rejected candidate 3", "background", "Node#4"]
)
def test_a_known_name_is_of_the_kind_that_the_server_sees(name):
    assert kind_of(name) == segments._kind(name, 1)


@pytest.mark.parametrize("name", ["Segment_1", "", "lymph node left"])
def test_an_unknown_name_is_refused_with_the_servers_sentence(name):
    told = []
    for refuses in (kind_of, lambda name: segments._kind(name, 1)):
        with pytest.raises(ValueError) as refused:
            refuses(name)
        told.append(str(refused.value))
    assert told[0] == told[1]
