#!/usr/bin/env python3
"""What a served home does for the processes that share it, and when things break.

  run.py --bin DIR [NAME...]
"""
import argparse
import contextlib
import fcntl
import json
import os
import pathlib
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SECONDS_MAX = 60


class Home:
    """A home of its own, and the tools on it."""

    def __init__(self, top, name, bin_dir):
        self.path = pathlib.Path(top) / name
        self.bin_dir = bin_dir
        self.env = dict(os.environ, CAIRN_HOME=str(self.path), CAIRN_MODE="auto", LC_ALL="C.UTF-8",
                        CAIRN_LINGER="20", CAIRN_LOG="warning",
                        PATH=bin_dir + os.pathsep + os.environ["PATH"])
        for name in ("CAIRN_SERVER", "CAIRN_TOKEN", "CAIRN_FABRIC_TEST", "CAIRN_ENGINE"):
            self.env.pop(name, None)

    def start(self, *command, **env):
        return subprocess.Popen(command, env={**self.env, **env}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)

    def run(self, *command, **env):
        done = self.start(*command, **env)
        try:
            out, err = done.communicate(timeout=SECONDS_MAX)
        except subprocess.TimeoutExpired:
            done.kill()
            raise
        return done.returncode, out, err

    def good(self, *command, **env):
        status, out, err = self.run(*command, **env)
        assert status == 0, f"{' '.join(command)}: status {status}: {out}{err}"
        return out

    def bad(self, *command, **env):
        """What it says on stderr."""
        status, out, err = self.run(*command, **env)
        assert status == 1, f"{' '.join(command)}: status {status}: {out}{err}"
        return err

    def server(self):
        """The process id of whoever serves the home; None if nobody does."""
        try:
            with socket.socket(socket.AF_UNIX) as door:
                door.connect(str(self.path / "socket"))
            return int(re.search(r"^pid (\d+)$", (self.path / "lock").read_text(), re.M)[1])
        except (OSError, TypeError):
            return None

    def start_copy(self, tree, name="tree", **env):
        """A copy of `tree` into the container, under way."""
        return self.start("daos", "fs", "copy", "--src", str(tree), "--dst",
                          f"daos://tank/docs/{name}", **env)

    def clients(self):
        """How many are connected, `cairn status` among them."""
        status = json.loads(self.good("cairn", "status", "--json"))
        return status["response"]["server"]["clients"]

    def wait_for_client(self):
        """Until somebody is connected, and a little longer."""
        wait_until(lambda: self.clients() > 1)
        time.sleep(0.3)

    def wait_until_idle(self):
        """Until the server has seen that those who were connected are gone."""
        wait_until(lambda: self.clients() <= 1)

    def pool(self):
        self.good("dmg", "pool", "create", "--size", "1G", "tank")
        self.good("daos", "cont", "create", "tank", "docs", "--type", "POSIX")


