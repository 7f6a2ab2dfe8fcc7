#!/usr/bin/env python3
"""A system that daos_server runs from its configuration file, as an administrator sees it.

  run.py --bin DIR [NAME...]
"""
import argparse
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback

SECONDS_MAX = 60


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def until(what, look, seconds=SECONDS_MAX):
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not in {seconds} s")


class Server:
    """daos_server on a configuration of its own, and the tools on it."""

    def __init__(self, top, name, bin_dir, engines=1, targets=1, roles=True, size_gb=2):
        self.top = pathlib.Path(top) / name
        self.top.mkdir()
        self.ports = free_ports(1 + 8)
        self.engines, self.targets, self.roles, self.size_gb = engines, targets, roles, size_gb
        self.more = {}          # keys of the file
        self.engine_more = {}   # keys of each engine
        self.first_more = {}    # and of the first one
        self.process = None
        self.env = dict(os.environ, LC_ALL="C.UTF-8", HOME=str(self.top),
                        CAIRN_RECONNECT_GRACE="30",
                        PATH=bin_dir + os.pathsep + os.environ["PATH"])
        for key in ("CAIRN_HOME", "CAIRN_SERVER", "CAIRN_TOKEN", "CAIRN_MODE", "CAIRN_LOG",
                    "CAIRN_FABRIC_TEST", "CAIRN_ENGINE"):
            self.env.pop(key, None)

    @property
    def home(self):
        base = self.top / "config" if self.roles else self.top / "scm0"
        return base / "daos_control"

    def config(self):
        engines = []
        for i in range(self.engines):
            tier = {"class": "file", "bdev_list": [str(self.top / f"bdev{i}")],
                    "bdev_size": self.size_gb}
            if self.roles:
                tier["bdev_roles"] = ["wal", "meta", "data"]
            engines.append({"targets": self.targets, "fabric_iface": "lo",
                            "fabric_iface_port": self.ports[1 + i],
                            "log_file": str(self.top / f"engine{i}.log"),
                            "storage": [{"class": "ram", "scm_mount": str(self.top / f"scm{i}")},
                                        tier], **self.engine_more,
                            **(self.first_more if i == 0 else {})})
        out = {"provider": "ofi+tcp", "transport_config": {"allow_insecure": True},
               "port": self.ports[0], "control_iface": "lo", "engines": engines, **self.more}
        if self.roles:
            out["control_metadata"] = {"path": str(self.top / "config")}
        return out

    def start(self, *options, wait=True):
        # JSON is YAML.
        (self.top / "server.yml").write_text(json.dumps(self.config()))
        self.out = open(self.top / "out", "a")
        self.process = subprocess.Popen(
            ["daos_server", "-o", str(self.top / "server.yml"), "start", *options], env=self.env,
            stdout=self.out, stderr=self.out, stdin=subprocess.DEVNULL)
        if wait:
            until("all engines joined", lambda: self.states() == ["joined"] * self.engines)
        return self

    def said(self):
        return (self.top / "out").read_text()

    def states(self):
        status, out, _ = self.run("dmg", *self.dmg(), "system", "query", "--json")
        if status != 0:
            if self.process.poll() is not None:
                raise AssertionError(f"daos_server ended: {self.said()}")
            return None
        return [m["state"] for m in json.loads(out)["response"]["members"] or []]

    def dmg(self):
        return "-i", "-l", f"localhost:{self.ports[0]}"

    def run(self, *command, **env):
        done = subprocess.run(command, env={**self.env, **env}, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=SECONDS_MAX)
        return done.returncode, done.stdout, done.stderr

    def good(self, *command, **env):
        status, out, err = self.run(*command, **env)
        assert status == 0, f"{' '.join(command)}: status {status}: {out}{err}\n{self.said()}"
        return out

    def bad(self, *command, **env):
        status, out, err = self.run(*command, **env)
        assert status == 1, f"{' '.join(command)}: status {status}: {out}{err}"
        return err

    def admin(self, *words):
        return self.good("dmg", *self.dmg(), *words)

    def refused(self, *words):
        return self.bad("dmg", *self.dmg(), *words)

    def user(self, *words):
        """As a client on the network, which needs no token here."""
        return self.good(*words, **self.client_env())

    def client_env(self):
        return {**self.env, "CAIRN_SERVER": f"tcp:localhost:{self.ports[0]}"}

    def children(self):
        """Process ids of the engines: the services' process first."""
        out = []
        for each in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (each / "cmdline").read_bytes().split(b"\0")
                if words[0].endswith(b"daos_engine") and str(self.home).encode() in words:
                    out.append((b"--member" in words, int(each.name)))
        return [pid for _, pid in sorted(out)]

    def engine(self, rank):
        for pid in self.children():
            with contextlib.suppress(OSError):
                words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                member = words[words.index(b"--member") + 1] if b"--member" in words else b"0"
                if int(member) == rank:
                    return pid
        return None

    def stop(self):
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(timeout=SECONDS_MAX)
        self.out.close()
        self.process = None
        return status

    def clean_up(self):
        with contextlib.suppress(Exception):
            self.stop()
        for pid in self.children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def put_files(server, container, count, tag):
    for i in range(count):
        done = subprocess.run(["daos", "fs", "put", f"daos://tank/{container}/{tag}{i}"],
                              input=f"{tag} {i}\n" * 100, text=True, timeout=SECONDS_MAX,
                              env=server.client_env(), capture_output=True)
        assert done.returncode == 0, f"put {container}/{tag}{i}: {done.stderr}"


