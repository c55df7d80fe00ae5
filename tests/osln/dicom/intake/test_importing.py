"""A DICOM study becomes a case of the store: voxels, labels, what is told, and what is refused."""

import hashlib
import json
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from osln.dicom.intake import importing
from osln.dicom.intake.deidentify import Deidentifier
from osln.dicom.intake.importing import ImportOptions, import_studies
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.reading.files import LocalSource
from osln.imaging.grid import Grid, canonical
from osln.store.layout import companions, load_study
from osln.store.splits import split_of
from small.dicom import (
    AXIAL,
    FLIP,
    IDENTITY,
    OBLIQUE,
    SHAPE,
    body,
    box_contours,
    ct_slices,
    structure_set,
    to_mm,
    uid,
    write_dicom,
)
from small.study import KEY, NODE, OTHER_NODE, TUMOR, mask_of, pet, regions, run, study


@pytest.mark.parametrize("affine", [AXIAL, OBLIQUE], ids=["axial", "oblique"])
def test_folder_with_ct_pet_and_structures_becomes_a_case(tmp_path, affine):
    store = tmp_path / "store"
    report = run(study(tmp_path / "in", affine=affine), store)

    [manifest] = report.imported
    paths = companions(store, manifest["case"])
    read = load_study(paths)
    grid = Grid(SHAPE, affine)
    np.testing.assert_array_equal(read.ct.array, canonical(body(), grid).array)
    assert read.ct.grid.matches(canonical(body(), grid).grid)
    np.testing.assert_array_equal(read.tumor.array, canonical(mask_of(TUMOR), grid).array)
    np.testing.assert_array_equal(read.nodes.array > 0, canonical(mask_of(NODE, OTHER_NODE), grid).array)
    factor = 70000 / (370e6 * 2 ** (-3600 / 6586.2))
    assert read.pet.array.max() == pytest.approx(30000 * factor, rel=1e-4)
    hot = read.pet.grid.index_to_mm(np.array(np.unravel_index(read.pet.array.argmax(), read.pet.array.shape)))
    assert hot == pytest.approx((affine @ [12, 4, 2, 1])[:3])
    assert report.skipped == [] and report.problems == []


@pytest.mark.parametrize("affine", [AXIAL, np.diag([-1, 1, -1, 1]) @ AXIAL], ids=["head first", "feet first"])
def test_a_node_on_every_image_of_an_uneven_ct_is_one_node(tmp_path, affine):
    places = [0, 1, 2, 4, 6, 8, 10]
    ct = ct_slices(body((20, 16, 7)), affine)
    for ds, place in zip(ct, places, strict=True):
        ds.ImagePositionPatient = (to_mm(affine, [(0, 0, place)])[0] * FLIP).tolist()
    write_dicom(tmp_path / "in", ct)
    contours = box_contours(affine, (12, 15), (4, 6), places[1:])
    write_dicom(tmp_path / "in", [structure_set(ct, {"LN 4R": contours})], "rs")
    [manifest] = run(tmp_path / "in", tmp_path / "store").imported

    assert [node["voxels"] for node in manifest["nodes"]] == [10 * 6]
    assert not any("without a contour" in warning for warning in manifest["warnings"])


def test_node_contours_become_instances_with_a_name_and_a_place(tmp_path):
    store = tmp_path / "store"
    [manifest] = run(study(tmp_path / "in"), store).imported

    instances = np.asarray(nib.load(store / "nodes" / f"{manifest['case']}.nii.gz").dataobj)
    final = np.asarray(nib.load(store / "labels" / "final" / f"{manifest['case']}.nii.gz").dataobj)
    assert np.array_equal(instances == 1, mask_of(NODE)) and np.array_equal(
        instances == 2, mask_of(OTHER_NODE)
    )
    assert np.array_equal(final, (instances > 0).astype(np.uint8))
    # The first node: voxels 12-13, 4-5, 2-3 of 2 x 2.5 x 3 mm.
    assert manifest["nodes"][0] == {
        "label": 1,
        "region": "GTV_N1",
        "voxels": 8,
        "volume_mm3": 120.0,
        "center_mm": pytest.approx(list((AXIAL @ [12.5, 4.5, 2.5, 1])[:3]), abs=0.01),
    }
    assert [node["region"] for node in manifest["nodes"]] == ["GTV_N1", "LN 4R"]