def gone(pid, seconds=30):
    """Waits until a process has ended (or is a zombie that nobody collects)."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.02)
    return False


def wait_until(true, seconds=30):
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.01)


def cpu_ticks(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def make_tree(top, count, size):
    top.mkdir()
    source = random.Random(1)
    for i in range(count):
        (top / f"file{i:04}").write_bytes(source.randbytes(size))


def same_trees(a, b):
    done = subprocess.run(["diff", "-r", str(a), str(b)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[:500]


def test_one_server_for_all(home):
    """Eight processes find no home and no server: one server comes and serves them all."""
    started = [home.start("dmg", "pool", "create", "--size", "256M", f"pool{i}") for i in range(8)]
    for each in started:
        out, err = each.communicate(timeout=SECONDS_MAX)
        assert each.returncode == 0, out + err
    pid = home.server()
    assert pid is not None
    listed = home.good("dmg", "pool", "list")
    assert all(f"pool{i}" in listed for i in range(8)), listed
    assert home.server() == pid
    status = home.good("cairn", "status")
    assert f"process {pid}" in status, status
    home.good("cairn", "down")
    assert gone(pid)
    assert not (home.path / "socket").exists()
    assert "not served" in home.good("cairn", "down")


def test_it_goes_after_its_last_client(home):
    """CAIRN_LINGER seconds after its last client the server ends; idle, it uses no CPU."""
    home.env["CAIRN_LINGER"] = "2"
    home.pool()
    pid = home.server()
    before = cpu_ticks(pid)
    time.sleep(1)
    used = cpu_ticks(pid) - before
    assert used <= 2, f"an idle server used {used} ticks in a second"
    assert gone(pid, 20)
    home.good("cairn", "check", "--quick")


def test_up_stays_and_down_stops(home):
    """`cairn up` starts a server that stays; a second one finds it up; down ends it."""
    home.env["CAIRN_LINGER"] = "0.2"
    first = home.good("cairn", "up")
    pid = home.server()
    assert str(pid) in first
    home.pool()
    time.sleep(1)
    assert home.server() == pid
    assert str(pid) in home.good("cairn", "up")
    assert "until cairn down" in home.good("cairn", "status")
    assert "has 1 engines" in home.bad("cairn", "up", "--engines", "3")
    assert "cairn down first" in home.bad("cairn", "up", "--listen", f"tcp:127.0.0.1:{free_port()}")
    assert home.server() == pid
    home.good("cairn", "logs")
    home.good("cairn", "down")
    assert gone(pid)


def test_up_takes_over_under_load(home):
    """A copy goes on while `cairn up` replaces the server that works for it."""
    tree = home.path.with_name("tree")
    make_tree(tree, 1500, 3000)
    home.pool()
    before = home.server()
    copy = home.start_copy(tree)
    time.sleep(0.3)
    home.good("cairn", "up")
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0, out + err
    assert home.server() != before
    back = home.path.with_name("back")
    home.good("daos", "fs", "copy", "--src", "daos://tank/docs/tree", "--dst", str(back))
    same_trees(tree, back)
    home.good("cairn", "down")


def test_a_home_for_oneself(home):
    """An idle server makes way for CAIRN_MODE=embed; one with clients does not; an embedded home
    is nobody else's."""
    home.pool()
    pid = home.server()
    home.good("dmg", "pool", "list", CAIRN_MODE="embed")
    assert gone(pid)
    tree = home.path.with_name("tree")
    make_tree(tree, 20000, 300)
    for mode, others in (("auto", "embed"), ("embed", "auto")):
        copy = home.start_copy(tree, mode, CAIRN_MODE=mode)
        if mode == "embed":
            wait_until(lambda: f"pid {copy.pid}\n" in (home.path / "lock").read_text())
        else:
            home.wait_for_client()
        assert copy.poll() is None, "the copy was too fast for this test"
        said = home.bad("dmg", "pool", "list", CAIRN_MODE=others)
        assert "in use by process" in said, said
        copy.kill()
        copy.communicate()
        if mode == "auto":
            home.wait_until_idle()
    home.good("cairn", "down")


def test_modes(home):
    """connect starts nothing and says so; an unknown mode is refused."""
    home.pool()
    home.good("cairn", "down")
    said = home.bad("dmg", "pool", "list", CAIRN_MODE="connect")
    assert "nobody serves" in said, said
    assert home.server() is None
    said = home.bad("dmg", "pool", "list", CAIRN_MODE="serve")
    assert "CAIRN_MODE" in said, said


def test_grace(home):
    """A server that does not come back: calls wait for the grace, then fail; never a hang."""
    tree = home.path.with_name("tree")
    make_tree(tree, 20000, 300)
    home.good("cairn", "up")
    home.pool()
    copy = home.start_copy(tree, CAIRN_MODE="connect", CAIRN_RECONNECT_GRACE="2")
    home.wait_for_client()
    assert copy.poll() is None, "the copy was too fast for this test"
    os.kill(home.server(), signal.SIGKILL)
    begin = time.monotonic()
    copy.communicate(timeout=SECONDS_MAX)
    took = time.monotonic() - begin
    assert copy.returncode != 0
    assert 1.5 < took < 30, took
    home.good("daos", "cont", "query", "tank", "docs")
    home.good("cairn", "down")


