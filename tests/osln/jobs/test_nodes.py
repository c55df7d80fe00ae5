"""Which computers are given work."""

import re
import socket
from types import SimpleNamespace

import pytest

from osln.jobs import cluster, nodes
from osln.jobs.cluster import Cluster
from osln.jobs.shared import SAME, content, marked


def ray_of(*hosts: str) -> SimpleNamespace:
    """Stands in for the module, connected to a cluster of these computers; the last one has ended."""
    there = [{"NodeManagerAddress": host, "Alive": host != hosts[-1]} for host in hosts]
    return SimpleNamespace(nodes=lambda: there)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("10.0.0.1", False),
     ("0.0.0.0", False), ("head.example", False), ("localhost.example", False)],
)  # fmt: skip
def test_what_means_this_computer_alone(host, expected):
    assert nodes.is_loopback(host) is expected


def test_without_a_token_only_a_cluster_that_is_heard_here_alone_is_used(monkeypatch):
    monkeypatch.setattr(nodes, "asks_for_token", lambda address: pytest.fail("nobody has to be asked"))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    nodes.check_token(ray_of("127.0.0.1", "::1", "10.0.0.9"), "127.0.0.1:6379")
    for mode in (None, "disabled"):
        if mode is not None:
            monkeypatch.setenv("RAY_AUTH_MODE", mode)
        # On 127.0.0.2, too, Ray listens to the computer's outer address.
        for reached in ("10.0.0.9", "127.0.0.2"):
            told = f"the cluster at h:1 asks for no token, and whoever reaches {reached} can run"
            with pytest.raises(ValueError, match=re.escape(told) + ".*set RAY_AUTH_MODE=token"):
                nodes.check_token(ray_of("127.0.0.1", reached, "10.0.0.8"), "h:1")


def test_a_token_of_the_command_does_not_speak_for_the_cluster(monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    reached = ray_of("10.0.0.9", "10.0.0.8")
    asked = []
    monkeypatch.setattr(nodes, "asks_for_token", lambda address: bool(asked.append(address)))
    with pytest.raises(ValueError, match="the cluster at h:1 asks for no token"):
        nodes.check_token(reached, "h:1")
    assert asked == ["h:1"]
    monkeypatch.setattr(nodes, "asks_for_token", lambda address: True)
    nodes.check_token(reached, "h:1")


@pytest.mark.parametrize(("code", "asks"), [(nodes.TURNED_AWAY, True), (0, False), (1, None)])
def test_a_cluster_is_asked_by_a_stranger(monkeypatch, code, asks):
    """One that neither answers nor turns away is not believed to ask."""
    monkeypatch.setenv("RAY_AUTH_TOKEN", "ours")
    program = f"import os, sys; assert os.environ['RAY_AUTH_TOKEN'] != 'ours'; sys.exit({code} or None)"
    monkeypatch.setattr(nodes, "STRANGER", program.replace("sys.exit(1 or", "sys.exit('no route' or"))
    if asks is None:
        with pytest.raises(ValueError, match=r"h:1 could not be asked .* not used: .*\(no route\)"):
            nodes.asks_for_token("h:1")
    else:
        assert nodes.asks_for_token("h:1") is asks


@pytest.mark.parametrize(
    ("mode", "listens", "away", "told"),
    [
        (None, True, True, "asks for its token, and this command sends none: set RAY_AUTH_MODE=token"),
        ("token", True, True, "asks for its token, and this command sends another one: set"),
        (None, True, False, r"no cluster answers at .* run `ray start --address .*\(odd\)"),
        (None, True, None, "no cluster answers at"),
        (None, False, True, "no cluster answers at"),
    ],
)
def test_why_a_cluster_was_not_joined_is_said_as_far_as_it_is_known(monkeypatch, mode, listens, away, told):
    def turned_away(address):
        if away is None:
            raise ValueError("another program")
        return away

    monkeypatch.setattr(nodes, "_turned_away", turned_away)
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with socket.socket() as there:
        there.bind(("127.0.0.1", 0))
        if listens:
            there.listen()
        said = nodes.why_not_joined(f"127.0.0.1:{there.getsockname()[1]}", ConnectionError("odd"))
    assert re.search(told, said)
    assert nodes.why_not_joined("local", ConnectionError("odd")).startswith("no cluster answers at local")


def test_a_computer_tells_what_it_sees_and_what_results_depend_on(tmp_path):
    with marked([tmp_path, tmp_path / "none"]) as marks:
        found, setting = nodes.looked_at(marks)
    assert found == {tmp_path: SAME, tmp_path / "none": None}
    assert set(setting) == {"OSLN Label's sources", "python", *nodes.COMPUTING, nodes.BFLOAT16}
    assert setting["torch"] != "none" and setting[nodes.BFLOAT16] in ("yes", "no")


@pytest.mark.parametrize("address", ["head", "head:port", ":6379", "ray://head:10001", "auto"])
def test_an_address_is_a_host_and_a_port(address, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: object())
    with pytest.raises(ValueError, match=f"as HOST:PORT, or local, not {address}"):
        Cluster(address, 1, [tmp_path])


def test_without_ray_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"--cluster needs the package ray: .*requirements-cluster.txt"):
        Cluster("local", 1, [tmp_path])


