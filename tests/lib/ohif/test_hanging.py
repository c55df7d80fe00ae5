"""Which CT and PET of a study are shown, run by Node.js."""

import pytest

from small.ohif_scripts import run

CHOOSE = """
global.window = { location: { search: SEARCH } };
const set = (Modality, SeriesInstanceUID, frame, isReconstructable = true) =>
  ({ Modality, SeriesInstanceUID, isReconstructable, instances: [{ FrameOfReferenceUID: frame }] });
const cts = [set('CT', '1.0', 'a', false), set('CT', '1.1', 'a'), set('CT', '1.2', 'b')];
const displaySets = [...cts, set('PT', '2.1', 'b')];
const attributes = {};
const addCustomAttribute = (name, _, choose) => { attributes[name] = choose; };
registerAttributes({ hangingProtocolService: { addCustomAttribute } });
const chosen = name =>
  displaySets.filter(one => attributes[name](one, { displaySets })).map(one => one.SeriesInstanceUID);
return [chosen('oslnCt'), chosen('oslnPet')];
"""


@pytest.mark.parametrize(
    ("search", "chosen"),
    [
        ("?StudyInstanceUIDs=1&ct=1.2", [["1.2"], ["2.1"]]),
        ("?StudyInstanceUIDs=1&ct=1.1", [["1.1"], []]),
        ("?StudyInstanceUIDs=1", [["1.1", "1.2"], ["2.1"]]),
        ("?StudyInstanceUIDs=1&ct=9.9", [["1.1", "1.2"], ["2.1"]]),
    ],
    ids=["second", "first", "none named", "unknown"],
)
def test_the_ct_that_the_address_names_is_shown_and_the_pet_that_lies_on_it(search, chosen):
    assert run("windows view hanging", CHOOSE.replace("SEARCH", repr(search))) == chosen
