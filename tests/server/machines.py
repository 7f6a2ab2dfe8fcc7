#!/usr/bin/env python3
"""A system of several machines: a daos_server with the services, and others that join it. Here each
is a directory and ports of its own on one machine; engines reach each other over TCP only.

  machines.py --bin DIR [NAME...]
"""
import json
import os
import signal
import subprocess
import sys
import time

from run import SECONDS_MAX, Server, check_files, main, put_files, until


class Machine(Server):
    """A daos_server whose services are another one's."""

    def __init__(self, *args, services, **options):
        super().__init__(*args, **options)
        self.services = services
        self.more["mgmt_svc_replicas"] = [f"localhost:{services.ports[0]}"]

    def running(self):
        """Process ids of its engines."""
        return [pid for pid in self.children() if b"--member" in command_of(pid)]

    def machine(self):
        """Process id of what keeps them; None: there is none."""
        return next((pid for pid in self.children() if b"--machine" in command_of(pid)), None)


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().split(b"\0")
    except OSError:
        return []


def join(make, services, count=1, **options):
    out = [make(kind=Machine, services=services, **options) for _ in range(count)]
    for machine in out:
        machine.start("--auto-format", wait=False)
    return out


def joined(services, count):
    until(f"{count} engines joined", lambda: services.states() == ["joined"] * count)


def system(make, machines=2, engines=1):
    """One engine beside the services, the others on machines of their own; a pool over all."""
    services = make().start("--auto-format")
    others = join(make, services, machines, engines=engines)
    joined(services, 1 + machines * engines)
    return services, others


def with_files(services, count=8):
    services.admin("pool", "create", "--size", "900M", "tank")
    services.user("daos", "cont", "create", "tank", "c", "--type", "POSIX", "--oclass", "SX")
    put_files(services, "c", count, "a")


def ranks_of(services, pool):
    query = json.loads(services.admin("pool", "query", pool, "-e", "--json"))
    return query["response"]["enabled_ranks"]


def machines_join(make):
    """A pool lies on engines of all machines, and whoever reaches the services reaches them all."""
    services, (b, c) = system(make, engines=2)
    with_files(services)
    assert ranks_of(services, "tank") == [0, 1, 2, 3, 4]
    check_files(services, "c", 8, "a")
    members = json.loads(services.admin("system", "query", "--json"))["response"]["members"]
    addresses = {m["addr"] for m in members}
    assert len(addresses) == 5, addresses
    # By the homes on either machine, too: the one with the services, and one without.
    for home in (services.home, b.home, c.home):
        assert "a7" in services.good("daos", "fs", "ls", "daos://tank/c", CAIRN_HOME=str(home))
        assert "tank" in services.good("dmg", "pool", "list", CAIRN_HOME=str(home))
    err = services.bad("daos", "pool", "list", CAIRN_HOME=str(b.home), CAIRN_MODE="embed")
    assert "services are on another machine" in err, err
    # Moves between directories are transactions over engines of several machines.
    for i in range(12):
        services.user("daos", "cont", "create", "tank", f"d{i}", "--type", "POSIX")
    assert "d11" in services.user("daos", "cont", "list", "tank")
    assert "snapshot" in services.user("daos", "cont", "create-snap", "tank", "c")
    put_files(services, "c", 4, "z")
    check_files(services, "c", 4, "z")


def the_one_without_services_restarts(make):
    """Its engines are away meanwhile, and clients wait; when they come they have ranks and data."""
    services, (b,) = system(make, machines=1, engines=2)
    with_files(services)
    assert b.stop() == 0 and b.children() == [], "an engine is left"
    until("away", lambda: services.states() == ["joined", "stopped", "stopped"])
    waiting = subprocess.Popen(["daos", "fs", "ls", "daos://tank/c"], env=services.client_env(),
                               stdout=subprocess.PIPE, text=True)
    assert "DER_UNREACH" in services.refused("pool", "create", "--size", "900M", "other")
    # What does not need them goes on.
    services.admin("pool", "create", "--size", "300M", "--ranks", "0", "near")
    services.user("daos", "cont", "create", "near", "c", "--type", "POSIX")
    services.user("daos", "cont", "create-snap", "near", "c")
    b.start(wait=False)
    joined(services, 3)
    out, _ = waiting.communicate(timeout=SECONDS_MAX)
    assert waiting.returncode == 0 and "a7" in out, out
    check_files(services, "c", 8, "a")


def the_services_restart(make):
    """Engines of other machines serve on meanwhile, and the next services find them."""
    services, (b,) = system(make, machines=1)
    with_files(services)
    before = b.running()
    assert services.stop() == 0
    time.sleep(2)
    assert b.running() == before, "its engine has ended"
    services.start(wait=False)
    joined(services, 2)
    assert b.running() == before
    check_files(services, "c", 8, "a")
    os.kill(services.engine(0), signal.SIGKILL)
    until("another process", lambda: services.engine(0) is not None)
    joined(services, 2)
    check_files(services, "c", 8, "a")
    put_files(services, "c", 8, "a")


