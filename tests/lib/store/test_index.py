"""The store's index under several writers: nothing is lost, nobody reads half a file."""

import json
import threading

import pytest

from lib.store.datastore import OslnDatastore
from small.store import make_case


@pytest.fixture
def root(tmp_path):
    make_case(tmp_path, "one", pet=False, gtv=False)
    make_case(tmp_path, "two", pet=False, gtv=False)
    return tmp_path


def on_disk(root):
    return json.loads((root / "datastore_v2.json").read_text())["objects"]


def test_two_processes_do_not_erase_each_others_notes(root):
    server, scoring = OslnDatastore(root), OslnDatastore(root)
    server.update_image_info("one", {"chosen_by": "random"})
    scoring.update_image_info("one", {"score": 0.5})
    server.update_image_info("two", {"chosen_by": "first"})
    scoring.update_image_info("two", {"score": 0.7})
    assert on_disk(root)["one"]["image"]["info"].items() >= {"chosen_by": "random", "score": 0.5}.items()
    assert on_disk(root)["two"]["image"]["info"].items() >= {"chosen_by": "first", "score": 0.7}.items()


def test_what_another_process_wrote_is_seen_at_once(root):
    server, scoring = OslnDatastore(root), OslnDatastore(root)
    scoring.update_image_info("one", {"score": 0.5})
    assert server.get_image_info("one")["score"] == 0.5


def test_many_threads_lose_nothing_and_readers_never_fail(root):
    store, other, failures = OslnDatastore(root), OslnDatastore(root), []
    done = threading.Event()

    def read():
        while not done.is_set():
            try:
                store.json()
                on_disk(root)
            except Exception as error:
                failures.append(error)

    def write(which, number):
        which.update_image_info("one", {f"note {number}": number})

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=write, args=(which, n)) for n in range(8) for which in (store, other)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert failures == []
    assert {f"note {n}" for n in range(8)} <= set(on_disk(root)["one"]["image"]["info"])


def test_an_error_inside_a_change_drops_it(root):
    store = OslnDatastore(root)
    with pytest.raises(RuntimeError), store.transaction():
        store._datastore.objects["one"].image.info["half"] = True
        store._update_datastore_file()
        raise RuntimeError
    assert "half" not in store.get_image_info("one")
    assert "half" not in on_disk(root)["one"]["image"]["info"]


def test_a_change_is_shown_to_other_threads_only_when_it_is_complete(root):
    store, seen = OslnDatastore(root), []
    with store.transaction():
        store._datastore.objects["one"].image.info["note"] = 1
        store._update_datastore_file()
        other = threading.Thread(target=lambda: seen.append(store.get_image_info("one").get("note")))
        other.start()
        other.join()
    assert seen == [None]
    assert store.get_image_info("one")["note"] == 1


def test_a_failed_write_leaves_the_old_index(root, monkeypatch):
    store = OslnDatastore(root)
    before = (root / "datastore_v2.json").read_bytes()

    def no_space(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lib.store.index.write_atomically", no_space)
    with pytest.raises(Exception, match="disk is full"):
        store.update_image_info("one", {"note": 1})
    assert (root / "datastore_v2.json").read_bytes() == before
    assert "note" not in store.get_image_info("one")


def test_an_unreadable_index_is_put_aside_and_made_anew(root, caplog):
    OslnDatastore(root)
    (root / "datastore_v2.json").write_text('{"objects": {"one"')
    store = OslnDatastore(root)
    assert sorted(store.list_images()) == ["one", "two"]
    assert (root / "datastore_v2.json.unreadable").exists()
    assert "made anew" in caplog.text


def test_the_index_is_as_readable_as_any_other_file(root):
    OslnDatastore(root)
    modes = {(root / name).stat().st_mode & 0o777 for name in ("datastore_v2.json", "one.nii.gz")}
    assert len(modes) == 1
