"""What the start command passes on and what it refuses."""

import os
import socket
from pathlib import Path

import environment
import start_server

ROOT = Path(__file__).resolve().parents[2]


def test_a_store_that_is_not_there_is_refused_by_name(tmp_path):
    options, _ = start_server.parse(["--studies", str(tmp_path / "typo")])

    assert str(tmp_path / "typo") in start_server.refusal(options, [])


def test_a_taken_port_is_refused_with_the_way_out(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options, _ = start_server.parse(["--studies", str(tmp_path), "--port", str(port)])

        assert f"127.0.0.1:{port} cannot be used" in start_server.refusal(options, [])
    assert start_server.refusal(options, []) is None


def test_a_port_that_is_none_and_an_unknown_option_are_refused(tmp_path):
    options, others = start_server.parse(["-s", str(tmp_path), "-p", "99999"])
    assert start_server.refusal(options, others) == "--port 99999: a port is a number up to 65535."
    options, others = start_server.parse(["-s", str(tmp_path), "--studdies", "x"])
    assert start_server.refusal(options, others).startswith(
        "Unknown option --studdies. Besides those of --help"
    )
    options, others = start_server.parse(["-s", str(tmp_path), "--root_path", "/x"])
    assert start_server.refusal(options, others).startswith("Unknown option --root_path.")
    options, others = start_server.parse(["-s", str(tmp_path), "-p", "0", "--log_level=DEBUG"])
    assert start_server.refusal(options, others) is None


def test_options_reach_the_server_unchanged_and_in_order():
    given = [
        "-s",
        "http://127.0.0.1:8042/dicom-web",
        "--conf",
        "a",
        "b c",
        "-c",
        "d",
        "e",
        "--access_log",
        "-v",
        "DEBUG",
    ]
    command = start_server.server_command(*start_server.parse(given))

    assert command[command.index("--studies") + 1] == "http://127.0.0.1:8042/dicom-web"
    assert command[-9:] == ["--conf", "a", "b c", "--conf", "d", "e", "--access_log", "-v", "DEBUG"]


def test_caches_lie_in_the_store_and_never_in_the_home_folder(tmp_path):
    variables = start_server.server_environment(str(tmp_path))

    caches = [value for name, value in variables.items() if name.endswith(("CACHE_PATH", "SESSION_PATH"))]
    assert len(caches) == 3
    assert all(Path(path).parent == tmp_path / ".cache" for path in caches)


def test_a_setting_of_the_user_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("MONAI_LABEL_TRACKING_ENABLED", "true")

    assert start_server.server_environment(str(tmp_path))["MONAI_LABEL_TRACKING_ENABLED"] == "true"


def test_the_environment_comes_first_on_the_path(tmp_path):
    first = start_server.server_environment(str(tmp_path))["PATH"].split(os.pathsep)[0]

    assert first == str(environment.environment_python(ROOT).parent)