def whoever_dies_is_started_again(make):
    """An engine, the process that keeps a machine's engines, and the server itself."""
    services, (b,) = system(make, machines=1)
    with_files(services)
    engine = b.running()[0]
    os.kill(engine, signal.SIGKILL)
    until("another engine", lambda: b.running() not in ([], [engine]))
    check_files(services, "c", 8, "a")
    joined(services, 2)
    engine, keeper = b.running()[0], b.machine()
    os.kill(keeper, signal.SIGKILL)
    until("another keeper", lambda: keeper not in b.children() and b.machine())
    assert b.running() == [engine], "the engine did not stay"
    check_files(services, "c", 8, "a")
    # It is nobody's child now, and obeys all the same.
    time.sleep(6)
    joined(services, 2)
    services.admin("system", "stop", "--ranks", "1")
    until("the engine is gone", lambda: b.running() == [])
    services.admin("system", "start", "--ranks", "1")
    check_files(services, "c", 8, "a")
    engine = b.running()[0]
    os.kill(engine, signal.SIGKILL)
    until("one more engine", lambda: b.running() not in ([], [engine]))
    check_files(services, "c", 8, "a")
    # The server dies, and what it leaves behind makes way for the next one.
    keeper = b.machine()
    b.process.kill()
    b.process.wait()
    assert b.machine() == keeper
    b.start(wait=False)
    until("another keeper", lambda: b.machine() not in (None, keeper))
    joined(services, 2)
    check_files(services, "c", 8, "a")
    keeper = b.machine()
    os.kill(keeper, signal.SIGKILL)
    until("one more keeper", lambda: b.machine() not in (None, keeper))
    assert b.stop() == 0 and b.children() == [], "an engine is left"
    # Told to go when nobody keeps the engine: neither server nor engine stays.
    b.start(wait=False)
    joined(services, 2)
    assert len(b.running()) == 1
    os.kill(b.machine(), signal.SIGKILL)
    b.process.terminate()
    assert b.stop() == 0 and b.children() == [], "an engine is left"


