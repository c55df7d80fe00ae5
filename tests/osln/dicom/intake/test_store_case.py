"""What an import finds in the store: labels in any format, and those that come while it works, stay."""

import errno
import gzip
import os
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from osln.cli.import_ import taken
from osln.dicom.intake import store_case
from osln.dicom.intake.store_case import ImportedCase, noted_images, write_case
from osln.imaging.grid import Grid, Volume, read_volume
from osln.store.layout import companions, load_study
from osln.store.patients import read_manifest
from osln.store.revisions import label_revisions
from small.dicom import AXIAL, box_contours, ct_slices, structure_set, write_dicom
from small.kills import MOVES, killed_at
from small.study import NODE, TUMOR, mask_of, run, study


@pytest.fixture
def of_anna(tmp_path, monkeypatch):
    """Has Anna submit nodes while the import writes its files; what she submits. `images`: those she saw."""
    data = gzip.compress(nib.Nifti1Image(mask_of(NODE).astype(np.uint8), AXIAL).to_bytes())

    def comes(images=""):
        write = store_case.write_volume

        def write_volume(path, *args):
            if path.name == "ct.nii.gz":
                case = path.parent.name.removeprefix("unfinished-")
                kept = label_revisions(tmp_path / "store", case, "final")
                with kept.lock():
                    kept.submit(data, by="Anna", source="submission", images=images)
            return write(path, *args)

        monkeypatch.setattr(store_case, "write_volume", write_volume)
        return data

    return comes


def test_label_that_comes_during_the_import_stays_and_this_is_told(tmp_path, of_anna):
    store, data = tmp_path / "store", of_anna()
    [manifest] = run(study(tmp_path / "in"), store).imported

    name, kept = f"{manifest['case']}.nii.gz", label_revisions(store, manifest["case"], "final")
    assert kept.final.read_bytes() == data and not (store / "nodes" / name).exists()
    assert (store / "labels" / "gtv" / name).is_file() and (store / name).is_file()
    assert "a label of the nodes was stored while this case was imported" in manifest["warnings"][-1]
    assert read_manifest(store, manifest["case"]) == manifest
    with kept.lock():
        assert kept.settle() is None
    assert [revision.by for revision in kept.history()] == ["Anna"]


def test_case_of_a_study_without_nodes_is_approved_by_such_a_label(tmp_path, of_anna):
    ct = ct_slices()
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, {"GTVp": box_contours(AXIAL, *TUMOR)})])
    of_anna()
    [manifest] = run(tmp_path / "in", tmp_path / "store").imported

    assert manifest["approved"] and not any("was stored while" in one for one in manifest["warnings"])


def test_other_images_than_those_of_such_a_label_are_not_put_under_it(tmp_path, of_anna):
    store = tmp_path / "store"
    of_anna(images="others")
    report = run(study(tmp_path / "in"), store)

    assert "drawn on other images of this CT" in report.skipped[0]["reason"]
    assert not list(store.glob("*.nii.gz")) and not list(store.glob("pet/*"))


@pytest.mark.parametrize("suffixes", [(".nii",), (".nrrd",), (".mha",), (".nii.gz", ".nrrd")])
def test_label_in_another_format_stays_and_gets_no_twin(tmp_path, suffixes):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    case, final = manifest["case"], store / "labels" / "final"
    (final / f"{case}.nii.gz").unlink()
    names = [f"{case}{suffix}" for suffix in suffixes]
    for name in names:
        (final / name).write_bytes(b"of an annotator")
    (store / f"{case}.nii.gz").unlink()

    [again] = run(folder, store).imported

    assert sorted(path.name for path in final.iterdir()) == names and again["approved"]
    assert all((final / name).read_bytes() == b"of an annotator" for name in names)
    assert "a label of the tumor and one of the nodes of this case: it stayed" in again["warnings"][0]