def test_manifest_says_what_was_chosen_and_why(tmp_path):
    [manifest] = run(study(tmp_path / "in"), tmp_path / "store").imported

    stored = json.loads((tmp_path / "store/.osln/import" / f"{manifest['case']}.json").read_text())
    assert stored == manifest
    assert "a structure set refers to it" in manifest["chosen"][0]
    assert "attenuation-corrected, shares the CT's frame of reference" in manifest["chosen"][1]
    assert manifest["pet"]["registration"] == "same frame of reference as the CT: not moved"
    pet = tmp_path / "store" / "pet" / f"{manifest['case']}.nii.gz"
    assert manifest["pet"]["sha256"] == hashlib.sha256(pet.read_bytes()).hexdigest()
    assert "60.0 min after the injection" in manifest["pet"]["values"]
    assert [(r["name"], r["kind"]) for r in manifest["structures"]["regions"]] == [
        ("GTVp", "tumor"), ("GTV_N1", "node"), ("LN 4R", "node"),
    ]  # fmt: skip
    assert manifest["ct"]["images"] == 12 and manifest["ct"]["KVP"] == 120


def test_zip_archive_gives_the_same_case_as_the_folder(tmp_path):
    folder = study(tmp_path / "in")
    archive = tmp_path / "Doe^Jane.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in folder.rglob("*.dcm"):
            zipped.write(path, f"../{path.relative_to(folder)}")

    one, other = run(folder, tmp_path / "one"), run(archive, tmp_path / "other")

    [case] = [manifest["case"] for manifest in other.imported]
    assert case == one.imported[0]["case"]
    for name in (f"{case}.nii.gz", f"pet/{case}.nii.gz", f"labels/gtv/{case}.nii.gz", f"nodes/{case}.nii.gz"):
        first, second = (np.asarray(nib.load(tmp_path / store / name).dataobj) for store in ("one", "other"))
        np.testing.assert_array_equal(first, second)


def test_nothing_that_is_written_tells_who_the_patient_is(tmp_path):
    ct = ct_slices()
    ct[0].add_new((0x0009, 0x0010), "LO", "PRIVATE")
    ct[0].add_new((0x0009, 0x1001), "LO", "Doe Jane secret")
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, regions(), name="rs-1")])
    write_dicom(tmp_path / "in", pet(CorrectedImage=["DECY"]), "pt")
    run(tmp_path / "in", tmp_path / "store")

    secrets = [
        *IDENTITY.values(),
        "Doe",
        "Jane",
        "20200102",
        "20200103",
        "secret",
        uid("study"),
        uid("ct-series"),
    ]
    secrets.remove("F")
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            content = nib.load(path).to_bytes() if path.name.endswith(".nii.gz") else path.read_bytes()
            assert not [word for word in secrets if word.encode() in content or word in path.name], path


def test_identity_stays_when_it_is_asked_for(tmp_path):
    report = run(study(tmp_path / "in"), tmp_path / "store", keep=True)

    [manifest] = report.imported
    assert manifest["case"].startswith("H-123456-")
    assert manifest["patient"] == "H-123456" and manifest["ct"]["PatientName"] == "Doe^Jane"
    assert manifest["ct"]["SeriesInstanceUID"] == uid("ct-series")
    assert manifest["ct"]["StudyDate"] == "20200102"
    assert "kept" in report.deidentification["identity"]


