"""The process of the server: MONAI Label's own start, behind what has to be in place before it.

    python apps/osln/start.py start_server --app apps/osln --studies FOLDER

Plain `monailabel start_server` loads this app only after it has written a temporary file and imported all
that MONAI can use, which takes twice as long.
"""

import osln  # noqa: F401 (switches off what would report to others)
from lib.imports import without
from lib.temporary import move_in

if __name__ == "__main__":
    move_in()
    with without():
        from monailabel.main import Main

    Main().run()
