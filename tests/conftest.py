"""What all tests share: fixed seeds, one thread, and the way to components that not every computer has."""

from __future__ import annotations

import gc
import logging
import os
import random
from pathlib import Path

import pytest

# Before anything imports numpy or torch: results and times must not depend on the number of cores.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Collect, then take what costs a little with each of some thousand tests off them.

    pytest adds its handlers to every logger that does not propagate, of which torch, monai and mlflow bring
    80, and takes them away again, six times a test; loggers that propagate bring it the same messages.
    What was imported stays until the end, so that looking for what can be given back of it is in vain.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        for logger in logging.root.manager.loggerDict.values():
            if isinstance(logger, logging.Logger):
                logger.propagate = True
        gc.freeze()
        gc.enable()


def missing(component: str, remedy: str) -> None:
    """Skip a test whose real component is absent, or fail it where everything must be there.

    Args:
        component: what is missing, for instance "Chromium".
        remedy: how to get it.
    """
    reason = f"{component} is not on this computer: {remedy}"
    if os.environ.get("OSLN_REQUIRE_COMPONENTS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def require():
    """The function `missing`, for tests that find out themselves that a component is absent."""
    return missing


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory):
    """One Orthanc for all tests that do not stop it, None where it is not installed."""
    import local_orthanc

    if not local_orthanc.installed():
        yield None
        return
    with local_orthanc.LocalOrthanc(tmp_path_factory.mktemp("pacs")) as pacs:
        yield pacs


@pytest.fixture
def pacs(orthanc, require, tmp_path):
    """An Orthanc that holds nothing but the small study (`small_pacs.store_study`)."""
    from small import pacs as small_pacs

    if orthanc is None:
        require("Orthanc", "apt-get install orthanc orthanc-dicomweb")
    small_pacs.empty(orthanc)
    small_pacs.store_study(orthanc, tmp_path / "dicom")
    return orthanc


@pytest.fixture(autouse=True)
def fixed_seeds() -> None:
    """Start every test from the same random state, on one thread."""
    import numpy as np
    import torch

    torch.set_num_threads(1)
    random.seed(0)
    np.random.seed(0)
    # torch.manual_seed would note a stack trace for devices that are not there, each time.
    torch.default_generator.manual_seed(0)
    if torch.cuda.is_available():
        torch.cuda.manual_seed_all(0)


@pytest.fixture
def state_after_every_step(monkeypatch) -> None:
    """Trainings keep their state after every step, however long writing it takes."""
    monkeypatch.setattr("osln.learning.state.LARGEST_SHARE", float("inf"))


@pytest.fixture(scope="session")
def reference_data() -> Path:
    """Folder of public reference images, which cannot be shipped: OSLN_REFERENCE_DATA names it."""
    folder = os.environ.get("OSLN_REFERENCE_DATA", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("reference images are not part of the repository: OSLN_REFERENCE_DATA names their folder")
    return Path(folder)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return Path(__file__).resolve().parent.parent