def check_files(server, container, count, tag):
    for i in range(count):
        got = server.user("daos", "fs", "cat", f"daos://tank/{container}/{tag}{i}")
        assert got == f"{tag} {i}\n" * 100, f"{container}/{tag}{i}: {got[:60]!r}"


def format_is_asked_for(make):
    """Until dmg storage format nothing can be stored, and it says so; then it serves, for ever."""
    server = make(engines=2).start(wait=False)
    until("waits for format", lambda: server.states() == ["awaitformat"] * 2)
    assert "Storage format required: run dmg storage format" in server.said()
    assert "DER_UNINIT" in server.refused("pool", "create", "--size", "300M", "tank")
    assert "bdev1" in server.admin("storage", "scan", "-v")
    assert "localhost 0           2" in server.admin("storage", "format")
    until("joined", lambda: server.states() == ["joined"] * 2)
    assert "formatted already" in server.refused("storage", "format")
    server.admin("pool", "create", "--size", "400M", "tank")
    server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX")
    put_files(server, "c", 3, "a")
    assert server.stop() == 0 and server.children() == [], "an engine is left"
    server.start()
    check_files(server, "c", 3, "a")


def devices_that_hold_something_are_kept(make):
    server = make()
    (server.top / "bdev0").write_bytes(b"precious" * 200_000)
    server.start(wait=False)
    until("waits for format", lambda: server.states() == ["awaitformat"])
    assert "holds data already; --force" in server.refused("storage", "format")
    assert (server.top / "bdev0").read_bytes()[:8] == b"precious"
    os.truncate(server.top / "bdev0", 1 << 30)
    server.admin("storage", "format", "--force")
    until("joined", lambda: server.states() == ["joined"])


def metadata_without_roles(make):
    """Without control_metadata the metadata is in scm_mount."""
    server = make(roles=False).start("--auto-format")
    out = server.admin("pool", "create", "--scm-size", "100M", "--nvme-size", "400M", "tank")
    assert "Storage tier 0 (SCM) : 100 MB" in out.replace("99 MB", "100 MB"), out
    assert list((server.top / "scm0").glob("**/wal")), "no log below scm_mount"
    server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX")
    put_files(server, "c", 2, "a")
    server.stop()
    server.start()
    check_files(server, "c", 2, "a")
    devices = server.admin("storage", "query", "list-devices")
    assert "bdev0" in devices and "Roles:data" in devices, devices


def tiers_of_metadata_on_ssd(make):
    server = make(engines=2).start("--auto-format")
    out = json.loads(server.admin("pool", "create", "--meta-size", "100M", "--data-size", "400M",
                                  "tank", "--json"))["response"]
    assert out["md_on_ssd_active"] and out["tgt_ranks"] == [0, 1]
    meta, data = out["tier_bytes"]
    assert 95e6 < meta <= 101e6 and 395e6 < data <= 401e6, out
    assert "- Metadata storage:" in server.admin("pool", "query", "tank")
    assert "Meta Size" in server.admin("pool", "list", "-v")


