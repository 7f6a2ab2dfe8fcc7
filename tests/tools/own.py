#!/usr/bin/env python3
"""Runs the commands that are ours alone with good and bad input, on a home of their own.

A success has exit status 0 and says nothing on stderr; a failure has 1, nothing on stdout and, on
stderr, one line "ERROR: TOOL: ..." and perhaps one for what to do (a copy: also one per entry; the
store may say more in lines that begin with "cairn: ").
  own.py --bin DIR
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

SECONDS_MAX = 30
URL = "daos://tank/docs"
LONG = "n" * 256  # one byte more than a name may have


class Runner:
    def __init__(self, bin_dir, top):
        self.env = dict(os.environ, CAIRN_HOME=os.path.join(top, "home"), LC_ALL="C.UTF-8",
                        PATH=os.path.abspath(bin_dir) + os.pathsep + os.environ["PATH"])
        self.top, self.failures, self.count = top, [], 0

    def run(self, command, stdin=b"", home=None):
        self.count += 1
        env = dict(self.env, CAIRN_HOME=home) if home else self.env
        return subprocess.run(command, env=env, cwd=self.top, input=stdin, capture_output=True,
                              timeout=SECONDS_MAX)

    def complain(self, command, why, done):
        self.failures.append(f"{' '.join(command)[:200]}: {why}\n"
                             f"    exit {done.returncode}\n    stdout {done.stdout[:300]}\n"
                             f"    stderr {done.stderr[:600]}")

    def good(self, command, stdin=b"", stdout=None, has=None):
        done = self.run(command, stdin)
        if done.returncode != 0:
            self.complain(command, "must succeed", done)
        elif done.stderr:
            self.complain(command, "must be silent on stderr", done)
        elif stdout is not None and done.stdout != stdout:
            self.complain(command, f"stdout must be {stdout}", done)
        elif has is not None and has not in done.stdout:
            self.complain(command, f"stdout must have {has}", done)
        return done.stdout

    def bad(self, command, has, stdin=b"", home=None, stdout=b""):
        done = self.run(command, stdin, home)
        lines = done.stderr.decode().splitlines()
        errors = [line for line in lines if line.startswith(f"ERROR: {command[0]}: ")]
        others = [line for line in lines if not line.startswith(("ERROR: ", "cairn: "))]
        if done.returncode != 1:
            self.complain(command, "must fail with exit status 1", done)
        elif not 1 <= len(errors) <= (3 if "copy" in command else 2) or others:
            self.complain(command, "must say one ERROR line, and one for what to do", done)
        elif has not in done.stderr.decode():
            self.complain(command, f"stderr must have \"{has}\"", done)
        elif stdout is not None and done.stdout != stdout:
            self.complain(command, f"stdout must be {stdout}", done)
        return done


def fs(*words):
    return ["daos", "fs", *words]


def check_files(run):
    run.good(fs("put", URL + "/a"), stdin=b"some words\n", stdout=b"")
    run.good(fs("cat", URL + "/a"), stdout=b"some words\n")
    run.good(fs("put", URL + "/a"), stdin=b"less", stdout=b"")
    run.good(fs("cat", URL + "/a"), stdout=b"less")
    big = os.urandom(5_000_001)
    run.good(fs("put", URL + "/big"), stdin=big)
    run.good(fs("cat", URL + "/big"), stdout=big)
    run.good(fs("put", f"{URL}/{LONG[1:]}"), stdin=b"")
    run.good(fs("ls", URL), stdout=f"a\nbig\n{LONG[1:]}\n".encode())
    run.good(fs("ls", "-l", URL + "/a"), has=b"-rw-r--r-- 4 ")
    names = [row["name"] for row in json.loads(run.good(fs("ls", URL, "--json")))["response"]]
    if names != ["a", "big", LONG[1:]]:
        run.failures.append(f"fs ls --json lists {names}")
    for command in ("rm", "cat", "ls"):
        run.bad(fs(command, URL + "/none"), "errno 2 (")
        run.bad(fs(command, URL + "/none/below"), "errno 2 (")
        run.bad(fs(command, URL + "/a/below"), "errno ")
        run.bad(fs(command, f"{URL}/{LONG}"), "errno ")
    run.bad(fs("put", URL + "/none/below"), "errno 2 (")
    run.bad(fs("put", f"{URL}/{LONG}"), "errno 36 (")
    run.bad(fs("put", URL), "names a directory")
    run.bad(fs("rm", URL), "the root stays")
    for command in ("ls", "cat", "put", "rm"):
        for path in ("/..", "/../a", "/.", "/a/../a", "/a/.."):
            run.bad(fs(command, URL + path), "without . and ..")
        run.bad(fs(command, "daos://tank/nocont/a"), "DER_NONEXIST")
        run.bad(fs(command, "daos://nopool/docs/a"), "DER_NONEXIST")
        run.bad(fs(command, "daos://"), "not of the form")
        run.bad(fs(command, run.top), "does not lie in a container")
        run.bad(fs(command), "no path supplied")
        run.bad(fs(command, URL, "more"), "too many arguments: more")
        run.bad(fs(command, "--nope", URL), "unknown flag `nope'")
    run.good(fs("rm", URL + "/a"), stdout=b"")
    run.bad(fs("cat", URL + "/a"), "errno 2 (")
    envelope = json.loads(run.bad(fs("cat", URL + "/a", "--json"), "errno 2 (",
                                  stdout=None).stdout)
    if envelope["response"] is not None or envelope["status"] >= 0 or not envelope["error"]:
        run.failures.append(f"fs cat --json of a missing file says {envelope}")


def check_directories(run):
    tree = os.path.join(run.top, "tree")
    os.makedirs(os.path.join(tree, "sub"))
    with open(os.path.join(tree, "sub", "f"), "w", encoding="ascii") as file:
        file.write("x")
    os.symlink("sub/f", os.path.join(tree, "link"))
    run.good(fs("copy", "--src", tree, "--dst", URL), has=b"Files:       1\n")
    run.good(fs("ls", URL + "/tree"), stdout=b"link\nsub\n")
    run.good(fs("ls", "-l", URL + "/tree"), has=b"link -> sub/f\n")
    run.good(fs("cat", URL + "/tree/link"), stdout=b"x")
    run.bad(fs("cat", URL + "/tree"), "errno 21 (")
    run.bad(fs("put", URL + "/tree"), "errno 21 (")
    run.bad(fs("rm", URL + "/tree"), "-r removes a directory")
    run.bad(fs("copy", "--src", URL + "/none", "--dst", run.top), "DER_NONEXIST")
    run.bad(fs("copy", "--src", URL + "/tree", "--dst", "/proc/none/x"), "make it first")
    run.bad(fs("copy", "--src", tree, "--dst", URL + "/tree/link"), "is not a directory")
    run.bad(fs("copy", "--src", tree, "--dst", f"{URL}/{LONG}"), "errno 36 (")
    run.bad(fs("copy", "--src", tree, "--dst", URL + "/.."), "without . and ..")
    run.bad(fs("copy", "--src", URL + "/tree/..", "--dst", run.top), "without . and ..")
    if os.geteuid() != 0:
        shut = os.path.join(run.top, "shut")
        os.mkdir(shut, 0o555)
        run.bad(fs("copy", "--src", URL + "/tree", "--dst", shut), "errno 13", stdout=None)
    run.good(fs("rm", "-r", URL + "/tree"), stdout=b"")
    run.bad(fs("ls", URL + "/tree"), "errno 2 (")


def check_seal(run):
    cont, url = ["tank", "shut"], "daos://tank/shut"
    cmd = lambda *words: ["daos", "cont", *words]
    run.bad(cmd("create", *cont, "--type", "POSIX", "--properties", "worm_object_max:1"),
            "DER_INVAL")
    run.bad(cmd("create", *cont, "--properties", "worm_compress:maybe"), "valid: off,on")
    run.good(cmd("create", *cont, "--type", "POSIX", "--properties",
                 "worm_compress:on,worm_inline_max:4KiB"), has=b"Successfully created")
    run.good(fs("put", url + "/a"), stdin=b"before")
    run.good(cmd("get-prop", *cont, "worm_compress,worm_inline_max,worm:sealed"), has=b"on")
    run.good(cmd("set-prop", *cont, "worm_cold_after:60"), has=b"successfully set")
    shown = {row["name"]: row["value"]
             for row in json.loads(run.good(cmd("get-prop", *cont, "--json")))["response"]}
    wanted = {"worm_cold_after": 60, "worm_inline_max": 4096, "worm_object_max": 1 << 20,
              "worm:sealed": "no"}
    if {name: shown.get(name) for name in wanted} != wanted:
        run.failures.append(f"get-prop shows {shown}")
    run.good(cmd("set-prop", *cont, "worm_cold_after:0"), has=b"successfully set")
    run.bad(cmd("set-prop", *cont, "worm_inline_max:1MiB"), "DER_INVAL")
    run.bad(cmd("set-prop", *cont, "worm:sealed"), "container seal")
    run.bad(cmd("unseal", *cont), "it is not sealed")
    run.bad(cmd("seal", "tank", "nocont"), "DER_NONEXIST")
    run.bad(cmd("seal", "tank"), "no container")
    run.bad(cmd("seal", *cont, "--nope"), "unknown flag `nope'")

    run.good(cmd("seal", *cont), has=b"is sealed\n")
    sealed = json.loads(run.good(cmd("seal", *cont, "--wait", "--json")))["response"]
    if sealed["state"] != "sealed" or "@" not in sealed["sealed_by"] or sealed["objects_left"]:
        run.failures.append(f"seal --json says {sealed}")
    by = sealed["sealed_by"]
    run.bad(cmd("seal", *cont), by)
    for command in (fs("put", url + "/a"), fs("put", url + "/b"), fs("rm", url + "/a"),
                    fs("copy", "--src", os.path.join(run.top, "home"), "--dst", url)):
        run.bad(command, by, stdout=None)
    run.good(fs("cat", url + "/a"), stdout=b"before")
    run.good(fs("ls", url), stdout=b"a\n")
    run.good(cmd("query", *cont), has=by.encode())
    seal = json.loads(run.good(cmd("query", *cont, "--json")))["response"]["seal"]
    if seal["state"] != "sealed" or seal["epoch"] != sealed["epoch"]:
        run.failures.append(f"query --json says {seal}")
    run.good(cmd("get-prop", *cont, "worm:sealed"), has=by.encode())
    run.good(cmd("unseal", *cont), has=b"can be changed again\n")
    run.good(fs("put", url + "/b"), stdin=b"after")
    run.good(fs("cat", url + "/b"), stdout=b"after")
    run.good(cmd("seal", *cont, "--wait"), has=b"is sealed\n")
    run.good(cmd("destroy", *cont), has=b"Successfully destroyed")


def outcomes_of(run, command):
    """What a command that flattens says became of the objects, without those that none became."""
    response = json.loads(run.good([*command, "--json"]))["response"]
    found = response.get("copy_stats", {}).get("flatten_outcomes") or response["outcomes"]
    return {name: count for name, count in found.items() if count}


def check_worm(run):
    """Copies that are there to be read, and files and directories that are flattened."""
    tree = os.path.join(run.top, "books")
    os.makedirs(os.path.join(tree, "sub", "below"))
    for i in range(700):
        name = os.path.join(tree, "sub" if i % 2 else "sub/below", f"book{i}")
        with open(name, "wb") as file:
            file.write(os.urandom(i * 17))
    os.symlink("sub", os.path.join(tree, "link"))
    with open(os.path.join(tree, "large"), "wb") as file:
        file.write(os.urandom(9_000_000))
    # 699 books with something in them, the large file, three directories; one book is empty.
    all_flat = {"flattened": 703, "not there": 1}
    got = outcomes_of(run, fs("copy", "--worm", "--src", tree, "--dst", URL))
    if got != all_flat:
        run.failures.append(f"fs copy --worm: {got}")
    got = outcomes_of(run, fs("flatten", "-r", URL + "/books"))
    if got != {"already flat": 703, "not there": 1}:
        run.failures.append(f"fs flatten -r of what was copied with --worm: {got}")
    # Again over what is there, into a container that the copy makes, and without --worm.
    run.good(fs("copy", "--worm", "--src", tree, "--dst", URL), has=b"    Flattened:   703 of 704 ")
    got = outcomes_of(run, fs("copy", "--worm", "--src", tree, "--dst", "daos://tank/shelf"))
    if got != all_flat:
        run.failures.append(f"fs copy --worm into a new container: {got}")
    plain = run.good(fs("copy", "--src", tree, "--dst", URL + "/plain", "--json"))
    if b"latten" in plain:
        run.failures.append(f"fs copy without --worm speaks of flattening: {plain}")
    back = os.path.join(run.top, "back")
    run.good(fs("copy", "--src", URL + "/books", "--dst", back))
    run.run(["rm", "-f", back + "/link", tree + "/link"])
    if run.run(["diff", "-r", tree, back]).returncode != 0:
        run.failures.append("what was copied with --worm comes back changed")
    run.bad(fs("copy", "--worm", "--src", URL + "/books", "--dst", back), "leave --worm out")

    got = outcomes_of(run, fs("flatten", URL + "/plain/large"))
    if got != {"flattened": 1}:
        run.failures.append(f"fs flatten of a file: {got}")
    got = outcomes_of(run, fs("flatten", URL + "/plain"))
    if got != {"flattened": 1}:
        run.failures.append(f"fs flatten of a directory: {got}")
    got = outcomes_of(run, fs("flatten", "--recursive", URL + "/plain/sub"))
    if got != {"flattened": 701, "not there": 1}:
        run.failures.append(f"fs flatten -r: {got}")
    run.good(fs("flatten", URL + "/plain/large"), has=b"  already flat: 1\n")
    run.bad(fs("flatten", URL + "/none"), "errno 2 (")
    run.bad(fs("flatten", URL + "/plain/large/below"), "errno ")
    run.bad(fs("flatten", URL + "/plain/.."), "without . and ..")
    run.bad(fs("flatten", "daos://tank/nocont/a"), "DER_NONEXIST")
    run.bad(fs("flatten", run.top), "does not lie in a container")
    run.bad(fs("flatten"), "no path supplied")
    run.bad(fs("flatten", URL, "more"), "too many arguments: more")
    for name in ("books", "plain"):
        run.good(fs("rm", "-r", f"{URL}/{name}"))
    run.good(["daos", "cont", "destroy", "tank", "shelf"])
    check_worm_roots(run)


def make_deep(path, levels):
    """Directories with a file in each, whose path is longer than one that can be opened."""
    os.mkdir(path)
    at = os.open(path, os.O_RDONLY)
    for _ in range(levels):
        with open(os.open("f", os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=at), "wb") as file:
            file.write(b"deep")
        os.mkdir(LONG[1:], dir_fd=at)
        below = os.open(LONG[1:], os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def check_worm_roots(run):
    """A directory that was there before is flattened, too, and so is a tree of any depth."""
    outer, target = os.path.join(run.top, "outer"), "daos://tank/roots"
    levels = 20
    os.mkdir(outer)
    make_deep(os.path.join(outer, "deep"), levels)
    run.good(fs("copy", "--src", outer + "/deep", "--dst", URL + "/deep"))
    # The lowest directory is empty: there is nothing of it.
    got = outcomes_of(run, fs("flatten", "-r", URL + "/deep"))
    if got != {"flattened": 2 * levels, "not there": 1}:
        run.failures.append(f"fs flatten -r of a deep tree: {got}")
    run.good(fs("rm", "-r", URL + "/deep"))
    run.good(["daos", "cont", "create", "tank", "source", "--type", "POSIX"])
    run.good(fs("put", "daos://tank/source/word"), stdin=b"word")
    got = outcomes_of(run, fs("copy", "--worm", "--src", "daos://tank/source", "--dst", target))
    if got != {"flattened": 2}:
        run.failures.append(f"fs copy --worm of a root: {got}")
    got = outcomes_of(run, fs("flatten", target))
    if got != {"already flat": 1}:
        run.failures.append(f"fs copy --worm leaves the root as it was: {got}")
    run.good(fs("cat", target + "/word"), stdout=b"word")
    for name in ("source", "roots"):
        run.good(["daos", "cont", "destroy", "tank", name])


def check_attributes(run):
    at = ["tank", "docs", "--dfs-path"]
    run.good(fs("set-attr", *at, "/new", "--chunk-size", "8KiB"), stdout=b"")
    run.good(fs("get-attr", *at, "/new"), has=b"Object Chunk Size = 8192\n")
    run.good(fs("get-attr", *at, "/pre/new", "--dfs-prefix", "/pre"), has=b" = 8192\n")
    run.good(fs("chmod", *at, "/new", "--mode", "0640"), stdout=b"")
    run.good(fs("ls", "-l", URL + "/new"), has=b"-rw-r----- 0 ")
    run.bad(fs("set-attr", *at, "/new"), "nothing to set")
    run.bad(fs("set-attr", *at, "/other", "--chunk-size", "0"), "invalid chunk-size")
    run.bad(fs("set-attr", *at, "/other", "--oclass", "NOPE"), "unknown object class")
    run.bad(fs("set-attr", *at, "/" + LONG, "--oclass", "S1"), "errno ")
    run.bad(fs("set-attr", *at, "/..", "--oclass", "S1"), "without . and ..")
    run.bad(fs("get-attr", *at, "new"), "is not absolute")
    run.bad(fs("get-attr", *at, "/new", "--dfs-prefix", "/ne"), "does not lie below")
    run.bad(fs("get-attr", *at, "/new", "--path", run.top), "cannot be used together")
    run.bad(fs("get-attr", "tank", "docs", "more", "--dfs-path", "/new"), "too many arguments")
    run.bad(fs("get-attr", "tank", "none", "--dfs-path", "/"), "DER_NONEXIST")
    run.bad(fs("chmod", *at, "/new"), "`-m, --mode' was not specified")


def check_cairn(run):
    run.good(["cairn", "status"], has=b"1 pool\n")
    pools = json.loads(run.good(["cairn", "status", "--json"]))["response"]["pools"]
    if [pool["label"] for pool in pools] != ["tank"]:
        run.failures.append(f"cairn status --json lists {pools}")
    run.good(["cairn", "check"], has=b": clean\n")
    if not json.loads(run.good(["cairn", "check", "-q", "--json"]))["response"]["clean"]:
        run.failures.append("cairn check --json: not clean")
    run.good(["cairn", "check", "--losses"], stdout=b"nothing is lost\n")
    run.good(["cairn", "scrub"], has=b": clean\n")
    run.bad(["cairn"], "check, down, init, logs, scrub, status or up")
    run.bad(["cairn", "nope"], "Unknown command `nope'")
    run.bad(["cairn", "status", "more"], "too many arguments: more")
    run.bad(["cairn", "check", "--nope"], "unknown flag `nope'")
    run.bad(["cairn", "scrub", "more"], "too many arguments: more")
    run.bad(["cairn", "scrub", "--nope"], "unknown flag `nope'")


def check_devices(run):
    disk, other = os.path.join(run.top, "disk"), os.path.join(run.top, "other disk")
    for path in (disk, other):
        with open(path, "wb") as file:
            file.truncate(300 << 20)
    home = os.path.join(run.top, "on-devices")
    before = run.env["CAIRN_HOME"]
    run.bad(["cairn", "init"], "a home already")
    run.env["CAIRN_HOME"] = home
    run.bad(["cairn", "init", "-d", disk + "=wal,metal"], "each must be wal, meta or data")
    run.bad(["cairn", "init", "-d", disk + "=wal,meta"], "each of wal, meta and data needs")
    run.bad(["cairn", "init", "-d", os.path.join(run.top, "nope")], "No such file")
    run.good(["cairn", "init", "-d", disk + "=wal,meta", "--device", other + "=data"],
             has=b" is made\n")
    run.good(["dmg", "pool", "create", "--size", "256M", "tank"], has=b"UUID")
    devices = json.loads(run.good(["cairn", "status", "--json"]))["response"]["devices"]
    if [d["roles"] for d in devices] != ["wal,meta", "data"] or devices[1]["path"] != other:
        run.failures.append(f"cairn status --json lists {devices}")
    if any(d["free"] >= d["total"] for d in devices):
        run.failures.append(f"a pool takes nothing of {devices}")
    run.good(["cairn", "check"], has=b": clean\n")
    run.env["CAIRN_HOME"] = os.path.join(run.top, "second")
    run.bad(["cairn", "init", "-d", disk], "holds data already")
    run.good(["cairn", "init", "-d", disk + "=wal,meta,data,wipe"], has=b" is made\n")
    run.env["CAIRN_HOME"] = home
    run.bad(["cairn", "status"], "another home")
    run.env["CAIRN_HOME"] = before


def check_homes(run):
    """Homes that cannot be used; a tool that only looks makes none."""
    none, other = os.path.join(run.top, "none"), os.path.join(run.top, "other")
    os.mkdir(other)
    with open(os.path.join(other, "letter"), "w", encoding="ascii") as file:
        file.write("x")
    for command in (["cairn", "status"], ["cairn", "check"], ["cairn", "scrub"],
                    ["ddb", "--pool", "tank", "ls"]):
        run.bad(command, "there is no home", home=none)
    if os.path.exists(none):
        run.failures.append("cairn status made a home")
    for command in (["cairn", "status"], ["dmg", "pool", "list"], ["daos", "pool", "list"]):
        run.bad(command, "Not a directory", home=os.path.join(other, "letter"))
        run.bad(command, "and no home", home=other)
    run.bad(["dmg", "pool", "create", "--size", "200M", "x"], "cannot make the directory",
            home="/proc/none", stdout=None)
    if os.listdir(other) != ["letter"]:
        run.failures.append(f"a foreign directory has now {os.listdir(other)}")


def has_open(pid, path):
    """Whether the process has a file of that name, or below it, open."""
    folder = f"/proc/{pid}/fd"
    try:
        return any(os.readlink(f"{folder}/{fd}").startswith(path) for fd in os.listdir(folder))
    except OSError:
        return False


def check_holder(run):
    """A home that another process holds: its id is told. The holder waits for its stdin; nobody
    else may open the home before it has."""
    with subprocess.Popen(["daos", "fs", "put", URL + "/slow"], env=run.env,
                          stdin=subprocess.PIPE) as holder:
        for _ in range(1200):
            if has_open(holder.pid, os.path.join(run.env["CAIRN_HOME"], "system")):
                break
            time.sleep(0.05)
        else:
            run.failures.append("the holder does not open the home")
        for command in (["cairn", "status"], ["cairn", "check"], ["dmg", "pool", "list"],
                        ["daos", "pool", "list"], fs("ls", URL)):
            run.bad(command, str(holder.pid))
            run.bad(command, "DER_BUSY")
        holder.stdin.close()
        if holder.wait(SECONDS_MAX) != 0:
            run.failures.append("the holder failed")
    run.good(fs("cat", URL + "/slow"), stdout=b"")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    with tempfile.TemporaryDirectory(prefix="cairn-tools-") as top:
        run = Runner(parser.parse_args().bin, top)
        run.good(["dmg", "pool", "create", "--size", "200M", "tank"])
        run.good(["dmg", "pool", "create", "--size", "200M", "--mem-ratio", "25%", "small"],
                 has=b"Memory File Size")
        query = run.good(["dmg", "-j", "pool", "query", "small"])
        if json.loads(query)["response"]["mem_file_bytes"] != 16 << 20:
            run.failures.append("mem_file_bytes is not a quarter of the metadata")
        run.good(["dmg", "pool", "destroy", "small"])
        for wrong in (["--mem-ratio", "0"], ["--mem-ratio", "101"], ["--mem-ratio", "x"],
                      ["--mem-size", "x"], ["--mem-ratio", "50", "--mem-size", "1G"]):
            run.bad(["dmg", "pool", "create", "--size", "200M", *wrong, "no"], "--mem-")
        run.bad(["dmg", "pool", "create", "--size", "200M", "--mem-size", "1M", "no"],
                "requested memory is too small",
                stdout=None)
        run.good(["daos", "cont", "create", "tank", "docs", "--type", "POSIX"])
        for check in (check_files, check_directories, check_worm, check_attributes, check_seal,
                      check_cairn, check_devices, check_homes, check_holder):
            check(run)
        run.good(["cairn", "check"], has=b": clean\n")
    for failure in run.failures:
        print("FAILED " + failure)
    print(f"{run.count} commands, {len(run.failures)} failures")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