def test_running_again_leaves_what_is_there_alone(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    ct = store / f"{manifest['case']}.nii.gz"
    before = ct.stat().st_mtime_ns

    again = run(folder, store)

    assert again.imported == [] and again.skipped == []
    assert again.present == [{"case": manifest["case"], "state": "imported before"}]
    assert ct.stat().st_mtime_ns == before


def rewrite(folder, modality, change):
    """Corrects the files of a modality in their places, under the UIDs that they have."""
    for path in folder.rglob("*.dcm"):
        ds = pydicom.dcmread(path)
        if ds.Modality == modality:
            change(ds)
            ds.save_as(path)


def moved(ds):
    """The contours one voxel of 2 mm aside, in as many bytes."""
    for contour in (one for region in ds.ROIContourSequence for one in region.ContourSequence):
        places = np.array(contour.ContourData, float).reshape(-1, 3)
        contour.ContourData = [f"{value:.3f}" for value in np.add(places, (2, 0, 0)).ravel()]


@pytest.mark.parametrize(
    ("modality", "change", "told"),
    [
        ("PT", lambda ds: setattr(ds, "PatientWeight", "60"), "PET"),
        ("CT", lambda ds: setattr(ds, "RescaleIntercept", "-1000"), "CT"),
        ("RTSTRUCT", moved, "contours"),
    ],
)
def test_files_that_were_corrected_in_place_are_told_and_not_taken_for_the_same(
    tmp_path, modality, change, told
):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    # All by one writer, so that nothing but the value differs.
    rewrite(folder, modality, lambda ds: None)
    [manifest] = run(folder, store).imported
    before = {path: path.read_bytes() for path in store.rglob("*.nii.gz")}

    rewrite(folder, modality, change)
    [known] = run(folder, store).present

    assert known["state"] == (
        f"in the store, and its {told} changed since under the same UIDs; move its files away to import it "
        "again"
    )
    assert {path: path.read_bytes() for path in store.rglob("*.nii.gz")} == before
    (store / f"{manifest['case']}.nii.gz").unlink()
    [again] = run(folder, store).imported
    assert run(folder, store).present == [{"case": again["case"], "state": "imported before"}]


def test_a_weight_that_was_added_in_place_brings_the_pet_and_leaves_the_label_of_an_annotator(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    rewrite(folder, "PT", lambda ds: delattr(ds, "PatientWeight"))
    [manifest] = run(folder, store).imported
    name = f"{manifest['case']}.nii.gz"
    assert manifest["pet"] is None and not (store / "pet" / name).exists()
    label = store / "labels" / "final" / name
    label.write_bytes(b"of an annotator")

    rewrite(folder, "PT", lambda ds: setattr(ds, "PatientWeight", "70"))
    rewrite(folder, "RTSTRUCT", moved)
    assert "its PET and contours changed since" in run(folder, store).present[0]["state"]
    (store / name).unlink()
    [again] = run(folder, store).imported

    assert (store / "pet" / name).is_file() and label.read_bytes() == b"of an annotator"
    assert "one of the nodes of this case: it stayed as it is" in again["warnings"][0]


def test_copied_and_renamed_files_are_the_same_ones(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    run(folder, store)
    for number, path in enumerate(sorted(folder.rglob("*.dcm"), reverse=True)):
        (tmp_path / "copy").mkdir(exist_ok=True)
        (tmp_path / "copy" / f"{number}").write_bytes(path.read_bytes())
    assert [item["state"] for item in run(tmp_path / "copy", store).present] == ["imported before"]


def test_a_case_without_a_note_of_its_files_contents_is_not_imported_anew(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    noted = store / ".osln" / "import" / f"{manifest['case']}.json"
    # As versions wrote it that knew the UIDs alone.
    noted.write_text(json.dumps({key: value for key, value in manifest.items() if key != "contents"}))

    report = run(folder, store)

    assert report.imported == [] and report.skipped == []
    assert report.present[0]["state"] == (
        "imported before, without a note of what its files held: whether they changed is not known"
    )


def test_case_made_from_other_decisions_is_told_and_not_overwritten(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    run(folder, store)

    [known] = run(folder, store, "LN 4R=ignore").present

    assert "other images or decisions" in known["state"]


def test_rules_of_a_site_are_decisions_and_those_about_other_names_are_none(tmp_path):
    folder, store, rules = study(tmp_path / "in"), tmp_path / "store", tmp_path / "rules.yaml"
    run(folder, store)
    assert run(folder, store, "ZZZ=node").present[0]["state"] == "imported before"

    for pattern, state in (("zzz", "imported before"), ("ln 4r", "made from other images or decisions")):
        rules.write_text(f"rules: [{{kind: other, pattern: '{pattern}'}}]")
        with LocalSource(folder) as source:
            options = ImportOptions(load_rules(rules))
            [known] = import_studies(source, store, Deidentifier(KEY), options).present
        assert state in known["state"]


def test_labels_that_are_there_stay_where_only_the_images_are_gone(tmp_path):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    name = f"{manifest['case']}.nii.gz"
    drawn = [store / "labels" / tag / name for tag in ("gtv", "final")]
    for path in drawn:
        path.write_bytes(b"of an annotator")
    (store / name).unlink()

    [again] = run(folder, store, "LN 4R=ignore").imported

    assert (store / name).is_file() and all(path.read_bytes() == b"of an annotator" for path in drawn)
    assert "a label of the tumor and one of the nodes of this case: it stayed" in again["warnings"][0]

    (store / name).unlink()
    next((folder / "a").iterdir()).unlink()
    report = run(folder, store)
    assert "drawn on other images of this CT" in report.skipped[0]["reason"]


def fill_the_disk_at_the_ct(monkeypatch):
    original = Path.replace

    def replace(self, target):
        if self.name == "ct.nii.gz":
            raise OSError(28, "No space left on device")
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)


def test_a_write_that_fails_puts_back_what_was_there(tmp_path, monkeypatch):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    [manifest] = run(folder, store).imported
    name = f"{manifest['case']}.nii.gz"
    (store / name).unlink()
    (store / "pet" / name).write_bytes(b"former")
    before = {path: path.read_bytes() for path in store.rglob(f"{manifest['case']}*") if path.is_file()}
    fill_the_disk_at_the_ct(monkeypatch)
    run(folder, store)
    monkeypatch.undo()

    assert {path: path.read_bytes() for path in before} == before


def test_interrupted_writing_leaves_no_case_and_is_made_good(tmp_path, monkeypatch):
    folder, store = study(tmp_path / "in"), tmp_path / "store"
    fill_the_disk_at_the_ct(monkeypatch)
    report = run(folder, store)
    monkeypatch.undo()

    assert "No space left" in report.skipped[0]["reason"]
    assert list(store.rglob("*.nii.gz")) == []
    assert not [path for path in store.rglob("*") if path.name.startswith("unfinished")]
    assert len(run(folder, store).imported) == 1


def test_ambiguous_name_is_reported_and_can_be_decided(tmp_path):
    ct = ct_slices()
    named = {"GTV1": box_contours(AXIAL, *TUMOR), "GTV_N1": box_contours(AXIAL, *NODE)}
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, named)])
    store = tmp_path / "store"

    report = run(tmp_path / "in", store)
    assert report.imported == [] and report.ambiguous == {"GTV1": 1}
    assert '--roi "GTV1=tumor"' in report.skipped[0]["reason"]
    assert not list(store.glob("*.nii.gz"))

    [manifest] = run(tmp_path / "in", store, "gtv1=tumor").imported
    tumor = np.asarray(nib.load(store / "labels/gtv" / f"{manifest['case']}.nii.gz").dataobj)
    np.testing.assert_array_equal(tumor > 0, mask_of(TUMOR))


def test_required_parts_are_asked_for(tmp_path):
    ct = ct_slices()
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, {"GTVp": box_contours(AXIAL, *TUMOR)})])

    report = run(tmp_path / "in", tmp_path / "store", required=("pet", "nodes"))

    assert report.imported == []
    assert "it has no pet and no nodes, and is required to have it" in report.skipped[0]["reason"]


