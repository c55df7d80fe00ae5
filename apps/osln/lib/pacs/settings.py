"""The address of a PACS and its credentials: into the requests, and out of everything that is shown.

MONAI Label logs its settings, shows the studies in `/info/`, and passes both on to training processes.
"""

import hashlib
import os
from pathlib import Path
from urllib.parse import urlsplit

from monailabel.config import settings
from monailabel.interfaces.utils import app as instances

from osln.dicom.web.client import bare_address
from osln.dicom.web.credentials import Credentials, ask_credentials


def is_pacs(studies: str) -> bool:
    """Whether `--studies` names a PACS and not a folder."""
    return studies.startswith(("http://", "https://"))


def shown(studies: str) -> str:
    """`--studies` as it may be shown: without credentials, a folder unchanged."""
    return bare_address(studies) if is_pacs(studies) else studies


def credentials(url: str) -> Credentials:
    """From OSLN_DICOMWEB_*, from MONAI Label's own variables, or from the address; nobody is asked."""
    user, password = settings.MONAI_LABEL_DICOMWEB_USERNAME, settings.MONAI_LABEL_DICOMWEB_PASSWORD
    own = bool(os.environ.get("OSLN_DICOMWEB_TOKEN") or os.environ.get("OSLN_DICOMWEB_USER"))
    if user and not own:
        return Credentials(user, password)
    return ask_credentials(url, None, ask=lambda prompt: "")


def hide(url: str) -> None:
    """Takes the credentials out of MONAI Label's settings, once its app has been made.

    They stay where only requests to the PACS look: in the two settings made for that, and in variables for
    training processes.

    Args:
        url: `--studies` as it was given.
    """
    found = credentials(url)
    settings.MONAI_LABEL_DICOMWEB_USERNAME = found.user
    settings.MONAI_LABEL_DICOMWEB_PASSWORD = found.password
    for name, value in (("USER", found.user), ("PASSWORD", found.password), ("TOKEN", found.token)):
        if value:
            os.environ[f"OSLN_DICOMWEB_{name}"] = value
    bare = bare_address(url)
    if settings.MONAI_LABEL_STUDIES != bare:
        settings.MONAI_LABEL_STUDIES = os.environ["MONAI_LABEL_STUDIES"] = bare
        # The app is looked up by the address that it was made with.
        for key in [key for key in instances.apps if key.endswith(url)]:
            instances.apps[key.removesuffix(url) + bare] = instances.apps.pop(key)


def mirror_folder(url: str, app_dir: str) -> Path:
    """Where the mirror of a PACS lies: one folder for each address, whatever the credentials are."""
    cache = settings.MONAI_LABEL_DICOMWEB_CACHE_PATH.strip()
    parts = urlsplit(bare_address(url))
    digest = hashlib.sha256(f"{parts.netloc.lower()}{parts.path}".encode()).hexdigest()[:16]
    return Path(cache or Path(app_dir) / "model" / "dicomweb").expanduser() / digest


def filters() -> dict[str, str]:
    """What every series must have (MONAI_LABEL_DICOMWEB_SEARCH_FILTER), besides the modality."""
    given = settings.MONAI_LABEL_DICOMWEB_SEARCH_FILTER
    return {name: str(value) for name, value in given.items() if name != "Modality"}
