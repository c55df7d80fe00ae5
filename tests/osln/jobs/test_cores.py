"""Workers of runs beside each other do not keep to the same core while another one is free."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity"), reason="a Linux choice: other systems have none"
)
TAKE = """
import sys
from osln.jobs.cores import core_to_keep
print(core_to_keep(), flush=True)
sys.stdin.read()
"""


def worker(folder):
    """A process that keeps to a core, and which."""
    process = subprocess.Popen(
        [sys.executable, "-c", TAKE],
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    return process, int(process.stdout.readline())


def test_each_worker_has_a_core_of_its_own_and_leaves_it_when_it_dies(tmp_path):
    allowed = sorted(os.sched_getaffinity(0))
    workers = []
    try:
        workers += [worker(tmp_path) for _ in range(min(len(allowed), 3))]
        assert [core for _, core in workers] == allowed[: len(workers)]
        workers[0][0].kill()
        workers[0][0].wait()
        workers.append(worker(tmp_path))
        assert workers[-1][1] == allowed[0]
    finally:
        for process, _ in workers:
            process.kill()
            process.communicate()


def test_only_cores_that_the_process_may_use_are_taken(tmp_path):
    last = sorted(os.sched_getaffinity(0))[-1]
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {last})
    try:
        process, core = worker(tmp_path)
    finally:
        os.sched_setaffinity(0, before)
    process.kill()
    process.communicate()
    assert core == last


def test_where_nothing_can_be_noted_a_core_is_shared(tmp_path):
    (tmp_path / f"osln-cores-{os.getuid()}").write_text("in the way")
    process, core = worker(tmp_path)
    process.kill()
    process.communicate()
    assert core in os.sched_getaffinity(0)
