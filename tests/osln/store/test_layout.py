"""Whether a folder lies in a store, and which names its cases may have."""

import os
import re
from pathlib import Path

import pytest

import osln
from osln.store.layout import OF_THE_STORE, check_case, store_around
from small.store import make_case


def test_a_folder_in_a_store_is_known_at_any_depth_and_through_links(tmp_path):
    store = tmp_path / "store"
    make_case(store, "p1")
    for folder in (store, store / "labels" / "final", store / "new" / "deeper"):
        assert store_around(folder) == store
    (tmp_path / "real").mkdir()
    (store / "labels" / "final").symlink_to(tmp_path / "real")
    assert store_around(store / "labels" / "final") == store
    (tmp_path / "link").symlink_to(store)
    assert store_around(tmp_path / "link" / "found") is not None


def test_labels_of_something_else_make_no_store(tmp_path):
    (tmp_path / "labels" / "final").mkdir(parents=True)
    assert store_around(tmp_path / "runs") is None
    (tmp_path / "datastore_v2.json").write_text("{}")
    assert store_around(tmp_path / "runs") == tmp_path


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root: run it as another user")
def test_a_folder_that_may_not_be_looked_into_is_none(tmp_path):
    closed = tmp_path / "closed"
    (closed / "out").mkdir(parents=True)
    closed.chmod(0)
    try:
        assert store_around(closed / "out") is None
    finally:
        closed.chmod(0o700)


def test_no_case_has_a_name_that_the_store_keeps_something_under():
    """Every `".osln" / NAME` of the sources is a case's folder, begins with a point, or is reserved."""
    written = set()
    for path in Path(osln.__file__).parents[1].rglob("*.py"):
        text = path.read_text()
        for name in re.findall(r'"\.osln"(?: /|,) "?([\w.]+)', text):
            constant = re.search(rf'^{name} = "(.+)"', text, re.MULTILINE)
            written.add(constant[1] if constant else name)
    assert {"case", ".jobs", ".retraining.json"} <= written
    open_ones = {name for name in written if name != "case" and name[0] != "."}
    assert open_ones | {"splits.json.lock"} == set(OF_THE_STORE)
    for name in (*OF_THE_STORE, "Import", "PACS"):
        with pytest.raises(ValueError, match=f"'{name}' cannot be a case id: the store keeps"):
            check_case(name)
    assert check_case("imported") == "imported"