def test_image_in_another_format_gets_no_twin(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    case = manifest["case"]
    (store / f"{case}.nii.gz").rename(store / f"{case}.nii")
    assert [item["case"] for item in run(folder, store).present] == [case]

    (store / f"{case}.nii").unlink()
    (store / "pet" / f"{case}.nii.gz").rename(store / "pet" / f"{case}.nii")
    [skipped] = run(folder, store).skipped
    assert f"{case}.nii would lie beside {case}.nii.gz" in skipped["reason"]
    assert [path.name for path in store.glob("pet/*")] == [f"{case}.nii"] and not list(store.glob("*.nii*"))


def test_of_a_label_that_was_taken_away_the_revisions_are_told_and_the_case_is_not_approved(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    case = manifest["case"]
    kept = label_revisions(store, case, "final")
    with kept.lock():
        kept.settle()
        kept.remove_final()
    (store / f"{case}.nii.gz").unlink()

    report = run(folder, store)
    [again] = report.imported

    assert not kept.final.exists() and not again["approved"]
    assert "has a label of the tumor of this case: it stayed as it is" in again["warnings"][0]
    assert (
        f"had a label of the nodes of this case, which was taken away; its revisions are kept in .osln/{case}"
        in (again["warnings"][1])
    )
    [case_of_report] = report.as_json()["cases"]
    assert "nodes: not written, and the case is not approved: see the notes" in list(taken(case_of_report))

    (store / f"{case}.nii.gz").unlink()
    (store / ".osln" / case).rename(tmp_path / "moved away")
    assert run(folder, store).imported[0]["approved"] and kept.final.is_file()


@pytest.fixture
def without_pet(tmp_path):
    """An imported study whose PET is withdrawn then, and whose CT is gone: store, case, a second import."""
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    case = manifest["case"]
    shutil.rmtree(folder / "b")
    (store / f"{case}.nii.gz").unlink()
    return store, case, lambda: run(folder, store)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd"])
def test_what_a_former_import_brought_and_the_study_has_no_more_goes(without_pet, suffix):
    store, case, again = without_pet
    (store / "pet" / f"{case}.nii.gz").rename(store / "pet" / f"{case}{suffix}")
    transform = store / ".osln" / "import" / f"{case}.tfm"
    transform.touch()
    [manifest] = again().imported

    assert manifest["pet"] is None and list((store / "pet").iterdir()) == [] and not transform.exists()
    assert load_study(companions(store, case)).pet is None
    assert (store / "labels" / "final" / f"{case}.nii.gz").is_file()
    assert (store / "nodes" / f"{case}.nii.gz").is_file(), "it is of the label that stays"


def test_single_nodes_go_with_the_label_that_the_study_has_no_more(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    case, ct = manifest["case"], ct_slices()
    for path in (store / f"{case}.nii.gz", store / "labels" / "final" / f"{case}.nii.gz"):
        path.unlink()
    write_dicom(folder, [structure_set(ct, {"GTVp": box_contours(AXIAL, *TUMOR)})], "rs")
    [manifest] = run(folder, store).imported

    assert not manifest["approved"] and not list((store / "nodes").iterdir())


def test_an_import_that_fails_takes_nothing_away(without_pet, monkeypatch):
    store, case, again = without_pet
    pet = store / "pet" / f"{case}.nii.gz"
    before, replace = pet.read_bytes(), Path.replace

    def full(path, target):
        if path.name == "ct.nii.gz":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    assert "No space left" in again().skipped[0]["reason"]
    assert pet.read_bytes() == before and read_manifest(store, case)["pet"]


def test_a_pet_of_somebodys_own_stays_and_is_told(without_pet):
    store, case, again = without_pet
    again()
    own = store / "pet" / f"{case}.nii.gz"
    own.write_bytes(b"somebody's own")
    (store / f"{case}.nii.gz").unlink()
    [manifest] = again().imported

    assert own.read_bytes() == b"somebody's own"
    assert (
        f"pet/{own.name}, which the last import did not write, stayed, and is used"
        in manifest["warnings"][-1]
    )


def test_a_pet_in_the_place_of_the_imported_one_is_somebodys_own_too(without_pet):
    store, case, again = without_pet
    own = store / "pet" / f"{case}.nii.gz"
    own.write_bytes(b"corrected by hand")
    [manifest] = again().imported

    assert own.read_bytes() == b"corrected by hand" and manifest["pet"] is None
    assert f"pet/{own.name}, which the last import did not write, stayed" in manifest["warnings"][-1]


def test_a_pet_that_comes_again_takes_the_place_of_somebodys_own_and_this_is_told(former):
    (former / "pet" / "one.nii.gz").write_bytes(b"corrected by hand")
    manifest = write_case(former, "one", content(2, registered=False))

    assert written(former) == SECOND
    [told] = manifest["warnings"]
    assert told == "pet/one.nii.gz, which the last import did not write, was replaced by the study's PET"
    assert write_case(former, "one", content(1, registered=True))["warnings"] == []


SHAPE, GRID = (4, 4, 4), Grid((4, 4, 4), np.eye(4))
FIRST, SECOND = ("1", "1", "1", True), ("2", "2", "2", False)
"""As `written` tells it."""


def content(of, *, registered):
    """A case without labels, of the images `of`, which all voxels of its CT and PET are."""
    ct, pet = (Volume(np.full(SHAPE, of, kind), GRID, GRID) for kind in (np.int16, np.float32))
    about = {"case": "one", "ct": {"instances": str(of)}, "pet": {"of": of}, "warnings": []}
    transform = sitk.TranslationTransform(3, (of, 0, 0)) if registered else None
    return ImportedCase(ct, pet, None, None, transform, about)


def written(store):
    """Of which `content` CT, PET and manifest are, "" where there is none, and whether it is registered."""
    files = [store / folder / "one.nii.gz" for folder in ("", "pet")]
    images = [str(int(read_volume(file).array[0, 0, 0])) if file.is_file() else "" for file in files]
    return (*images, noted_images(store, "one"), (store / ".osln" / "import" / "one.tfm").is_file())


@pytest.fixture
def former(tmp_path):
    """A store with the first content."""
    write_case(tmp_path / "former", "one", content(1, registered=True))
    return tmp_path / "former"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a copy of this process")
def test_a_kill_at_any_move_leaves_a_whole_case_or_none(tmp_path, former):
    number, seen, second = 0, set(), content(2, registered=False)
    while True:
        number += 1
        store = shutil.copytree(former, tmp_path / str(number))
        if not killed_at(number, lambda store=store: write_case(store, "one", second), MOVES):
            break
        left = written(store)
        assert left[0] == "" or left in (FIRST, SECOND), number
        seen.add(left)
        write_case(store, "one", second)
        assert written(store) == SECOND
    assert seen >= {FIRST, ("", *FIRST[1:]), ("", "", "2", False), ("", *SECOND[1:]), SECOND}


def test_there_is_a_ct_while_what_lies_there_gets_second_names(former, monkeypatch):
    def looked(path, other, real=store_case._second_name):
        assert (former / "one.nii.gz").is_file()
        named.append(path.relative_to(former).parts[0])
        return real(path, other)

    named = []
    monkeypatch.setattr(store_case, "_second_name", looked)
    write_case(former, "one", content(2, registered=False))
    assert written(former) == SECOND
    assert named.count("one.nii.gz") == 1 and len(named) > 2


def test_a_refusal_at_any_move_leaves_everything_as_it_was(former, monkeypatch):
    before = {path: path.read_bytes() for path in former.rglob("*") if path.is_file()}
    number, calls = 0, 0

    def counted(done):
        def change(path, *arguments, **options):
            nonlocal calls
            calls += 1
            if calls == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return done(path, *arguments, **options)

        return change

    for name in ("replace", "unlink"):
        monkeypatch.setattr(Path, name, counted(getattr(Path, name)))
    while True:
        number, calls = number + 1, 0
        try:
            write_case(former, "one", content(2, registered=False))
            break
        except OSError:
            assert {path: path.read_bytes() for path in former.rglob("*") if path.is_file()} == before
    # The former CT and registration go; manifest, PET and CT come.
    assert number > 5 and written(former) == SECOND
