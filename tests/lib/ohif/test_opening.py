"""What a case that is left gives back (`lib/ohif/opening.js`), run by Node.js."""

import pytest

from small.ohif_scripts import run

LEAVE = """
  const given = [];
  globalThis.giveBack = (image, name) => given.push([image, name]);
  await leave({{ image: 'ct', by: {by}, held: {held} }});
  return given;
"""


@pytest.mark.parametrize(
    ("by", "held", "given"),
    [
        ("Promise.resolve('Anna')", "Promise.resolve({ mine: true })", [["ct", "Anna"]]),
        ("Promise.resolve('Anna')", "Promise.resolve({ mine: false, by: 'Bert' })", []),
        ("Promise.resolve('')", "Promise.resolve(null)", []),
        ("Promise.resolve('Anna')", "Promise.reject(new Error('no server'))", []),
    ],
)
def test_a_case_that_is_left_before_its_images_came_is_given_back(by, held, given):
    assert run("opening", LEAVE.format(by=by, held=held)) == given