def test_handles_of_the_dead_are_closed(home):
    """A client that is killed leaves no handle behind: its container can be destroyed."""
    tree = home.path.with_name("tree")
    make_tree(tree, 20000, 300)
    home.pool()
    copy = home.start_copy(tree)
    home.wait_for_client()
    assert copy.poll() is None, "the copy was too fast for this test"
    assert "DER_BUSY" in home.bad("daos", "cont", "destroy", "tank", "docs")
    copy.kill()
    copy.communicate()
    wait_until(lambda: home.run("daos", "cont", "destroy", "tank", "docs")[0] == 0)
    home.good("cairn", "down")


def test_a_stopped_client_holds_up_nobody(home):
    """SIGSTOP in the middle of a copy: others are served; continued, it ends well."""
    tree = home.path.with_name("tree")
    make_tree(tree, 2000, 3000)
    home.pool()
    copy = home.start_copy(tree)
    time.sleep(0.4)
    copy.send_signal(signal.SIGSTOP)
    try:
        begin = time.monotonic()
        for _ in range(5):
            home.good("daos", "cont", "query", "tank", "docs")
        assert time.monotonic() - begin < 20
    finally:
        copy.send_signal(signal.SIGCONT)
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0, out + err
    home.good("cairn", "down")


def test_sigterm_answers_first(home):
    """SIGTERM lets what is under way end; the next server goes on with it."""
    tree = home.path.with_name("tree")
    make_tree(tree, 1500, 3000)
    home.pool()
    copy = home.start_copy(tree)
    for _ in range(3):
        time.sleep(0.2)
        pid = home.server()
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0, out + err
    home.good("cairn", "down")
    home.good("cairn", "check")


def test_hostile_bytes(home):
    """Noise at the door, from many at once, costs the server nothing."""
    home.pool()
    pid = home.server()
    noise = random.Random(7)
    with contextlib.ExitStack() as stack:
        for i in range(200):
            door = stack.enter_context(socket.socket(socket.AF_UNIX))
            door.connect(str(home.path / "socket"))
            with contextlib.suppress(OSError):
                door.sendall(noise.randbytes(noise.randrange(1, 5000)))
        home.good("daos", "cont", "query", "tank", "docs")
    assert home.server() == pid
    home.good("cairn", "down")


def crc32c(data):
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def hello(session):
    """The first frame of a client's connection (docs/formats/stream.md)."""
    payload = struct.pack("<HHIQ16sIIQ32s", 1, 0, 0, 0, bytes(16), 0xFFFFFFFF, os.getpid(),
                          session, bytes(32))
    head = struct.pack("<4sHHQI", b"CRNF", 1, 0, 0, len(payload))
    return head + struct.pack("<I", crc32c(head)) + payload


HELLO_REPLY_BYTES = 24 + 64

# A process with libdaos, a connected pool and an open container, that then does nothing.
IDLE_CLIENT = """
import ctypes, sys, time
daos = ctypes.CDLL(sys.argv[1])
pool, cont = ctypes.c_uint64(), ctypes.c_uint64()
assert daos.daos_init() == 0
assert daos.daos_pool_connect2(b"tank", None, 2, ctypes.byref(pool), None, None) == 0
assert daos.daos_cont_open2(pool, b"docs", 2, ctypes.byref(cont), None, None) == 0
print("ready", flush=True)
time.sleep(600)
"""


def test_idle_processes_use_no_cpu(home):
    """Three engines and six clients that are connected and have nothing to do: two hundredths of a
    second of CPU in four seconds at most, all together."""
    up_engines(home)
    home.pool()
    library = os.path.join(home.bin_dir, "..", "capi", "libdaos.so.2")
    with contextlib.ExitStack() as stack:
        clients = []
        for _ in range(6):
            client = stack.enter_context(home.start(sys.executable, "-c", IDLE_CLIENT, library))
            stack.callback(client.kill)
            clients.append(client)
        for client in clients:
            assert client.stdout.readline() == "ready\n", client.stderr.read()
        pids = [client.pid for client in clients] + [pid for pid, _ in engines(home).values()]
        time.sleep(1)  # `cairn status` and the clients' beginning
        before = sum(cpu_ticks(pid) for pid in pids)
        time.sleep(4)
        used = sum(cpu_ticks(pid) for pid in pids) - before
    assert used <= 2, f"idle processes used {used} ticks"
    home.good("cairn", "down")


