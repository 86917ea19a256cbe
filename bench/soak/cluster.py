"""The lab that a soak runs in: Berth's logs and run directories on a small disk, and a clock that each program goes by.

The disk is a tmpfs in the lab's own mount namespace. The clock is a library before libc (LD_PRELOAD) that adds to
CLOCK_REALTIME what a file says; it needs a C compiler. Monotonic clocks are as they are: no machine steps these.
"""

import shutil
import struct
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from lab.cluster import Cluster, Settings
from lab.net.netns import HUB
from lab.scripts import script

DISK = "/run/soak"
DISK_BYTES = 128 * 1024 * 1024
FILLER = "filler"
FIRST_BACKEND_PORT = 9100
_OFFSET = struct.Struct("=q")
_BERTH = ("allocator-", "speaker-")
_CLOCK = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *offset;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SOAK_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(0, 8, PROT_READ, MAP_SHARED, file, 0);
    if (mapped != MAP_FAILED) offset = mapped;
    if (file >= 0) close(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, which, now);
    if (!failed && offset && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) now->tv_sec += *offset;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &exact)) return -1;
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *where) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (where) *where = exact.tv_sec;
    return exact.tv_sec;
}
"""


class SoakCluster(Cluster):
    """As any lab, and with what a soak breaks. `has_clock` False: no C compiler, or it failed."""

    def __init__(self, settings: Settings, *, tell: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(settings, tell=tell)
        self._clocks = settings.directory / "clocks"
        self._library = self._clocks / "clock.so"
        self.has_clock = False

    # --- the parts that differ

    def start_berth(self) -> None:
        self.namespaces.run(HUB, ["mkdir", "-p", DISK])
        self.namespaces.run(HUB, ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "soak", DISK])
        self._clocks.mkdir(exist_ok=True)
        self.has_clock = _compile(self._clocks / "clock.c", self._library)
        super().start_berth()

    def environment_of(self, name: str) -> Mapping[str, str]:
        more = self._berths_own(name) if name.startswith(_BERTH) else {}
        return {**super().environment_of(name), **more}

    def log_path(self, name: str) -> Path:
        return self.disk / f"{name}.log" if name.startswith(_BERTH) else super().log_path(name)

    def down(self) -> None:
        """The logs on the small disk are kept in the lab's directory."""
        with suppress(RuntimeError, OSError):
            for log in self.disk.glob("*.log"):
                shutil.copy(log, self.settings.directory)
        super().down()

    def start_backends(self, count: int) -> None:
        """On each pod one more program, at as many ports, that says at which of them it was reached (GET /port)."""
        ports = [f"--port={FIRST_BACKEND_PORT + number}" for number in range(count)]
        for node in self.topology.nodes:
            names = (f"--pod-name={node.pod}", f"--node-name={node.name}")
            self.start(f"backends-{node.pod}", node.pod, [*script("backend.py"), *names, *ports])

    # --- what can be broken

    @property
    def disk(self) -> Path:
        """The small disk, as this process sees it."""
        return Path(f"/proc/{self.namespaces.holder_pid}/root{DISK}")

    def fill_disk(self) -> None:
        """Nothing more can be written there, until `empty_disk`."""
        with suppress(OSError), (self.disk / FILLER).open("wb", buffering=0) as filler:
            while filler.write(bytes(1024 * 1024)):
                pass

    def empty_disk(self) -> None:
        (self.disk / FILLER).unlink(missing_ok=True)

    def set_clock(self, name: str, offset_seconds: int) -> None:
        """Step the clock of a program and its children to so much after the machine's own; 0: as it is."""
        with self._clock(name).open("r+b", buffering=0) as clock:
            clock.write(_OFFSET.pack(offset_seconds))

    def _berths_own(self, name: str) -> dict[str, str]:
        own = {"TMPDIR": DISK}
        if self.has_clock:
            if not self._clock(name).exists():
                self._clock(name).write_bytes(_OFFSET.pack(0))
            own |= {"LD_PRELOAD": str(self._library), "SOAK_CLOCK": str(self._clock(name))}
        return own

    def _clock(self, name: str) -> Path:
        return self._clocks / name


def _compile(source: Path, library: Path) -> bool:
    source.write_text(_CLOCK)
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(source)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False