def engines_are_stopped_and_started(make):
    server = make(engines=2).start("--auto-format")
    server.admin("pool", "create", "--size", "600M", "tank")
    server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX", "--oclass", "SX")
    put_files(server, "c", 4, "a")
    server.admin("system", "stop", "--ranks", "1")
    assert server.states() == ["joined", "stopped"]
    assert server.engine(1) is None, "rank 1 still runs"
    time.sleep(1)
    assert server.states() == ["joined", "stopped"], "it came back by itself"
    assert "DER_UNREACH" in server.refused("pool", "create", "--size", "300M", "other")
    server.admin("system", "stop")
    assert server.states() == ["stopped", "stopped"]
    server.admin("system", "start", "--ranks", "0")
    assert server.states() == ["joined", "stopped"]
    # A client waits for what it needs.
    waiting = subprocess.Popen(["daos", "fs", "ls", "daos://tank/c"], env=server.client_env(),
                               stdout=subprocess.PIPE, text=True)
    server.admin("system", "start")
    out, _ = waiting.communicate(timeout=SECONDS_MAX)
    assert waiting.returncode == 0 and "a3" in out, out
    check_files(server, "c", 4, "a")
    assert "non-existent ranks 7" in server.refused("system", "stop", "--ranks", "7")
    assert "unexpected alphabetic" in server.refused("system", "stop", "--ranks", "x")


def whoever_dies_comes_back(make):
    server = make(engines=2).start("--auto-format")
    server.admin("pool", "create", "--size", "600M", "tank")
    server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX", "--oclass", "SX")
    put_files(server, "c", 3, "a")
    for rank in (1, 0, 1):
        before = server.engine(rank)
        os.kill(before, signal.SIGKILL)
        until("another process", lambda: server.engine(rank) not in (None, before))
        check_files(server, "c", 3, "a")
    assert "ended by signal 9" in server.said()


def without_auto_restart_it_stays_away(make):
    server = make(engines=2)
    server.more["disable_engine_auto_restart"] = True
    server.start("--auto-format")
    os.kill(server.engine(1), signal.SIGKILL)
    until("rank 1 away", lambda: server.states() == ["joined", "stopped"])
    time.sleep(1)
    assert server.states() == ["joined", "stopped"]
    server.admin("system", "start", "--ranks", "1")
    assert server.states() == ["joined", "joined"]
    os.kill(server.engine(0), signal.SIGKILL)
    assert server.process.wait(timeout=SECONDS_MAX) == 1
    assert "disable_engine_auto_restart" in server.said()


def restarts_keep_their_distance(make):
    server = make()
    server.more["engine_auto_restart_min_delay"] = 4
    server.start("--auto-format")
    begin = time.monotonic()
    os.kill(server.engine(0), signal.SIGKILL)
    until("back", lambda: server.states() == ["joined"])
    passed = time.monotonic() - begin
    os.kill(server.engine(0), signal.SIGKILL)
    until("back again", lambda: server.states() == ["joined"])
    assert time.monotonic() - begin >= 4, f"{passed} s, then at once"


def a_pool_is_extended(make):
    """New engines join the system, then the pool; old containers stay, new ones use both."""
    server = make(engines=1).start("--auto-format")
    server.admin("pool", "create", "--size", "300M", "tank")
    server.user("daos", "cont", "create", "tank", "old", "--type", "POSIX", "--oclass", "SX")
    put_files(server, "old", 3, "a")
    server.stop()
    server.engines = 3
    server.start(wait=False)
    until("two wait", lambda: server.states() == ["stopped", "awaitformat", "awaitformat"])
    server.admin("storage", "format")
    until("joined", lambda: server.states() == ["joined"] * 3)

    def ranks():
        query = json.loads(server.admin("pool", "query", "tank", "-e", "--json"))
        return query["response"]["enabled_ranks"]

    assert ranks() == [0]
    check_files(server, "old", 3, "a")
    assert "DER_BUSY" in server.refused("pool", "extend", "tank", "--ranks", "0")
    assert "DER_NONEXIST" in server.refused("pool", "extend", "tank", "--ranks", "9")
    assert "unable to find" in server.refused("pool", "extend", "none", "--ranks", "1")
    assert "Extend command succeeded" in server.admin("pool", "extend", "tank", "--ranks", "1,2")
    assert ranks() == [0, 1, 2]
    server.user("daos", "cont", "create", "tank", "new", "--type", "POSIX", "--oclass", "SX")
    put_files(server, "new", 12, "b")
    put_files(server, "old", 4, "a")
    server.admin("system", "stop", "--ranks", "1-2")
    check_files(server, "old", 4, "a")   # it has nothing there
    # Of twelve files of the new one some must be there.
    status, _, _ = server.run("timeout", "30", "sh", "-c",
                              "for i in 0 1 2 3 4 5 6 7 8 9 10 11; do"
                              "  daos fs cat daos://tank/new/b$i > /dev/null || exit 1; done",
                              CAIRN_SERVER=f"tcp:localhost:{server.ports[0]}",
                              CAIRN_RECONNECT_GRACE="2")
    assert status != 0, "nothing of the new container is on the new engines"
    server.admin("system", "start")
    check_files(server, "new", 12, "b")
    server.stop()
    server.start()
    assert ranks() == [0, 1, 2]
    check_files(server, "new", 12, "b")
    check_files(server, "old", 4, "a")
    server.admin("pool", "destroy", "tank", "--force")
    assert not list(server.home.glob("**/pools/*")), "files of the pool are left"