def test_more_connections_than_the_usual_limit(home):
    """A server that is started under a limit of 256 descriptors holds 1,500 clients, and serves."""
    few = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, few[1]))
    try:
        home.good("cairn", "up")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few[1], few[1]))
    home.pool()
    with contextlib.ExitStack() as stack:
        for session in range(1, 1501):
            door = stack.enter_context(socket.socket(socket.AF_UNIX))
            door.settimeout(SECONDS_MAX)
            door.connect(str(home.path / "socket"))
            door.sendall(hello(session))
            assert len(door.recv(HELLO_REPLY_BYTES, socket.MSG_WAITALL)) == HELLO_REPLY_BYTES
        home.good("daos", "cont", "query", "tank", "docs")
        status = json.loads(home.good("cairn", "status", "--json"))["response"]
        assert status["server"]["clients"] > 1500, status["server"]
    home.good("cairn", "down")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_tcp_with_the_token(home):
    """Another machine, in spirit: no home of its own, the address and the token."""
    address = f"tcp:127.0.0.1:{free_port()}"
    home.good("cairn", "up", "--listen", address)
    home.pool()
    token = home.path / "token"
    assert token.stat().st_mode & 0o777 == 0o600
    elsewhere = {"CAIRN_SERVER": address, "CAIRN_HOME": str(home.path.with_name("none"))}
    copied = home.path.with_name("copied-token")
    copied.write_bytes(token.read_bytes())
    copied.chmod(0o600)
    assert "tank" in home.good("dmg", "pool", "list", **elsewhere, CAIRN_TOKEN=str(copied))
    tree = home.path.with_name("tree")
    make_tree(tree, 50, 200_000)
    remote = dict(elsewhere, CAIRN_TOKEN=str(copied))
    home.good("daos", "fs", "copy", "--src", str(tree), "--dst", "daos://tank/docs/tree", **remote)
    back = home.path.with_name("back")
    home.good("daos", "fs", "copy", "--src", "daos://tank/docs/tree", "--dst", str(back), **remote)
    same_trees(tree, back)
    copied.write_text("0" * 63 + "1\n")
    assert "another token" in home.bad("dmg", "pool", "list", **remote)
    copied.write_text("short\n")
    assert "not a token" in home.bad("dmg", "pool", "list", **remote)
    copied.chmod(0o644)
    assert "others may read" in home.bad("dmg", "pool", "list", **remote)
    copied.unlink()
    home.bad("dmg", "pool", "list", **remote)
    for wrong in ("tcp:127.0.0.1", "unix:/tmp/x", "tcp:127.0.0.1:99999", "x"):
        said = home.bad("dmg", "pool", "list", CAIRN_SERVER=wrong)
        assert "CAIRN_SERVER" in said, said
    home.good("cairn", "down")
    said = home.bad("dmg", "pool", "list", CAIRN_SERVER=address)
    assert "cannot connect" in said, said
    assert "--listen" in home.bad("cairn", "up", "--listen", "tcp:nowhere.invalid:1")


def up_engines(home, *options):
    """Three engines of two targets; the processes of the second and third by rank."""
    home.good("cairn", "up", "--engines", "3", "--targets", "2", *options)
    wait_until(lambda: all(state == "Joined" for _, state in engines(home).values()))
    return engines(home)


def engines(home):
    """By rank: process and state."""
    status = json.loads(home.good("cairn", "status", "--json"))["response"]
    return {e["rank"]: (e["process"], e["state"]) for e in status["engines"]}


def joined(home, rank, unlike=None):
    process, state = engines(home)[rank]
    return state == "Joined" and process != unlike