@pytest.mark.parametrize(
    ("cpus", "gpus", "feeding", "places"),
    [(8, 0, 0, 8), (16, 1, 4, 12), (16, 2, 4, 8), (6, 2, 2, 2), (3, 4, 0, 3), (1, 1, 0, 1), (0, 2, 0, 0)],
)
def test_a_gpu_has_cores_for_its_batches_and_one_is_left_for_other_work(cpus, gpus, feeding, places):
    resources = {"CPU": float(cpus), "GPU": float(gpus)} if gpus else {"CPU": float(cpus)}
    assert cluster.feeding_cores(resources) == feeding
    assert cluster.places(resources) == {"cpu": places, "gpu": gpus}


class GoneError(Exception):
    """Stands in for Ray's errors."""


def ray_that_asks(hosts: list[tuple[str, str]], answer) -> SimpleNamespace:
    """Stands in for the module, connected to computers of these names in Ray and addresses.

    Args:
        hosts: Name in Ray and address of each.
        answer: Takes the name and what is asked for, and says what a computer finds.
    """
    there = [{"Alive": True, "NodeID": name, "NodeManagerAddress": host} for name, host in hosts]

    def options(num_cpus, scheduling_strategy):
        return SimpleNamespace(remote=lambda marks: (scheduling_strategy, marks))

    return SimpleNamespace(
        nodes=lambda: there,
        remote=lambda work: SimpleNamespace(options=options),
        get=lambda asked, timeout: answer(*asked),
        exceptions=SimpleNamespace(TaskUnschedulableError=GoneError, RayError=OSError),
        util=SimpleNamespace(
            scheduling_strategies=SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node, soft: node)
        ),
    )


@pytest.mark.parametrize(
    ("first", "refused"), [(GoneError("unschedulable"), False), (OSError("no package"), True), (None, False)]
)
def test_a_computer_that_has_just_left_is_passed_over_and_one_that_cannot_answer_is_not(
    tmp_path, caplog, first, refused
):
    def answer(name, marks):
        if name == "a" and first is not None:
            raise first
        return nodes.looked_at(marks)

    ray = ray_that_asks([("a", "10.0.0.1"), ("b", "10.0.0.2")], answer)
    if refused:
        with pytest.raises(ValueError, match=r"10\.0\.0\.1 of the cluster could not be asked"):
            nodes.check_nodes(ray, [tmp_path])
    else:
        nodes.check_nodes(ray, [tmp_path])
    assert ("10.0.0.1 has left the cluster" in caplog.text) == isinstance(first, GoneError)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("blind", ["a", "b"])
def test_each_of_two_raylets_of_one_address_is_looked_at(tmp_path, blind):
    def answer(name, marks):
        found, setting = nodes.looked_at(marks)
        return ({tmp_path: None} if name == blind else found), setting

    ray = ray_that_asks([("a", "127.0.0.2"), ("b", "127.0.0.2")], answer)
    with pytest.raises(ValueError, match=r"127\.0\.0\.2 of the cluster does not see .* mount it"):
        nodes.check_nodes(ray, [tmp_path])


def test_what_is_read_may_be_a_copy_and_what_is_written_may_not(tmp_path):
    """Each computer has its own checkout, in which the default store of weights lies."""
    out, models, copy = (tmp_path / name for name in ("out", "models", "copy"))
    for folder in (out, models, copy):
        folder.mkdir()
    for folder in (models, copy):
        (folder / "published.json").write_text('{"ct": "a"}')
    elsewhere = {}

    def answer(name, marks):
        found, setting = nodes.looked_at(marks)
        return found | {path: content(there) for path, there in elsewhere.items()}, setting

    ray = ray_that_asks([("a", "10.0.0.1")], answer)
    elsewhere[models] = copy
    nodes.check_nodes(ray, [out, models])
    # As many bytes in a file of the same name.
    (copy / "published.json").write_text('{"ct": "b"}')
    with pytest.raises(ValueError, match=r"10\.0\.0\.1 .*: it has something else at .*models than"):
        nodes.check_nodes(ray, [out, models])
    elsewhere = {out: copy}
    with pytest.raises(ValueError, match=r"has a folder of its own at .*out, and .*: mount that"):
        nodes.check_nodes(ray, [out, models])
    assert not list(out.iterdir())
