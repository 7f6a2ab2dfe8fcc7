#!/usr/bin/env python3
"""Installs the tree, builds each program here as a user would, and runs it in a home of its own.

  run.py --build DIR --make-pool PROGRAM [--targets N] [--engines N]
         [--cores N] [--served [--kill SECONDS] | --tcp [--provider P]] [PROGRAM.c ...]

--served: the programs use a server that they start. --kill: it is killed (SIGKILL) again and again
while they run, so many seconds after it began to serve, which they must not notice; of several
engines one after the other.
--tcp: daos_server runs the engines, and the programs reach them over TCP. --provider: by this one
of libfabric instead.
--targets: the homes have that many targets. --engines: that many engines, each of so many targets.
--cores: a served engine has its targets on that many threads.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FLAGS = ["-std=gnu11", "-Wall", "-Wextra", "-Werror"]


# What a program links besides -ldaos, by the headers that it includes.
LIBRARIES = {"cairn_dfs.h": "-ldfs", "daos_fs": "-ldfs", "daos_uns.h": "-lduns",
             "gurt/": "-lgurt", "pthread.h": "-pthread"}


def needed(source):
    text = source.read_text()
    included = re.findall(r"^#include <(.*)>", text, re.M)
    flags = {flag for part, flag in LIBRARIES.items()
             if any(header.startswith(part) for header in included)}
    return sorted(flags | ({"-luuid"} if re.search(r"\buuid_\w+\(", text) else set()))


def server_of(home):
    """The process id of the server that serves the home, or None."""
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.connect(os.path.join(home, "socket"))
        pid = int(re.search(r"^pid (\d+)$", (pathlib.Path(home) / "lock").read_text(), re.M)[1])
        return pid if os.readlink(f"/proc/{pid}/exe").endswith("/daos_engine") else None
    except (OSError, TypeError):
        return None


def some_engine_of(home, turn):
    """The server, or in its turn the process of another engine."""
    members = sorted(pathlib.Path(home).glob("engines/*/lock"))
    turn %= len(members) + 1
    if turn == 0:
        return server_of(home)
    try:
        pid = int(re.search(r"^pid (\d+)$", members[turn - 1].read_text(), re.M)[1])
        return pid if os.readlink(f"/proc/{pid}/exe").endswith("/daos_engine") else None
    except (OSError, TypeError):
        return None


def run_and_kill(command, env, seconds):
    """Runs it and kills an engine of the home now and then. (exit status, number of kills)"""
    kills, deadline, victim, due = 0, time.monotonic() + 300, None, 0
    running = subprocess.Popen(command, env=env)
    try:
        while True:
            try:
                return running.wait(timeout=0.02), kills
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    print(f"compat: {command[0]} hangs")
                    return 1, kills
            pid = some_engine_of(env["CAIRN_HOME"], kills)
            if pid != victim:
                # The first time early: a program may be done in half a second.
                victim, due = pid, time.monotonic() + (seconds if kills else seconds / 20)
            elif pid is not None and time.monotonic() > due:
                os.kill(pid, signal.SIGKILL)
                kills += 1
    finally:
        running.kill()


class System:
    """Engines that daos_server runs, reached over TCP only."""

    def __init__(self, folder, prefix, engines, targets, env, provider):
        self.top = pathlib.Path(folder)
        self.top.mkdir()
        sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(1 + engines)]
        ports = [each.getsockname()[1] for each in sockets]
        for each in sockets:
            each.close()
        self.server = f"tcp:127.0.0.1:{ports[0]}"
        if provider == "ofi+shm":
            self.server = f"ofi+shm://engine-{ports[1]}"
        elif provider != "ofi+tcp":
            self.server = f"{provider}://127.0.0.1:{ports[1]}"
        config = {"provider": provider, "transport_config": {"allow_insecure": True},
                  "port": ports[0], "control_iface": "lo",
                  "control_metadata": {"path": str(self.top / "config")},
                  "engines": [{"targets": targets, "fabric_iface": "lo",
                               "fabric_iface_port": ports[1 + i],
                               "log_file": str(self.top / f"engine{i}.log"),
                               "storage": [{"class": "ram", "scm_mount": str(self.top / f"scm{i}")},
                                           {"class": "file", "bdev_size": 1,
                                            "bdev_list": [str(self.top / f"bdev{i}")]}]}
                              for i in range(engines)]}
        (self.top / "server.yml").write_text(json.dumps(config))
        with open(self.top / "log", "w") as log:
            self.process = subprocess.Popen(
                [os.path.join(prefix, "bin", "daos_server"), "-o", str(self.top / "server.yml"),
                 "start", "--auto-format"], env=env, stdout=log, stderr=log)
        self.env = dict(env, CAIRN_SERVER=self.server, CAIRN_MODE="auto",
                        CAIRN_HOME=str(self.top / "nobodys"))
        dmg = [os.path.join(prefix, "bin", "dmg"), "-i", "-l", f"localhost:{ports[0]}", "system",
               "query", "--json"]
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up and self.process.poll() is None:
            asked = subprocess.run(dmg, env=env, capture_output=True, text=True)
            if asked.returncode == 0 and asked.stdout.count('"joined"') == engines:
                return
            time.sleep(0.05)
        raise RuntimeError("the system does not come up: " + (self.top / "log").read_text())

    def stop(self):
        self.process.terminate()
        if self.process.wait(timeout=60) != 0:
            raise RuntimeError("daos_server: " + (self.top / "log").read_text())
        if (self.top / "nobodys").exists():
            raise RuntimeError("something was not done over TCP")
        shutil.rmtree(self.top)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    parser.add_argument("--make-pool", required=True)
    parser.add_argument("--served", action="store_true")
    parser.add_argument("--tcp", action="store_true")
    # A comma stands for the semicolon, at which CMake would cut.
    parser.add_argument("--provider", default="ofi+tcp", type=lambda name: name.replace(",", ";"))
    parser.add_argument("--kill", type=float, metavar="SECONDS")
    parser.add_argument("--targets", type=int, default=1)
    parser.add_argument("--engines", type=int, default=1)
    parser.add_argument("--cores", type=int, default=0)
    parser.add_argument("programs", nargs="*")
    options = parser.parse_args()
    sources = [HERE / p for p in options.programs] or sorted(HERE.glob("*.c"))
    failed, kills = [], 0
    with tempfile.TemporaryDirectory(prefix="cairn-compat-") as folder:
        prefix = os.path.join(folder, "prefix")
        subprocess.run(["cmake", "--install", options.build, "--prefix", prefix], check=True,
                       stdout=subprocess.DEVNULL)
        for source in sources:
            program = os.path.join(folder, source.stem)
            lib = os.path.join(prefix, "lib64")
            command = ["cc", *FLAGS, str(source), "-I" + os.path.join(prefix, "include"),
                       "-L" + lib, "-Wl,-rpath," + lib, *needed(source), "-ldaos", "-o", program]
            if subprocess.run(command).returncode != 0:
                failed.append(source.stem)
                continue
            env = dict(os.environ, CAIRN_HOME=os.path.join(folder, "home." + source.stem))
            env.setdefault("CAIRN_LOG", "off")
            if options.cores:
                env["CAIRN_CORES"] = str(options.cores)
            if options.served:
                env["CAIRN_MODE"] = "auto"
                env["CAIRN_ENGINE"] = os.path.join(prefix, "bin", "daos_engine")
            cairn = os.path.join(prefix, "bin", "cairn")
            if options.tcp:
                system = System(env["CAIRN_HOME"], prefix, options.engines, options.targets, env,
                                options.provider)
                env = system.env
            elif options.targets != 1 or options.engines != 1:
                subprocess.run([cairn, "init", "--targets", str(options.targets), "--engines",
                                str(options.engines)], env=env, check=True,
                               stdout=subprocess.DEVNULL)
            try:
                subprocess.run([options.make_pool, "tank", "1024"], env=env, check=True)
                if options.kill:
                    status, count = run_and_kill([program, "tank"], env, options.kill)
                    kills += count
                else:
                    status = subprocess.run([program, "tank"], env=env, timeout=300).returncode
                if status != 0:
                    failed.append(source.stem)
            finally:
                if options.tcp:
                    system.stop()
                elif options.served:
                    subprocess.run([cairn, "down"], env=env, check=True, timeout=60,
                                   stdout=subprocess.DEVNULL)
    if options.kill:
        print(f"compat: killed the server {kills} times")
        if kills == 0:
            failed.append("nothing-was-killed")
    print(f"compat: {len(sources)} programs, failed: {' '.join(failed) or 'none'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
