#!/usr/bin/env python3
"""Runs ddb, `cairn check --losses` and `cairn scrub` with good and bad input, on a home of their
own: what is listed, dumped, loaded and removed; that looking changes no byte of any file; damage.
  ddb.py --bin DIR
"""
import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

from own import URL, Runner, fs, has_open

REFUSED = ["ilog_dump", "ilog_commit", "ilog_clear", "dtx_dump", "dtx_cmt_clear", "dtx_act_commit",
           "dtx_act_abort", "dtx_act_discard_invalid", "dtx_stat", "dtx_aggr", "smd_sync",
           "dev_list", "dev_replace", "vea_update", "feature", "rm_pool", "prov_mem"]


class Shard:
    """The one pool of the home, as ddb sees it."""

    def __init__(self, run):
        self.run = run
        pools = os.path.join(run.env["CAIRN_HOME"], "pools")
        self.directory = os.path.join(pools, os.listdir(pools)[0])

    def command(self, *words, write=False):
        return ["ddb", "--pool", "tank"] + (["-w"] if write else []) + list(words)

    def json(self, *words, write=False):
        out = self.run.good(self.command("--json", *words, write=write))
        return json.loads(out)["response"] if out else {}

    def names(self, path):
        return [entry["name"] for entry in self.json("ls", path)["entries"]]

    def file(self, name):
        return os.path.join(self.directory, "0", name)

    def digest(self):
        out = hashlib.sha256()
        for folder in (os.path.join(self.directory, "0"),
                       os.path.join(self.run.env["CAIRN_HOME"], "system")):
            for name in ("wal", "meta", "data"):
                with open(os.path.join(folder, name), "rb") as file:
                    for piece in iter(lambda: file.read(1 << 22), b""):
                        out.update(piece)
        return out.hexdigest()

    def flip(self, name, offset):
        with open(self.file(name), "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 4]))


def expect(run, what, got, wanted):
    run.count += 1
    if got != wanted:
        run.failures.append(f"{what}: {got!r}, wanted {wanted!r}")


def extents_of(shard):
    """Every extent below /docs, with its records, by ls -r -d."""
    entries = shard.json("ls", "-r", "-d", "/docs")["entries"]
    return {e["path"]: e["records"] for e in entries if e["path"].endswith("}")
            and e["path"].count("/") == 5 and e["records"]}


def extent_of_bytes(shard, count):
    """The path of the extent of `count` records whose data lies in blocks."""
    for path, records in extents_of(shard).items():
        if records[0].get("count") == count and "runs" in records[0]:
            return path, records[0]["runs"]
    return None, None


def check_listing(run, shard):
    expect(run, "containers", [n.split(" ")[-1] for n in shard.names("/")], ["docs"])
    run.good(shard.command("ls"), has=b"[0] 1 ")
    objects = shard.names("/docs")
    expect(run, "a superblock, a root, files", len(objects) >= 4, True)
    expect(run, "by number, label and index", shard.names("/1") == shard.names("/[0]"), True)
    root = shard.names("/docs/[1]")
    expect(run, "entries of the root", {"big", "small"} <= set(root), True)
    expect(run, "akeys", shard.names("/docs/[1]/small"), ["DFS_INODE"])
    expect(run, "extents", shard.names("/docs/[1]/small/DFS_INODE"), ["{0-87}"])
    run.good(shard.command("ls", "-r", "/docs/[1]/small"), has=b"/small/DFS_INODE/{0-87}\n")
    run.good(shard.command("ls", "-d", "/docs/[1]/small"), has=b"form packed")
    records = shard.json("records", "/docs/[1]")["records"]
    expect(run, "ranges", {r["range"] for r in records}, {"live"})
    run.good(shard.command("records"), has=b"/small/DFS_INODE extent ..88  epoch ")
    run.good(["ddb", "-s", shard.directory, "ls"], has=b" docs\n")
    run.good(["ddb", "-s", shard.directory + "/0/", "ls", "/[0]"], has=b"[0] ")
    run.good(["ddb", "--home", run.env["CAIRN_HOME"], "--pool", os.path.basename(shard.directory),
              "ls"], has=b" docs\n")


def check_dumps(run, shard, big):
    path, _ = extent_of_bytes(shard, 1 << 20)
    target = os.path.join(run.top, "dumped")
    run.good(shard.command("value_dump", path, target), has=b"1048576 bytes to ")
    with open(target, "rb") as file:
        expect(run, "a dumped extent is a part of the file", file.read() in big, True)
    run.good(shard.command("value_dump", path), has=b"name a file to get them all\n")
    expect(run, "checksums", sum(len(r["checksums"]) for r in shard.json("csum_dump", path)
                                 ["records"]), 256)
    run.good(shard.command("csum_dump", "/docs/[1]/small/DFS_INODE"), has=b"no blocks")
    run.good(shard.command("value_dump", "/docs/[0]/DFS_SB_METADATA/DFS_MAGIC"),
             has=b"50 df 05 da 50 df 05 da")
    value = shard.json("value_dump", "/docs/[0]/DFS_SB_METADATA/DFS_MAGIC")
    expect(run, "a single value", (value["type"], value["hex"]), ("single", "50df05da50df05da"))
    copies = shard.json("superblock_dump")
    expect(run, "superblock", copies["newest"]["page_bytes"], 16384)
    expect(run, "copies", sorted({c["state"] for c in copies["copies"]}), ["whole"])
    run.good(shard.command("superblock_dump"), has=b"log_position")
    space = shard.json("space_dump", "-l")
    for name in ("pages", "blocks"):
        runs = space[name]["free_runs"]
        expect(run, "free " + name, sum(r["count"] for r in runs), space[name]["free"])
        expect(run, "owned " + name, space[name]["owned"] > 0, True)
    expect(run, "owned now", space["now"]["blocks"]["owned"], space["blocks"]["owned"])
    run.good(shard.command("vea_dump"), has=b"blocks of 4 KiB: ")
    run.good(shard.command("log_dump"), has=b"0 records in 0 writes")
    run.good(["ddb", "version"], has=b"format superblock: ")
    run.good(["ddb", "-v"], has=b"format log: ")
    run.good(["ddb", "--help"], has=b"value_load")


def check_bad_input(run, shard):
    bad = lambda has, *words, **more: run.bad(shard.command(*words), has, **more)
    run.bad(["ddb", "ls"], "no shard is open")
    run.bad(["ddb", "--pool", "none", "ls"], "there is no pool 'none'")
    run.bad(["ddb", "-s", run.top, "ls"], "holds no shard")
    run.bad(["ddb", "--home", "/proc/none", "--pool", "tank", "ls"], "there is no home")
    bad("Unknown command `nope'", "nope")
    bad("unknown flag `nope'", "ls", "--nope")
    bad("too many arguments: more", "ls", "/", "more")
    bad("<path>", "value_dump")
    bad("<file>", "value_load")
    bad("a brace or a \\ is left open", "ls", "/docs/{x")
    bad("a container is", "ls", "/nocont")
    bad("an object is", "ls", "/docs/x")
    bad("an object is", "ls", "/docs/1.x")
    bad("a dkey is", "ls", "/docs/[0]/{bin:0x1}")
    bad("an extent is", "ls", "/docs/[1]/small/DFS_INODE/0-1")
    bad("nothing stands below an extent", "ls", "/docs/[1]/small/DFS_INODE/{0-87}/x")
    bad("nothing stands below an extent", "ls", "/docs/[1]/small/DFS_INODE/{0-87}")
    bad("there is no [99]", "ls", "/docs/[99]")
    bad("there is no [9]", "ls", "/[9]")
    bad("is no value", "value_dump", "/docs/[1]/small")
    bad("is no value", "csum_dump", "/docs")
    bad("holds no value", "value_dump", "/docs/[1]/small/none")
    bad("holds an array; name an extent", "value_dump", "/docs/[1]/small/DFS_INODE")
    bad("has no extents", "value_dump", "/docs/[0]/DFS_SB_METADATA/DFS_MAGIC/{0-1}")
    bad("cannot write /proc/none/x", "value_dump", "/docs/[0]/DFS_SB_METADATA/DFS_MAGIC",
        "/proc/none/x")
    for command in (["rm", "/docs"], ["value_load", "/etc/hostname", "/docs/[0]/a/b"]):
        bad("start ddb with -w", *command)
        run.bad(["ddb"] + command, "start ddb with -w")
    for command in REFUSED:
        bad(f"{command}: ", command, "some", "words")
    envelope = json.loads(run.bad(shard.command("--json", "prov_mem"), "prov_mem", stdout=None)
                          .stdout)
    expect(run, "the envelope of a refused command", envelope["status"] < 0, True)
    empty = os.path.join(run.top, "empty")
    with open(empty, "wb"):
        pass
    write = lambda has, *words: run.bad(shard.command(*words, write=True), has)
    write("is empty", "value_load", empty, "/docs/[0]/a/b")
    write("cannot read", "value_load", empty + "none", "/docs/[0]/a/b")
    write("is no value", "value_load", "/etc/passwd", "/docs/[0]/a")
    write("not a whole number", "value_load", os.path.join(run.top, "small"),
          "/docs/[1]/small/DFS_INODE/{0-6}")
    write("whole shard goes with", "rm", "/")
    write("there is no /7", "rm", "/7")
    write("there is no /1/5.6.0", "rm", "/docs/5.6")
    write("DER_NONEXIST", "rm", "/docs/[1]/none")
    write("DER_NONEXIST", "rm", "/docs/[1]/small/none")


def check_editing(run, shard):
    value = os.path.join(run.top, "value")
    with open(value, "wb") as file:
        file.write(b"other word!")
    path, _ = extent_of_bytes(shard, 1 << 20)
    akey = path[:path.rindex("/")]
    run.good(shard.command("value_load", value, akey + "/{0-10}", write=True), has=b"11 bytes to ")
    expect(run, "an edited file", run.good(fs("cat", URL + "/big"))[:11], b"other word!")
    new = "/docs/[0]/a\\/b/{bin:0x00ff}"
    run.good(shard.command("value_load", value, new, write=True), has=b"11 bytes to ")
    run.good(shard.command("value_dump", new), has=b"other word!")
    run.good(shard.command("ls", "/docs/[0]"), has=b"a\\/b\n")
    run.good(shard.command("rm", new, write=True), has=b"removed /1/")
    run.bad(shard.command("value_dump", new), "holds no value")
    run.good(shard.command("value_load", value, new, write=True))
    run.good(shard.command("rm", "/docs/[0]/a\\/b", write=True), has=b"removed /1/")
    expect(run, "a removed dkey", "a\\/b" in shard.names("/docs/[0]"), False)
    run.good(shard.command("rm", akey + "/{0-10}", write=True), has=b"{0-10}\n")
    expect(run, "removed records are a hole", run.good(fs("cat", URL + "/big"))[:11], bytes(11))
    count = len(shard.names("/docs"))
    run.good(shard.command("value_load", value, "/docs/1.77/d/a", write=True))
    run.good(shard.command("rm", "/docs/1.77.0", write=True))
    expect(run, "a removed object", len(shard.names("/docs")), count)
    run.good(["cairn", "check"], has=b": clean\n")
    run.good(["daos", "cont", "create", "tank", "other", "--type", "POSIX"])
    run.good(shard.command("rm", "/other", write=True), has=b"`daos cont destroy`")
    expect(run, "a removed container", len(shard.names("/")), 1)
    run.good(["daos", "cont", "destroy", "tank", "other"])
    run.good(["cairn", "check"], has=b": clean\n")


def check_shell(run, shard):
    base = ["ddb", "--pool", "tank"]
    run.good(base, stdin=b"ls /\n# nothing\n\nls /[0]\nquit\nnope\n", has=b"[0] 1 ")
    run.good(["ddb"], stdin=f"open {shard.directory}\nls\nclose\n".encode(), has=b" docs\n")
    run.bad(["ddb"], "no shard is open", stdin=b"close\n")
    run.bad(base, "a quote is left open", stdin=b"ls '\n")
    run.bad(base, "a shard is open", stdin=b"ls\nopen /tmp\n", stdout=None)
    script = os.path.join(run.top, "script")
    with open(script, "w", encoding="ascii") as file:
        file.write("ls /docs\nls /none\nls /\n")
    done = run.bad(base + ["-f", script], "ends at line 2", stdout=None)
    expect(run, "lines after a failure do not run", b" docs\n" in done.stdout, False)
    with open(script, "w", encoding="ascii") as file:
        file.write("# good\nls /docs\nsuperblock_dump\n")
    run.good(base + ["-f", script], has=b"newest:")
    run.bad(base + ["-f", script + "none"], "cannot read")


def check_log(run, shard):
    """A shell that is killed after an edit: the log holds the record, and looking keeps it."""
    value = os.path.join(run.top, "value")
    with subprocess.Popen(shard.command(write=True), env=run.env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as shell:
        shell.stdin.write(f"value_load {value} /docs/1.99/logged/a\n".encode())
        shell.stdin.flush()
        shell.stdout.readline()
        shell.send_signal(signal.SIGKILL)
    before = shard.digest()
    run.good(shard.command("log_dump"), has=b"put /1/1.99.0/logged/a single  epoch ")
    log = shard.json("log_dump", "--values")
    expect(run, "records in the log", log["summary"]["records"], 1)
    change = log["writes"][0]["records"][0]["changes"][-1]
    expect(run, "its value", bytes.fromhex(change["value"]).endswith(b"other word!"), True)
    run.good(shard.command("log_dump", "-n", "0"), has=b"1 records more; raise --limit")
    run.good(shard.command("value_dump", "/docs/1.99/logged/a"), has=b"other word!")
    expect(run, "looking changes nothing", shard.digest() == before, True)
    run.good(shard.command("rm", "/docs/1.99", write=True))
    run.good(shard.command("log_dump"), has=b"0 records in 0 writes")


def check_holder(run, shard):
    with subprocess.Popen(shard.command(), env=run.env, stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        holder.stdin.write(b"ls\n")
        holder.stdin.flush()
        for _ in range(200):
            if has_open(holder.pid, shard.directory):
                break
            time.sleep(0.05)
        for command in (shard.command("ls"), ["ddb", "-s", shard.directory, "ls"],
                        ["cairn", "scrub"]):
            run.bad(command, str(holder.pid))
            run.bad(command, "DER_BUSY")
        holder.stdin.close()
        if holder.wait(30) != 0:
            run.failures.append("the holder failed")


def losses(run, command):
    done = run.bad(command + ["--json"], "is damaged", stdout=None)
    response = json.loads(done.stdout)["response"]
    return [loss for part in response["parts"] for loss in part["losses"]] if response else []


def check_damage(run, shard):
    run.good(["cairn", "check", "--losses"], stdout=b"nothing is lost\n")
    run.good(["cairn", "scrub"], has=b": clean\n")
    clean = json.loads(run.good(["cairn", "scrub", "-q", "--json"]))["response"]
    expect(run, "a clean scrub", clean["clean"], True)
    path, runs = extent_of_bytes(shard, 5 * 1024)
    offset = runs[0]["block"] * 4096 + 17
    shard.flip("data", offset)
    for command in (["cairn", "check", "-l"], ["cairn", "scrub", "-l"]):
        found = losses(run, command)
        expect(run, "one loss", len(found), 1)
        key = found[0]["key"] if found else {}
        expect(run, "its container", key.get("container_label"), "docs")
        expect(run, "its key", path.startswith(key.get("path", "?").split(" ")[0]), True)
        expect(run, "its records", found[0]["records"] if found else None,
               [{"from": 0, "to": 4095}])
        run.bad(command, "what is not listed", stdout=None)
        text = run.run(command).stdout
        expect(run, "the list", b"records 0-4095: data: the medium gave other bytes" in text, True)
    expect(run, "the exit status", run.run(["cairn", "scrub"]).returncode, 1)
    run.bad(fs("cat", URL + "/small"), "errno ", stdout=None)
    run.good(fs("ls", URL + "/small"), has=b"small\n")
    run.good(["cairn", "check", "-q"], has=b": clean\n")
    shard.flip("data", offset)
    root = shard.json("superblock_dump")["newest"]["root"]
    shard.flip("meta", root * 16384 + 999)
    found = losses(run, ["cairn", "check", "-l"])
    expect(run, "the root", [(f["page"], f["from"], f["to"]) for f in found], [(root, None, None)])
    run.bad(shard.command("ls"), "damaged")
    run.good(shard.command("superblock_dump"), has=b"newest:")
    shard.flip("meta", root * 16384 + 999)
    copies = shard.json("superblock_dump")["copies"]
    for copy in copies:
        shard.flip("meta", copy["offset"] + 100)
    done = run.bad(shard.command("--json", "superblock_dump"), "DER_CSUM", stdout=None)
    states = {c["state"] for c in json.loads(done.stdout)["response"]["copies"]}
    expect(run, "copies", states, {"damaged"})
    run.bad(["ddb", "-s", shard.directory, "ls"], "cannot")
    for copy in copies:
        shard.flip("meta", copy["offset"] + 100)
    run.good(["cairn", "check"], has=b": clean\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", required=True)
    with tempfile.TemporaryDirectory(prefix="cairn-ddb-") as top:
        run = Runner(parser.parse_args().bin, top)
        run.good(["dmg", "pool", "create", "--size", "200M", "tank"])
        run.good(["daos", "cont", "create", "tank", "docs", "--type", "POSIX"])
        big = os.urandom(3 << 20)
        run.good(fs("put", URL + "/big"), stdin=big)
        run.good(fs("put", URL + "/small"), stdin=b"small" * 1024)
        with open(os.path.join(top, "small"), "wb") as file:
            file.write(b"small" * 1024)
        shard = Shard(run)
        before = shard.digest()
        check_listing(run, shard)
        check_dumps(run, shard, big)
        expect(run, "looking changes nothing", shard.digest() == before, True)
        check_bad_input(run, shard)
        check_editing(run, shard)
        check_shell(run, shard)
        check_log(run, shard)
        check_holder(run, shard)
        check_damage(run, shard)
    for failure in run.failures:
        print("FAILED " + failure)
    print(f"{run.count} checks, {len(run.failures)} failures")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