@contextlib.contextmanager
def kept_away(home, rank):
    """The engine is killed, and its directory is locked so that it does not start again."""
    process, _ = engines(home)[rank]
    server = home.server()
    with open(home.path / "engines" / str(rank) / "lock", "r+b") as file:
        os.kill(server, signal.SIGSTOP)  # or it would be faster
        os.kill(process, signal.SIGKILL)
        whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        try:
            wait_until(lambda: try_lock(file, whole), 10)
        finally:
            os.kill(server, signal.SIGCONT)
        try:
            wait_until(lambda: engines(home)[rank][1] != "Joined")
            yield
        finally:
            fcntl.fcntl(file, F_OFD_SETLK,
                        struct.pack("hhqqi4x", fcntl.F_UNLCK, os.SEEK_SET, 0, 0, 0))


F_OFD_SETLK = 37


def try_lock(file, whole):
    try:
        fcntl.fcntl(file, F_OFD_SETLK, whole)
        return True
    except OSError:
        return False


def test_engines_up_and_down(home):
    """A home of three engines: processes of their own, shown with their states; numbers are fixed;
    one engine is served once; all end with the home."""
    found = up_engines(home)
    assert sorted(found) == [0, 1, 2], found
    assert len({process for process, _ in found.values()}) == 3
    said = home.good("dmg", "system", "query")
    assert "[0-2]" in said and "Joined" in said, said
    assert "Rank" in home.good("cairn", "status")
    for numbers in (["--engines", "2"], ["--engines", "3", "--targets", "1"]):
        assert "CAIRN_HOME" in home.bad("cairn", "up", *numbers)
    assert "is up" in home.good("cairn", "up", "--engines", "3")
    home.pool()
    again = home.start("daos_engine", "--home", str(home.path), "--member", "1")
    _, err = again.communicate(timeout=SECONDS_MAX)
    assert again.returncode == 1 and "another process serves this engine" in err, err
    unknown = home.start("daos_engine", "--home", str(home.path), "--member", "3")
    _, err = unknown.communicate(timeout=SECONDS_MAX)
    assert unknown.returncode == 1 and "no engine 3" in err, err
    home.good("cairn", "down")
    for process, _ in found.values():
        assert gone(process)
    home.good("cairn", "check")


def test_engines_on_demand(home):
    """Whoever needs a home of several engines starts all of them; they go with the last client."""
    home.env["CAIRN_LINGER"] = "2"
    home.good("cairn", "init", "--engines", "2")
    home.pool()
    found = engines(home)
    assert len(found) == 2
    for process, _ in found.values():
        assert gone(process, 30)
    home.good("daos", "cont", "query", "tank", "docs", CAIRN_MODE="embed")


def test_an_engine_is_killed_under_load(home):
    """SIGKILL of an engine in the middle of a copy: the copy waits for the next one, and all of it
    arrives."""
    found = up_engines(home)
    tree = home.path.with_name("tree")
    make_tree(tree, 1500, 3000)
    home.pool()
    copy = home.start_copy(tree)
    for rank in (1, 2, 1):
        time.sleep(0.5)
        process, _ = engines(home)[rank]
        if process != 0:
            os.kill(process, signal.SIGKILL)
        wait_until(lambda: joined(home, rank, process))
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0, out + err
    assert engines(home)[1][0] != found[1][0]
    back = home.path.with_name("back")
    home.good("daos", "fs", "copy", "--src", "daos://tank/docs/tree", "--dst", str(back))
    same_trees(tree, back)
    home.good("cairn", "down")
    home.good("cairn", "check")


def test_the_server_of_engines_is_killed(home):
    """SIGKILL of the home's server: its engines live on, the next server adopts them."""
    found = up_engines(home)
    tree = home.path.with_name("tree")
    make_tree(tree, 1500, 3000)
    home.pool()
    copy = home.start_copy(tree)
    time.sleep(0.5)
    os.kill(home.server(), signal.SIGKILL)
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0, out + err
    wait_until(lambda: joined(home, 1) and joined(home, 2))
    now = engines(home)
    assert now[1] == found[1] and now[2] == found[2], (found, now)
    assert now[0][0] != found[0][0]
    back = home.path.with_name("back")
    home.good("daos", "fs", "copy", "--src", "daos://tank/docs/tree", "--dst", str(back))
    same_trees(tree, back)
    home.good("cairn", "down")
    for process, _ in now.values():
        assert gone(process)
    home.good("cairn", "check")


