"""What the C library keeps of freed memory; each time in a process whose heaps nothing else has used."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from osln.jobs import memory

APP = Path(memory.__file__).parents[2]
BEGIN = f"""
import ctypes, os, sys, threading
sys.path.insert(0, {str(APP)!r})
from osln.jobs.memory import few_heaps, give_back
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
"""
HEAPS = """
wait = threading.Barrier(12)
def work():
    libc.malloc(1000)
    wait.wait()
running = [threading.Thread(target=work) for _ in range(12)]
[one.start() for one in running], [one.join() for one in running]
read, write = os.pipe()
libc.fdopen.restype = ctypes.c_void_p
file = ctypes.c_void_p(libc.fdopen(write, b"w"))
libc.malloc_info(0, file), libc.fclose(file)
print(os.read(read, 1 << 16).count(b"<heap nr="))
"""
FREED = """
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
# Below the size that gets pages of its own; the last one keeps the heap from shrinking by itself.
blocks = [libc.malloc(100_000) for _ in range(2000)]
[ctypes.memset(ctypes.c_void_p(block), 1, 100_000) for block in blocks]
[libc.free(ctypes.c_void_p(block)) for block in blocks[:-1]]
before = resident()
print(give_back(), before - resident() > 150e6)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="this computer has another C library")


def said(script: str) -> str:
    found = subprocess.run([sys.executable, "-c", BEGIN + script], capture_output=True, text=True, check=True)
    return found.stdout.strip()


@glibc
def test_threads_share_two_heaps():
    assert int(said(HEAPS)) > 2
    assert said("print(few_heaps())" + HEAPS) == "True\n2"


@glibc
def test_what_is_free_is_given_back():
    assert said(FREED) == "True True"


def test_another_c_library_has_nothing_to_do(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.few_heaps() is False and memory.give_back() is False
