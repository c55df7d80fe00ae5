"""The mirror of a real PACS: listing, fetching once, room for images, several processes, and trouble."""

import subprocess
import sys
import threading
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from osln.dicom.web.client import PacsError, WebClient
from osln.dicom.web.credentials import Credentials
from osln.pacs import room
from small.dicom import AXIAL, body, ct_slices, structure_set
from small.pacs import CASE, PET, empty, mirror_of, store, store_study
from small.study import TUMOR, mask_of, pet, regions

pytestmark = pytest.mark.pacs


def listed(pacs, root, **options):
    mirror = mirror_of(pacs, root, **options)
    mirror.listing.refresh()
    return mirror


def voxels(mirror, folder=""):
    return np.asarray(nib.load(mirror.root / folder / f"{CASE}.nii.gz").dataobj)


def test_case_of_the_pacs_is_fetched_voxel_by_voxel(pacs, tmp_path):
    mirror = listed(pacs, tmp_path / "mirror")
    assert not list(mirror.root.glob("*.nii.gz")), "listing fetches no pixels"

    assert mirror.ensure(CASE) is None

    np.testing.assert_array_equal(voxels(mirror), body())
    np.testing.assert_allclose(nib.load(mirror.root / f"{CASE}.nii.gz").affine, AXIAL)
    np.testing.assert_array_equal(voxels(mirror, "labels/gtv") > 0, mask_of(TUMOR))
    hottest = np.unravel_index(voxels(mirror, "pet").argmax(), (10, 8, 6))
    assert hottest == (6, 2, 1)
    assert mirror.root.stat().st_mode & 0o077 == 0, "patient data is for its owner alone"


def test_series_of_the_pet_and_the_structure_set_lead_to_the_ct(pacs, tmp_path):
    cases = listed(pacs, tmp_path / "mirror").cases()
    drawn = structure_set(ct_slices(), regions())

    assert list(cases.plans) == [CASE]
    assert cases.case_of(CASE) == cases.case_of(PET) == cases.case_of(drawn.SeriesInstanceUID) == CASE
    assert cases.case_of("1.2.3") is None


def test_what_is_known_is_not_asked_for_again_also_after_a_restart(pacs, tmp_path, monkeypatch):
    listed(pacs, tmp_path / "mirror")
    asked = []
    monkeypatch.setattr(WebClient, "header", lambda *args: asked.append(args))
    mirror = mirror_of(pacs, tmp_path / "mirror")

    assert list(mirror.cases().plans) == [CASE], "known before the PACS was asked"
    assert mirror.listing.refresh() is False and not asked


def test_pet_that_arrives_later_is_fetched_and_labels_stay(pacs, tmp_path):
    empty(pacs)
    store(pacs, tmp_path / "ct", [*ct_slices(), structure_set(ct_slices(), {"GTVp": regions()["GTVp"]})])
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)
    label = mirror.root / "labels" / "gtv" / f"{CASE}.nii.gz"
    label.write_bytes(b"drawn by somebody")

    store(pacs, tmp_path / "pet", pet())
    mirror.listing.refresh()
    mirror.ensure(CASE)

    assert (mirror.root / "pet" / f"{CASE}.nii.gz").is_file()
    assert label.read_bytes() == b"drawn by somebody"


def test_ct_that_grows_is_fetched_again_until_it_is_labeled(pacs, tmp_path):
    empty(pacs)
    store(pacs, tmp_path / "half", ct_slices()[:8])
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)
    assert voxels(mirror).shape[2] == 8

    store(pacs, tmp_path / "rest", ct_slices()[8:10])
    mirror.listing.refresh()
    mirror.ensure(CASE)
    assert voxels(mirror).shape[2] == 10

    (mirror.root / "labels" / "final").mkdir(parents=True)
    (mirror.root / "labels" / "final" / f"{CASE}.nii.gz").write_bytes(b"label")
    store(pacs, tmp_path / "last", ct_slices()[10:])
    mirror.listing.refresh()
    told = mirror.ensure(CASE)
    assert "12 images on the PACS now that are not the 10 that its labels were drawn on" in told
    assert voxels(mirror).shape[2] == 10


def test_ambiguous_region_is_left_out_and_a_decision_brings_it(pacs, tmp_path):
    empty(pacs)
    store_study(pacs, tmp_path / "dicom", named={"GTV1": regions()["GTVp"], "GTV2": regions()["GTV_N1"]})
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)
    (warning,) = [text for text in mirror.fetched(CASE).warnings if "ambiguous" in text]
    assert "'GTV1'" in warning and '--conf roi "GTV1=tumor"' in warning
    assert not (mirror.root / "labels" / "gtv" / f"{CASE}.nii.gz").exists()

    mirror = mirror_of(pacs, tmp_path / "mirror", choices=("GTV1=tumor", "GTV2=node"))
    mirror.ensure(CASE)
    np.testing.assert_array_equal(voxels(mirror, "labels/gtv") > 0, mask_of(TUMOR))
    assert voxels(mirror, "labels/final").any()