def test_engines_without_a_server_end(home):
    """Engines whose server does not come back end by themselves after the grace."""
    home.env["CAIRN_MEMBER_GRACE"] = "1"
    found = up_engines(home)
    os.kill(found[0][0], signal.SIGKILL)
    assert gone(found[1][0]) and gone(found[2][0])
    home.good("dmg", "pool", "list", CAIRN_MODE="embed")


def test_orphans_make_way(home):
    """A home for oneself, right after its server was killed: its engines make way."""
    found = up_engines(home)
    home.pool()
    os.kill(found[0][0], signal.SIGKILL)
    assert "tank" in home.good("dmg", "pool", "list", CAIRN_MODE="embed")
    assert gone(found[1][0]) and gone(found[2][0])


def test_an_engine_is_away(home):
    """Without one engine: a pool is refused and leaves nothing, the others are used on, and what
    was destroyed is destroyed there when it comes back."""
    up_engines(home)
    home.pool()
    tree = home.path.with_name("tree")
    make_tree(tree, 100, 20000)
    home.good("daos", "fs", "copy", "--src", str(tree), "--dst", "daos://tank/docs/tree")
    with kept_away(home, 2):
        assert "Stopped" in home.good("dmg", "system", "query")
        assert "DER_UNREACH" in home.bad("dmg", "pool", "create", "--size", "1G", "second")
        assert "second" not in home.good("dmg", "pool", "list")
        home.good("daos", "cont", "query", "tank", "docs")
        home.good("daos", "cont", "destroy", "tank", "docs")
        home.bad("daos", "cont", "query", "tank", "docs")
    wait_until(lambda: joined(home, 2), 60)
    home.good("dmg", "pool", "create", "--size", "1G", "second")
    home.good("daos", "cont", "create", "tank", "docs", "--type", "POSIX")
    home.good("dmg", "pool", "destroy", "second")
    time.sleep(3)
    home.good("daos", "cont", "destroy", "tank", "docs")
    home.good("cairn", "down")
    parts = json.loads(home.good("cairn", "check", "--json"))["response"]["parts"]
    assert sum(part["blocks"] for part in parts if part["name"] != "system") == 0, parts


def test_engines_over_tcp(home):
    """Three engines for another machine, in spirit."""
    address = f"tcp:127.0.0.1:{free_port()}"
    up_engines(home, "--listen", address)
    home.pool()
    remote = {"CAIRN_SERVER": address, "CAIRN_HOME": str(home.path.with_name("none")),
              "CAIRN_TOKEN": str(home.path / "token")}
    tree = home.path.with_name("tree")
    make_tree(tree, 200, 20_000)
    copy = home.start("daos", "fs", "copy", "--src", str(tree), "--dst",
                      "daos://tank/docs/tree", **remote)
    time.sleep(0.3)
    process, _ = engines(home)[1]
    os.kill(process, signal.SIGKILL)
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0, out + err
    back = home.path.with_name("back")
    home.good("daos", "fs", "copy", "--src", "daos://tank/docs/tree", "--dst", str(back), **remote)
    same_trees(tree, back)
    home.good("cairn", "down")


def test_a_copy_to_be_read_survives_a_kill(home):
    """The server dies again and again while a tree is copied with --worm: all of it is there and
    flat in the end."""
    home.pool()
    tree = home.path.parent / "tree"
    tree.mkdir()
    for i in range(4):
        make_tree(tree / f"dir{i}", 800, 3000)  # more than 1,024 entries would not be flattened
    copy = home.start("daos", "fs", "copy", "--worm", "--src", str(tree), "--dst",
                      "daos://tank/docs/tree")
    kills = 0
    while copy.poll() is None:
        pid = home.server()
        if pid is not None:
            time.sleep(0.3)
            if copy.poll() is not None:
                break
            os.kill(pid, signal.SIGKILL)
            assert gone(pid)
            kills += 1
        time.sleep(0.05)
    out, err = copy.communicate(timeout=SECONDS_MAX)
    assert copy.returncode == 0 and kills > 0, f"{kills} kills: {out}{err}"
    back = home.path.parent / "back"
    home.good("daos", "fs", "copy", "--src", "daos://tank/docs/tree", "--dst", str(back))
    same_trees(tree, back)
    said = json.loads(home.good("daos", "fs", "flatten", "-r", "daos://tank/docs/tree", "--json"))
    flat = {name: count for name, count in said["response"]["outcomes"].items() if count}
    assert flat == {"already flat": 3205}, flat
    home.good("cairn", "down")
    home.good("cairn", "check")