def test_two_planning_cts_of_a_patient_share_a_split(tmp_path):
    first, second = ct_slices(), ct_slices(name="replan")
    plans = [structure_set(first, regions()), structure_set(second, regions(), name="rs2")]
    write_dicom(tmp_path / "in", [*first, *second, *plans])
    store = tmp_path / "store"

    cases = [manifest["case"] for manifest in run(tmp_path / "in", store).imported]

    assert len(cases) == 2 and cases[0][:15] == cases[1][:15]
    assert split_of(store, cases[0]) == split_of(store, cases[1])


def test_pet_of_another_frame_is_registered_by_its_own_ct(tmp_path, monkeypatch):
    seen = {}

    def register(ct, moving, pet_ct, *, on_progress=None):
        seen.update(ct=ct, pet=moving, pet_ct=pet_ct)
        raise ValueError("after registration no part of the PET lies on the planning CT's body")

    monkeypatch.setattr("osln.registration.register_pet", register)
    folder = tmp_path / "in"
    ct = ct_slices()
    write_dicom(folder, [*ct, structure_set(ct, regions())])
    write_dicom(folder, ct_slices(body() + 1, name="low-dose", FrameOfReferenceUID=uid("other")), "low")
    write_dicom(folder, pet(FrameOfReferenceUID=uid("other")), "pt")

    [manifest] = run(folder, tmp_path / "store").imported

    assert seen["pet_ct"].array.min() == -999 and seen["ct"].array.min() == -1000
    assert manifest["pet"] is None
    assert any("PT series 1 (6 files) was left out: after registration" in w for w in manifest["warnings"])