def test_contours_outside_the_image_cost_the_contours_not_the_case(pacs, tmp_path):
    empty(pacs)
    far = [points + np.array([500.0, 0.0, 0.0]) for points in regions()["GTVp"]]
    store_study(pacs, tmp_path / "dicom", named={"GTVp": far})
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)

    np.testing.assert_array_equal(voxels(mirror), body())
    assert any("structure set was left out" in text for text in mirror.fetched(CASE).warnings)


def test_images_used_least_recently_give_way_and_labels_never(pacs, tmp_path, monkeypatch):
    other = ct_slices(name="other", PatientID="H-2", StudyInstanceUID="1.2.826.5")
    store(pacs, tmp_path / "other", other)
    uid = str(other[0].SeriesInstanceUID)
    mirror = listed(pacs, tmp_path / "mirror", cache_gb=1e-9)
    mirror.ensure(CASE)
    mirror.ensure(uid)
    assert len(list(mirror.root.glob("*.nii.gz"))) == 2, "what was just asked for stays"

    monkeypatch.setattr(room, "RECENT_S", 0.0)
    with mirror.holding([CASE]) as lacking:
        assert lacking == {}
        assert mirror_of(pacs, mirror.root, cache_gb=1e-9).room.make() == [uid]
    assert mirror.room.make() == [CASE]

    assert not list(mirror.root.glob("*.nii.gz")) and not list(mirror.root.glob("pet/*"))
    assert (mirror.root / "labels" / "gtv" / f"{CASE}.nii.gz").is_file()
    monkeypatch.undo()
    mirror.ensure(CASE)
    np.testing.assert_array_equal(voxels(mirror), body())


CHILD = """
import sys; sys.path.insert(0, {path!r})
from pathlib import Path
from osln.dicom.web.credentials import Credentials
from osln.dicom.intake.roi_names import load_rules
from osln.dicom.web.client import WebClient
from osln.pacs.mirror import PacsMirror
mirror = PacsMirror(Path({root!r}), WebClient({url!r}, Credentials()), load_rules())
mirror.listing.refresh()
mirror.ensure({case!r})
"""


def test_processes_and_threads_that_want_one_case_fetch_it_once(pacs, tmp_path, monkeypatch):
    path = str(Path(__file__).resolve().parents[3] / "apps" / "osln")
    code = CHILD.format(path=path, url=pacs.url, root=str(tmp_path / "mirror"), case=CASE)
    children = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [child.wait(120) for child in children] == [0, 0]
    mirror = mirror_of(pacs, tmp_path / "mirror")
    np.testing.assert_array_equal(voxels(mirror), body())

    (mirror.root / f"{CASE}.nii.gz").unlink()
    fetched = []
    instances = WebClient.instances

    def counted(web, study, series):
        fetched.append(series)
        yield from instances(web, study, series)

    monkeypatch.setattr(WebClient, "instances", counted)
    threads = [threading.Thread(target=mirror.ensure, args=(CASE,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fetched) == sorted([CASE, PET])


def test_pacs_that_is_down_empties_no_list_and_serves_what_is_here(pacs, tmp_path):
    mirror = listed(pacs, tmp_path / "mirror")
    mirror.ensure(CASE)
    away = mirror_of(pacs, tmp_path / "mirror")
    away.web = away.listing._web = WebClient("http://127.0.0.1:9/dicom-web", Credentials())

    with pytest.raises(PacsError, match="cannot be reached"):
        away.listing.refresh()
    assert list(away.cases().plans) == [CASE] and away.ensure(CASE) is None
    (away.root / f"{CASE}.nii.gz").unlink()
    with pytest.raises(PacsError, match="cannot be reached"):
        away.ensure(CASE)


def test_slow_pacs_and_wrong_address_are_told(pacs, tmp_path):
    pacs.pause()
    try:
        with pytest.raises(PacsError, match=r"did not answer for 0.5 s"):
            listed(pacs, tmp_path / "mirror", timeout_s=0.5)
    finally:
        pacs.resume()
    wrong = mirror_of(pacs, tmp_path / "wrong")
    wrong.listing._web = WebClient(pacs.root + "/app", Credentials())
    with pytest.raises(PacsError, match="the path often is /dicom-web"):
        wrong.listing.refresh()