def engines_elsewhere_are_stopped_and_started(make):
    services, (b,) = system(make, machines=1, engines=2)
    with_files(services)
    services.admin("system", "stop", "--ranks", "2")
    assert services.states() == ["joined", "joined", "stopped"]
    assert len(b.running()) == 1
    time.sleep(2)
    assert services.states() == ["joined", "joined", "stopped"], "it came back by itself"
    services.admin("system", "start", "--ranks", "2")
    joined(services, 3)
    check_files(services, "c", 8, "a")
    # Of a machine that is silent nobody can say that it was stopped; it is when it is back.
    os.kill(b.machine(), signal.SIGSTOP)
    time.sleep(6)
    assert "machine is silent" in services.refused("system", "stop", "--ranks", "2")
    os.kill(b.machine(), signal.SIGCONT)
    until("one engine", lambda: len(b.running()) == 1)
    until("stopped", lambda: services.states() == ["joined", "joined", "stopped"])
    services.admin("system", "start", "--ranks", "2")
    joined(services, 3)
    # One that does not listen is killed.
    victim = b.engine(2)
    os.kill(victim, signal.SIGSTOP)
    done = subprocess.run(["dmg", *services.dmg(), "system", "stop", "--ranks", "2"],
                          env=services.env, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    assert victim not in b.running()
    services.admin("system", "start")
    joined(services, 3)
    check_files(services, "c", 8, "a")


def a_pool_is_extended_to_another_machine(make):
    services = make().start("--auto-format")
    services.admin("pool", "create", "--size", "300M", "tank")
    services.user("daos", "cont", "create", "tank", "old", "--type", "POSIX", "--oclass", "SX")
    put_files(services, "old", 3, "a")
    (b,) = join(make, services)
    joined(services, 2)
    assert ranks_of(services, "tank") == [0]
    services.admin("pool", "extend", "tank", "--ranks", "1")
    assert ranks_of(services, "tank") == [0, 1]
    services.user("daos", "cont", "create", "tank", "new", "--type", "POSIX", "--oclass", "SX")
    put_files(services, "new", 12, "b")
    b.stop()
    check_files(services, "old", 3, "a")
    b.start(wait=False)
    check_files(services, "new", 12, "b")
    # One that was made when the other engine was there already.
    services.admin("pool", "create", "--size", "300M", "--ranks", "0", "late")
    services.user("daos", "cont", "create", "late", "c", "--type", "POSIX")
    services.admin("pool", "extend", "late", "--ranks", "1")
    assert ranks_of(services, "late") == [0, 1]
    services.user("daos", "cont", "create-snap", "late", "c")


def joining_waits_for_the_services(make):
    """In whatever order machines start; and dmg formats each that asks for it."""
    services = make()
    (b,) = join(make, services)
    until("waits", lambda: "Waiting for the system's services" in b.said())
    services.start(wait=False)
    until("still waits", lambda: services.states() == ["awaitformat"])
    time.sleep(1)
    assert b.process.poll() is None
    services.admin("storage", "format")
    joined(services, 2)
    c = make(kind=Machine, services=services)
    c.start(wait=False)
    until("waits for format", lambda: "Storage format required" in c.said())
    assert "1" in services.good("dmg", "-i", "-l", f"localhost:{c.ports[0]}", "storage", "format")
    joined(services, 3)
    # One whose device holds something has its ranks before that is found out, and keeps them.
    d = make(kind=Machine, services=services)
    (d.top / "bdev0").write_bytes(b"precious" * 200_000)
    d.start(wait=False)
    until("waits for format", lambda: "Storage format required" in d.said())
    door = ("dmg", "-i", "-l", f"localhost:{d.ports[0]}", "storage", "format")
    assert "holds data already; --force" in d.bad(*door)
    os.truncate(d.top / "bdev0", 1 << 30)
    d.good(*door, "--force")
    joined(services, 4)
    with_files(services)
    check_files(services, "c", 8, "a")


def what_does_not_fit(make):
    services = make(targets=2).start("--auto-format")
    b = make(kind=Machine, services=services, targets=1)
    b.start("--auto-format", wait=False)
    assert b.process.wait(timeout=SECONDS_MAX) == 1
    assert "as many targets as those of the system" in b.said(), b.said()
    b.targets = 2
    b.start("--auto-format", wait=False)
    joined(services, 2)
    b.stop()
    # More engines: neither here nor there, where the ranks that follow are taken.
    b.engines = 2
    b.start("--auto-format", wait=False)
    assert b.process.wait(timeout=SECONDS_MAX) == 1
    assert "run a second daos_server" in b.said()
    services.stop()
    services.engines = 2
    services.start("--auto-format", wait=False)
    assert services.process.wait(timeout=SECONDS_MAX) == 1
    assert "other machines have joined" in services.said()
    services.engines = b.engines = 1
    # Its services cannot be moved by a change of the file.
    b.more.pop("mgmt_svc_replicas")
    b.start(wait=False)
    assert b.process.wait(timeout=SECONDS_MAX) == 1
    assert "mgmt_svc_replicas says otherwise" in b.said()
    b.more["mgmt_svc_replicas"] = ["no.such.host.invalid"]
    b.start(wait=False)
    assert b.process.wait(timeout=SECONDS_MAX) == 1
    assert "no.such.host.invalid" in b.said()


def a_copied_directory_is_not_believed(make):
    """Two servers of one identity: the second starts nothing."""
    services, (b,) = system(make, machines=1)
    with_files(services, 2)
    home = str(b.top / "copy")
    subprocess.run(["cp", "-r", str(b.home), home], check=True)
    twin = subprocess.Popen(["daos_engine", "--machine", "--home", home, "--insecure", "--launch",
                             home + "/launch"], env=services.env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        time.sleep(3)
        assert twin.poll() is None
        assert services.states() == ["joined", "joined"]
        check_files(services, "c", 2, "a")
    finally:
        twin.terminate()
    _, said = twin.communicate(timeout=SECONDS_MAX)
    assert "another server reports in the name of this machine" in said, said
    assert len(b.running()) == 1


def strangers_are_not_the_system(make):
    """Whoever may use the system over TCP may not speak for its services, or its engines."""
    services, (b,) = system(make, machines=1)
    for home in (services.home, b.home):
        secret = home / "secret"
        assert secret.stat().st_mode & 0o077 == 0
        assert len(secret.read_text()) == 65
    assert (services.home / "secret").read_text() == (b.home / "secret").read_text()
    b.stop()
    (b.home / "secret").write_text("12" * 32 + "\n")
    b.start(wait=False)
    time.sleep(5)
    assert services.states() == ["joined", "stopped"], "an engine with another secret has joined"
    b.stop()
    (b.home / "secret").write_text((services.home / "secret").read_text())
    b.start(wait=False)
    joined(services, 2)


TESTS = [machines_join, the_one_without_services_restarts, the_services_restart,
         whoever_dies_is_started_again, engines_elsewhere_are_stopped_and_started,
         a_pool_is_extended_to_another_machine, joining_waits_for_the_services, what_does_not_fit,
         a_copied_directory_is_not_believed, strangers_are_not_the_system]

if __name__ == "__main__":
    sys.exit(main(TESTS))