def a_pool_of_some_ranks(make):
    server = make(engines=3).start("--auto-format")
    server.admin("pool", "create", "--size", "300M", "--ranks", "1-2", "tank")
    server.admin("pool", "create", "--size", "300M", "--nranks", "1", "one")
    found = {p["label"]: p for p in
             json.loads(server.admin("pool", "list", "--json"))["response"]["pools"]}
    assert found["tank"]["total_engines"] == 2 and found["one"]["total_engines"] == 1, found
    assert "invalid rank: 5" in server.refused("pool", "create", "--size", "300M", "--ranks", "5",
                                               "x")
    assert "--nranks 4" in server.refused("pool", "create", "--size", "300M", "--nranks", "4", "x")
    server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX", "--oclass", "SX")
    put_files(server, "c", 4, "a")
    server.admin("system", "stop", "--ranks", "0")
    server.admin("system", "start", "--ranks", "0")
    check_files(server, "c", 4, "a")


def a_device_that_is_full(make):
    """One engine's device is too small for a pool: nothing of it is left anywhere."""
    server = make(engines=2, size_gb=1).start("--auto-format")
    err = server.refused("pool", "create", "--scm-size", "400M", "--nvme-size", "900M", "tank")
    assert "DER_NOSPACE" in err, err
    assert "No pools" in server.admin("pool", "list")
    server.admin("pool", "create", "--size", "600M", "tank")


def an_extension_that_finds_no_room(make):
    """It leaves nothing behind, and succeeds when there is room."""
    server = make(engines=3, size_gb=1).start("--auto-format")
    server.admin("pool", "create", "--size", "300M", "--ranks", "0", "tank")
    server.admin("pool", "create", "--size", "800M", "--ranks", "2", "filler")
    total = json.loads(server.admin("pool", "query", "tank", "--json"))["response"]["tier_stats"]
    free = lambda: [d["avail_bytes"] for d in json.loads(
        server.admin("storage", "query", "list-devices", "--json")
    )["response"]["host_storage_map"]["0"]["storage"]["smd_info"]["devices"]]
    before = free()
    for _ in range(2):
        assert "DER_NOSPACE" in server.refused("pool", "extend", "tank", "--ranks", "1-2")
        assert free() == before, "space is lost"
    about = json.loads(server.admin("pool", "query", "tank", "--json"))["response"]
    assert about["total_targets"] == 1 and about["tier_stats"] == total
    server.admin("pool", "destroy", "filler")
    server.admin("pool", "extend", "tank", "--ranks", "1-2")
    server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX", "--oclass", "SX")
    put_files(server, "c", 6, "a")
    check_files(server, "c", 6, "a")


def an_engine_is_stopped_while_a_pool_is_made(make):
    """What was acknowledged is whole."""
    server = make(targets=4).start("--auto-format")
    for i in range(6):
        making = subprocess.Popen(["dmg", *server.dmg(), "pool", "create", "--size", "600M",
                                   "tank"], env=server.env, stdout=subprocess.DEVNULL,
                                  stderr=subprocess.DEVNULL)
        time.sleep(0.03 * i)
        server.admin("system", "stop", "--ranks", "0")
        made = making.wait(timeout=SECONDS_MAX) == 0
        server.admin("system", "start", "--ranks", "0")
        pools = json.loads(server.admin("pool", "list", "--json"))["response"]["pools"]
        assert len(pools or []) == made, f"made: {made}, there: {pools}"
        if not made:
            continue
        server.user("daos", "cont", "create", "tank", "c", "--type", "POSIX", "--oclass", "SX")
        put_files(server, "c", 8, "a")
        check_files(server, "c", 8, "a")
        server.admin("pool", "destroy", "tank", "--recursive")


