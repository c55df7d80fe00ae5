"""./scripts/osln import as a person runs it."""

from osln.__main__ import main
from small.study import study


def test_a_folder_is_imported_and_told(tmp_path, capsys):
    folder, store = study(tmp_path / "in"), tmp_path / "store"

    assert main(["import", str(folder), str(store)]) == 0

    out = capsys.readouterr().out
    assert "imported case-" in out and "(CT, PET, nodes)" in out
    assert "1 imported, 0 already there, 0 skipped" in out and "identity removed" in out
    assert main(["import", str(folder), str(store), "--require", "pet"]) == 0
    assert "left alone case-" in capsys.readouterr().out


def test_a_case_without_contoured_nodes_is_told_to_be_unapproved(tmp_path, capsys):
    folder, store = study(tmp_path / "in"), tmp_path / "store"

    assert main(["import", str(folder), str(store), "--roi", "GTV_N1=ignore", "--roi", "LN 4R=ignore"]) == 0

    out = capsys.readouterr().out
    assert "nodes: none contoured: the case is not approved (a patient without nodes is approved in" in out
    assert not list((store / "labels").glob("final/*"))
    # A label that is in the store already stays, and approves.
    [ct] = store.glob("*.nii.gz")
    (store / "labels" / "final").mkdir()
    (store / "labels" / "gtv" / ct.name).rename(store / "labels" / "final" / ct.name)
    ct.unlink()
    assert main(["import", str(folder), str(store), "--roi", "GTV_N1=ignore", "--roi", "LN 4R=ignore"]) == 0
    out = capsys.readouterr().out
    assert "the store has a label of the nodes of this case" in out and "not approved" not in out


def test_nothing_imported_is_an_exit_status_and_a_reason(tmp_path, capsys):
    folder = study(tmp_path / "in")
    for path in (folder / "a").iterdir():
        path.unlink()
    (folder / "note.txt").write_text("hello")

    assert main(["import", str(folder), str(tmp_path / "store")]) == 1

    out = capsys.readouterr().out
    assert "refers to a CT that is not here" in out and "not read: note.txt: it is not a DICOM file" in out


def test_what_cannot_begin_is_one_sentence(tmp_path, capsys):
    assert main(["import", str(tmp_path / "missing"), str(tmp_path / "store")]) == 1
    assert capsys.readouterr().err.startswith("there is no ")
    assert main(["import", str(tmp_path), str(tmp_path / "store"), "--roi", "GTV1"]) == 1
    assert "is no decision about a region" in capsys.readouterr().err
    assert main(["import", "http://127.0.0.1:9/dicom-web", str(tmp_path / "store")]) == 1
    error = capsys.readouterr().err
    assert "cannot be reached" in error and "Traceback" not in error


def test_a_decision_about_a_name_that_no_region_has_is_told(tmp_path, capsys):
    folder, store = study(tmp_path / "in"), tmp_path / "store"

    assert main(["import", str(folder), str(store), "--roi", "LN4R=ignore"]) == 1
    assert (
        main(
            ["import", str(folder), str(tmp_path / "again"), "--roi", "LN 4R=ignore", "--roi", "LN4R=ignore"]
        )
        == 0
    )

    assert "no region that was read is called 'ln4r', as --roi says" in capsys.readouterr().err


def test_a_decision_on_the_command_line_reaches_the_labels(tmp_path, capsys):
    folder, store = study(tmp_path / "in"), tmp_path / "store"

    options = ["--roi", "LN 4R=ignore", "--roi", "GTV_N1=ignore", "--link-table", str(tmp_path / "links.csv")]
    assert main(["import", str(folder), str(store), *options]) == 0

    assert "(CT, PET)" in capsys.readouterr().out
    assert not (store / "labels" / "final").exists()
    assert (tmp_path / "links.csv").is_file()