def test_counts_of_philips_become_suv_by_the_private_factor(tmp_path):
    ct, images = ct_slices(), pet(Units="CNTS", slopes=[1.0] * 6)
    for ds in images:
        ds.add_new((0x7053, 0x0010), "LO", "Philips PET Private Group")
        ds.add_new((0x7053, 0x1000), "DS", "0.0002")
    write_dicom(tmp_path / "in", [*ct, structure_set(ct, regions())])
    write_dicom(tmp_path / "in", images, "pt")

    [manifest] = run(tmp_path / "in", tmp_path / "store").imported

    stored = np.asarray(nib.load(tmp_path / "store/pet" / f"{manifest['case']}.nii.gz").dataobj)
    assert np.unique(stored) == pytest.approx([1.0, 6.0])
    assert "private factor" not in str(manifest) and "Philips' SUV factor" in manifest["pet"]["values"]


def test_another_import_into_the_store_is_waited_for_by_the_user(tmp_path):
    store = tmp_path / "store"
    (store / ".osln/import").mkdir(parents=True)
    with (
        importing.FileLock(str(store / ".osln/import/lock")),
        pytest.raises(ValueError, match="another import is writing"),
    ):
        run(study(tmp_path / "in"), store)


def test_link_table_tells_who_is_who_and_stays_outside_the_store(tmp_path):
    folder, store, table = study(tmp_path / "in"), tmp_path / "store", tmp_path / "links.csv"
    with pytest.raises(ValueError, match="outside the store"):
        run(folder, store, link_table=store / "links.csv")

    [manifest] = run(folder, store, link_table=table).imported

    assert table.read_text().splitlines()[1].startswith(f"{manifest['case']},H-123456,Doe^Jane,20200102,")
    assert table.stat().st_mode & 0o077 == 0


def test_no_cell_of_the_link_table_is_a_formula(tmp_path):
    folder, table = study(tmp_path / "in", PatientName="=HYPERLINK(1)"), tmp_path / "links.csv"
    run(folder, tmp_path / "store", link_table=table)

    assert ",'=HYPERLINK(1)," in table.read_text()