def a_member_that_hangs_is_stopped(make):
    server = make(engines=2).start("--auto-format")
    victim = server.engine(1)
    os.kill(victim, signal.SIGSTOP)
    try:
        done = subprocess.run(["dmg", *server.dmg(), "system", "stop", "--ranks", "1"],
                              env=server.env, capture_output=True, text=True, timeout=100)
    finally:
        with contextlib.suppress(OSError):
            os.kill(victim, signal.SIGCONT)
    assert done.returncode == 0, done.stderr
    assert server.states() == ["joined", "stopped"]
    server.admin("system", "start")


def one_device_under_two_names(make):
    server = make(engines=2)
    (server.top / "bdev0").write_bytes(b"")
    os.truncate(server.top / "bdev0", 1 << 30)
    (server.top / "bdev1").symlink_to(server.top / "bdev0")
    server.start("--auto-format", wait=False)
    assert server.process.wait(timeout=SECONDS_MAX) == 1
    assert "is a device of engine 0 and of engine 1" in server.said(), server.said()


def what_engines_are_started_with(make):
    server = make(engines=2)
    server.engine_more = {"env_vars": ["CAIRN_TEST_WORD=blue"], "log_mask": "INFO",
                          "first_core": 0, "nr_xs_helpers": 2}
    server.more["core_dump_filter"] = 0x7
    server.start("--auto-format")
    for rank in (0, 1):
        proc = pathlib.Path(f"/proc/{server.engine(rank)}")
        assert b"CAIRN_TEST_WORD=blue" in (proc / "environ").read_bytes()
        assert os.sched_getaffinity(int(proc.name)) == {0}
        assert int((proc / "coredump_filter").read_text(), 16) == 0x7
        assert "127.0.0.1" in (server.top / f"engine{rank}.log").read_text()
    assert server.said().count("nr_xs_helpers") == 1
    server.stop()
    # What is said of the first engine only is the first one's only.
    server.engine_more = {}
    server.first_more = {"env_vars": ["CAIRN_TEST_WORD=red"], "first_core": 0}
    server.start()
    environ = lambda rank: pathlib.Path(f"/proc/{server.engine(rank)}/environ").read_bytes()
    assert b"CAIRN_TEST_WORD=red" in environ(0) and b"CAIRN_TEST_WORD" not in environ(1)
    assert os.sched_getaffinity(server.engine(0)) == {0}
    assert len(os.sched_getaffinity(server.engine(1))) == os.cpu_count()
    server.stop()
    server.first_more = {}
    server.engine_more = {"first_core": 60_000}
    server.start(wait=False)
    assert server.process.wait(timeout=SECONDS_MAX) == 1
    assert "first_core" in (server.top / "engine0.log").read_text()


def configurations_that_do_not_fit(make):
    server = make(engines=2).start("--auto-format")
    server.stop()
    start = lambda: (server.start(wait=False), server.process.wait(timeout=SECONDS_MAX))[1]
    server.engines = 1
    assert start() == 1 and "was formatted for 2 engines" in server.said()
    server.engines, server.targets = 2, 4
    assert start() == 1 and "the configuration has 2 of 4" in server.said()
    server.targets = 1
    server.more = {"control_iface": "nosuch0"}
    assert start() == 1 and "nosuch0: no interface" in server.said()
    server.more = {"nosuchkey": 1, "name": "other"}
    assert start() == 1
    assert "nosuchkey: unknown key" in server.said() and "name: 'other'" in server.said()
    server.more = {}
    taken = socket.create_server(("127.0.0.1", server.ports[0]))
    assert start() == 1 and "cannot listen there" in (server.top / "engine0.log").read_text()
    taken.close()
    server.start()


