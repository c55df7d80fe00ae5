"""Another program's client, over HTTP, reads everything of a folder of cases."""

import socket
import threading
import time

import numpy as np
import pytest
import uvicorn
from dicomweb_client.api import DICOMwebClient

from lib.store.datastore import OslnDatastore
from lib.web import dicomweb_routes
from osln.dicom.served.uids import study_uid
from osln.imaging.grid import read_volume
from small import store as small_store
from small.routes import client_of_routes


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A client of a store with a case with PET and one without, behind a real socket."""
    small_store.make_case(tmp_path, "one")
    small_store.make_case(tmp_path, "two", pet=False)
    app = client_of_routes(monkeypatch, [dicomweb_routes], OslnDatastore(tmp_path)).app
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        port = listening.getsockname()[1]
        yield DICOMwebClient(
            f"http://127.0.0.1:{port}/proxy/dicom", qido_url_prefix="qido", wado_url_prefix="wado"
        )
        server.should_exit = True
        thread.join(10)


def test_everything_is_found_and_read(reader, tmp_path):
    studies = reader.search_for_studies()
    assert [one["00100010"]["Value"][0]["Alphabetic"] for one in studies] == ["one", "two"]
    assert [one["00201208"]["Value"] for one in studies] == [[24 + 18], [24]]
    assert "Value" not in studies[0]["00080020"], "no date is invented"
    (found,) = reader.search_for_studies(search_filters={"PatientID": "t*"})
    assert found["0020000D"]["Value"] == [study_uid("two")]

    study = study_uid("one")
    ct, pet = (one["0020000E"]["Value"][0] for one in reader.search_for_series(study))
    assert len(reader.search_for_series()) == 3
    assert len(reader.search_for_instances(study)) == 42
    instances = [one["00080018"]["Value"][0] for one in reader.search_for_instances(study, ct)]
    assert len(instances) == 24

    whole, of_ct = reader.retrieve_study_metadata(study), reader.retrieve_series_metadata(study, ct)
    assert whole[:24] == of_ct and len(whole) == 42
    assert reader.retrieve_instance_metadata(study, ct, instances[3]) == of_ct[3]

    (frame,) = reader.retrieve_instance_frames(study, ct, instances[3], [1])
    image = reader.retrieve_instance(study, ct, instances[3])
    np.testing.assert_array_equal(np.frombuffer(frame, "<i2").reshape(36, 40), image.pixel_array)
    file = read_volume(tmp_path / "one.nii.gz")
    # Columns of the image run to the patient's left, rows to the back.
    np.testing.assert_array_equal(image.pixel_array.T - 1024, file.array[::-1, ::-1, 3])

    images = reader.retrieve_series(study, pet)
    assert [str(one.SOPInstanceUID) for one in images] == [f"{pet}.{n}" for n in range(1, 19)]
    assert len(reader.retrieve_study(study)) == 42
    assert {one.FrameOfReferenceUID for one in reader.retrieve_study(study)} == {f"{study}.0"}