def cores(pid):
    """Threads of an engine that drive a core beside the first."""
    count = 0
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended
            count += task.read_text() == "cairn core\n"
    return count


def test_targets_on_several_cores(home):
    """Four targets on four threads: SIGKILL in the middle of two copies, and nothing is missing;
    one thread afterwards, and it is the same home; idle threads use no CPU."""
    home.env["CAIRN_CORES"] = "4"
    home.good("cairn", "init", "--targets", "4")
    home.pool()
    tree = home.path.with_name("tree")
    make_tree(tree, 1000, 3000)
    copies = [home.start_copy(tree, f"tree{i}") for i in range(2)]
    for _ in range(3):
        time.sleep(0.5)
        wait_until(lambda: home.server() is not None)
        victim = home.server()
        found = cores(victim)
        assert found == 3, found
        os.kill(victim, signal.SIGKILL)
        assert gone(victim)
    for copy in copies:
        out, err = copy.communicate(timeout=SECONDS_MAX)
        assert copy.returncode == 0, out + err
    home.wait_until_idle()
    server = home.server()
    time.sleep(1)
    before = cpu_ticks(server)
    time.sleep(2)
    assert cpu_ticks(server) - before <= 1, "idle cores use CPU"
    snapshot = home.good("daos", "cont", "create-snap", "tank", "docs")
    home.good("cairn", "down")
    home.good("cairn", "check")
    home.env["CAIRN_CORES"] = "1"
    for i in range(2):
        back = home.path.with_name(f"back{i}")
        home.good("daos", "fs", "copy", "--src", f"daos://tank/docs/tree{i}", "--dst", str(back))
        same_trees(tree, back)
    assert cores(home.server()) == 0
    assert "0x" in snapshot and "0x" in home.good("daos", "cont", "list-snaps", "tank", "docs")
    home.good("cairn", "down")


def test_a_pool_on_several_cores_goes_under_load(home):
    """Its destruction ends what works on it, on all cores; the next pool is a new one."""
    home.env["CAIRN_CORES"] = "2"
    home.good("cairn", "init", "--targets", "4")
    for _ in range(3):
        home.pool()
        tree = home.path.with_name("tree")
        if not tree.exists():
            make_tree(tree, 1000, 3000)
        copy = home.start_copy(tree)
        time.sleep(0.5)
        home.good("dmg", "pool", "destroy", "tank", "--force", "--recursive")
        out, err = copy.communicate(timeout=SECONDS_MAX)
        assert copy.returncode != 0, out + err
    home.pool()
    home.good("daos", "fs", "copy", "--src", str(tree), "--dst", "daos://tank/docs/tree")
    home.good("cairn", "down")
    home.good("cairn", "check")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    tests = {name[5:]: test for name, test in globals().items() if name.startswith("test_")}
    failed = []
    for name in options.names or tests:
        with tempfile.TemporaryDirectory(prefix="cairn-served-", ignore_cleanup_errors=True) as top:
            home = Home(top, "home", os.path.abspath(options.bin))
            begin = time.monotonic()
            try:
                tests[name](home)
                print(f"{name}: ok, {time.monotonic() - begin:.1f} s", flush=True)
            except (AssertionError, TimeoutError, subprocess.TimeoutExpired) as error:
                print(f"{name}: FAILED: {error}", flush=True)
                failed.append(name)
            home.run("cairn", "down")
    print(f"served: {len(options.names or tests)} tests, failed: {' '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