def how_dmg_finds_the_system(make):
    server = make().start("--auto-format")
    query = ("system", "query")
    file = server.top / "control.yml"
    file.write_text(f"hostlist: [localhost]\nport: {server.ports[0]}\n"
                    "transport_config: {allow_insecure: true}\n")
    assert "Joined" in server.good("dmg", "-o", str(file), *query)
    (server.top / ".daos_control.yml").write_text(file.read_text())   # HOME is there
    assert "Joined" in server.good("dmg", *query)
    # Who names a home means it.
    assert "Joined" in server.good("dmg", *query, CAIRN_HOME=str(server.home))
    file.write_text(file.read_text().replace("true", "false"))
    assert "certificates" in server.bad("dmg", "-o", str(file), *query)
    assert "Joined" in server.good("dmg", "-i", "-o", str(file), *query)
    file.write_text("hostlist: [localhost]\nnosuch: 1\n")
    assert "nosuch: unknown key" in server.bad("dmg", "-i", "-o", str(file), *query)
    for wrong in ("[", "- 1\n", "port: x\n", "hostlist: ['a:b:c']\n", "hostlist: {a: 1}\n"):
        file.write_text(wrong)
        assert str(file) in server.bad("dmg", "-i", "-o", str(file), *query) or "give HOST" in \
            server.bad("dmg", "-i", "-o", str(file), *query), wrong
    assert "failed to load control configuration" in server.bad("dmg", "-o", "/no/such", *query)
    port = free_ports(1)[0]
    assert "is daos_server running there" in server.bad("dmg", "-i", "-l", f"localhost:{port}",
                                                        *query)


def programs_find_the_system_by_an_agent(make):
    server = make().start("--auto-format")
    server.admin("pool", "create", "--size", "300M", "tank")
    run = server.top / "run"
    file = server.top / "agent.yml"
    file.write_text(f"access_points: ['localhost:{server.ports[0]}']\nruntime_dir: {run}\n")
    assert "certificates" in server.bad("daos_agent", "-o", str(file))
    agent = subprocess.Popen(["daos_agent", "-i", "-o", str(file)], env=server.env, text=True,
                             stdout=subprocess.PIPE)
    assert "Listening" in agent.stdout.readline()
    try:
        asks = {"DAOS_AGENT_DRPC_DIR": str(run)}
        assert "tank" in server.good("daos", "pool", "list", **asks)
        server.good("daos", "cont", "create", "tank", "c", "--type", "POSIX", **asks)
        assert "c" in server.good("daos", "cont", "list", "tank", **asks)
        assert not (server.top / ".cairn").exists(), "a home was made"
        # Who names a home means it.
        own = str(server.top / "own")
        assert "tank" not in server.good("daos", "pool", "list", CAIRN_HOME=own, **asks)
        server.good("cairn", "down", CAIRN_HOME=own)
    finally:
        agent.terminate()
    assert agent.wait(timeout=SECONDS_MAX) == 0
    assert not list(run.iterdir()), "the agent's file is left"


TESTS = [format_is_asked_for, devices_that_hold_something_are_kept, metadata_without_roles,
         tiers_of_metadata_on_ssd, engines_are_stopped_and_started, whoever_dies_comes_back,
         without_auto_restart_it_stays_away, restarts_keep_their_distance, a_pool_is_extended,
         a_pool_of_some_ranks, an_extension_that_finds_no_room,
         an_engine_is_stopped_while_a_pool_is_made, a_member_that_hangs_is_stopped,
         one_device_under_two_names, a_device_that_is_full, what_engines_are_started_with,
         configurations_that_do_not_fit, how_dmg_finds_the_system,
         programs_find_the_system_by_an_agent]


def run_test(test, bin_dir):
    with tempfile.TemporaryDirectory(prefix="cairn-server-") as top:
        servers = []

        def make(kind=Server, **options):
            servers.append(kind(top, f"s{len(servers)}", bin_dir, **options))
            return servers[-1]

        begin = time.monotonic()
        try:
            test(make)
        except Exception as error:   # every failure is reported, with what the server said
            where = " < ".join(f"line {f.lineno}" for f in
                               reversed(traceback.extract_tb(error.__traceback__)[1:]))
            print(f"FAILED {test.__name__}, {where}: {type(error).__name__}: {error}")
            for server in servers:
                with contextlib.suppress(OSError):
                    print("  daos_server said:\n" + server.said())
                for log in sorted(server.top.glob("engine*.log")):
                    print(f"  {log.name}:\n" + log.read_text()[-2000:])
            return False
        finally:
            for server in servers:
                server.clean_up()
        print(f"ok {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
        return True


def main(tests):
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    chosen = [t for t in tests if not args.names or t.__name__ in args.names]
    results = [run_test(test, os.path.abspath(args.bin)) for test in chosen]
    print(f"{sum(results)} of {len(results)} passed")
    return 0 if results and all(results) else 1


if __name__ == "__main__":
    sys.exit(main(TESTS))
