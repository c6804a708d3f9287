"""A stand-in for SLURM: its commands on the path, which run jobs as processes of this machine.

`sbatch` starts a process that watches over one array: it starts its elements, `%` at a time, sends
signals before their time is up, and keeps their states in a file that `squeue` and `sacct` read.
`scancel`, `scontrol requeue` and tests leave it requests. Nothing of the package is imported.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

COMMANDS = ("sbatch", "srun", "squeue", "sacct", "scontrol", "scancel")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY")


def write(file: Path, data: object) -> None:
    partial = file.with_name(f".{file.name}.{os.getpid()}")
    partial.write_text(json.dumps(data))
    partial.replace(file)


class StandIn:
    """What a test does to the stand-in."""

    def __init__(self, home: Path, **config: object) -> None:
        self.home = home
        self.bin = home / "bin"
        for folder in (self.bin, home / "jobs", home / "requests"):
            folder.mkdir(parents=True)
        for command in COMMANDS:
            script = self.bin / command
            script.write_text(
                f"#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S {shlex.quote(__file__)} "
                f'{shlex.quote(str(home))} {command} "$@"\n'
            )
            script.chmod(0o755)
        self.configure(**config)

    def configure(self, **config: object) -> None:
        """Sets what the site is like; see `defaults`."""
        write(self.home / "config.json", config)

    def states(self) -> dict[str, dict[str, object]]:
        """All jobs, by number."""
        found: dict[str, dict[str, object]] = {}
        for file in sorted((self.home / "jobs").glob("*.json")):
            found |= json.loads(file.read_text())
        return found

    def request(self, job: str, what: str) -> None:
        """Has something happen to a job: preempt, time_up, node_fail (it is put back
        into the queue), node_lost (it isn't), fail, oom, cancel, requeue."""
        (self.home / "requests" / f"{job}.{what}").touch()

    def calls(self, command: str) -> int:
        """How often a command was called."""
        log = self.home / "calls"
        return log.read_text().split().count(command) if log.exists() else 0

    def wait(self, state: str, job: str = "", seconds: float = 20.0) -> str:
        """Waits until a job has a state, and gives back its number."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, told in self.states().items():
                if told["state"] == state and job in ("", name):
                    return name
            time.sleep(0.02)
        raise AssertionError(f"no {job or 'job'} is {state}: {self.states()}")

    def close(self) -> None:
        """Ends everything."""
        (self.home / "stop").touch()
        end = time.monotonic() + 10
        while time.monotonic() < end and list((self.home / "jobs").glob("*.watched")):
            time.sleep(0.02)


class Site:
    """What the commands know."""

    defaults = {  # noqa: RUF012
        "max_array_size": 1001, "partitions": ["main"], "max_submit": 10_000,
        "kill_wait": 2.0, "min_job_age": 300.0, "refuse": "", "hidden": False, "reason": "",
        "silent": False,
    }  # fmt: skip

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = {**self.defaults, **json.loads((home / "config.json").read_text())}

    def jobs(self, ids: list[str]) -> dict[str, dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        for array in sorted({one.partition("_")[0] for one in ids}):
            file = self.home / "jobs" / f"{array}.json"
            if file.exists():
                told = json.loads(file.read_text())
                found |= {n: it for n, it in told.items() if {n, array} & {*ids}}
        return found

    def all(self) -> dict[str, dict[str, object]]:
        return self.jobs([file.stem for file in (self.home / "jobs").glob("*.json")])


def fail(text: str) -> int:
    print(text, file=sys.stderr)
    return 1


def sbatch(site: Site, args: list[str]) -> int:
    script = Path(args[-1]).read_text()
    asked: dict[str, str] = {}
    for line in re.findall(r"^#SBATCH (.*)$", script, re.MULTILINE):
        name, _, value = shlex.split(line)[0].removeprefix("--").partition("=")
        asked[name] = value
    config = site.config
    wrong = "sbatch: error: Batch job submission failed: "
    if config["refuse"]:
        return fail(f"sbatch: error: {config['refuse']}")
    if asked.get("partition", config["partitions"][0]) not in config["partitions"]:
        return fail(
            f"sbatch: error: invalid partition specified: {asked['partition']}\n"
            f"{wrong}Invalid partition name specified"
        )
    count, at_once = 1, 1
    if "array" in asked:
        last, at_once = map(int, re.fullmatch(r"0-(\d+)%(\d+)", asked["array"]).groups())
        count = last + 1
        if last >= config["max_array_size"]:
            return fail(f"{wrong}Invalid job array specification")
    here = sum(job["state"] not in ENDED for job in site.all().values())
    if here + count > config["max_submit"]:
        return fail(
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
            f"{wrong}Job violates accounting/QOS policy (job submit limit, user's size "
            "and/or time limits)"
        )
    number = str(101 + len(list((site.home / "jobs").glob("*.json"))))
    names = [f"{number}_{k}" for k in range(count)] if "array" in asked else [number]
    jobs = {name: {"state": "PENDING", "reason": "Resources", "restarts": 0} for name in names}
    write(site.home / "jobs" / f"{number}.json", jobs)
    write(site.home / "jobs" / f"{number}.asked", {**asked, "at_once": at_once})
    (site.home / "jobs" / f"{number}.sh").write_text(script)  # SLURM copies it, too
    (site.home / "jobs" / f"{number}.watched").touch()
    subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(site.home), "watch", number],
        start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    print(f"Submitted batch job {number}")
    return 0


def srun(site: Site, args: list[str]) -> int:
    """Becomes its command, as a step whose process the watcher knows."""
    at, paths = 0, {}
    while args[at].startswith("--"):
        name, equals, value = args[at].removeprefix("--").partition("=")
        if not equals and name in ("output", "error"):
            at += 1
            value = args[at]
        paths[name] = value
        at += 1
    environ = {**os.environ, "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}
    for name, number in (("output", 1), ("error", 2)):
        file = Path(named(paths[name], os.environ).replace("%t", "0"))
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), number)
    (site.home / "jobs" / f"{os.environ['STAND_IN_JOB']}.step").write_text(str(os.getpid()))
    os.execvpe(args[at], args[at:], environ)


def named(path: str, env: dict[str, str] | os._Environ[str]) -> str:
    """A path with the numbers of a job."""
    array, element = env.get("SLURM_ARRAY_JOB_ID", ""), env.get("SLURM_ARRAY_TASK_ID", "")
    job = env["SLURM_JOB_ID"]
    return path.replace("%A", array).replace("%a", element).replace("%j", job)


def squeue(site: Site, args: list[str]) -> int:
    if site.config["silent"]:
        return fail("slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    ids = args[args.index("-j") + 1].split(",")
    ages = time.time() - site.config["min_job_age"]
    found = {n: it for n, it in site.jobs(ids).items() if it.get("ended", ages + 1) > ages}
    if not found and len(ids) == 1:
        return fail("slurm_load_jobs error: Invalid job id specified")
    form = args[args.index("-o") + 1]
    for name, told in found.items():
        reason = str(told["reason"] or "None")
        print(form.replace("%i", name).replace("%T", str(told["state"])).replace("%r", reason))
    return 0


def sacct(site: Site, args: list[str]) -> int:
    ids = [one for place, one in enumerate(args) if place and args[place - 1] == "-j"]
    columns = args[args.index("-o") + 1].split(",")
    if "-n" not in args:
        print("|".join(columns))
    for name, told in site.jobs([one for given in ids for one in given.split(",")]).items():
        word = str(told["state"])
        word = f"{word} by 1000" if word == "CANCELLED" else word
        row = {"JobID": name, "State": word, "NodeList": "node-1"}
        print("|".join(row[column] for column in columns))
        if "-X" not in args:
            print("|".join({**row, "JobID": f"{name}.batch"}[column] for column in columns))
    return 0


def scontrol(site: Site, args: list[str]) -> int:
    if args[:2] == ["show", "config"]:
        print("Configuration data as of 2026-11-28T23:00:00")
        print(f"MaxArraySize            = {site.config['max_array_size']}")
        print("MaxJobCount             = 10000")
        return 0
    if args[0] == "requeue" and site.jobs([args[1]]):
        (site.home / "requests" / f"{args[1]}.requeue").touch()
        return 0
    return fail("Invalid job id specified")


def scancel(site: Site, args: list[str]) -> int:
    for job in args:
        if not (found := site.jobs([job])):
            return fail(f"scancel: error: Invalid job id {job}")
        for name in found:
            (site.home / "requests" / f"{name}.cancel").touch()
    return 0


class Watcher:
    """What slurmctld and slurmd do for one array."""

    def __init__(self, site: Site, number: str) -> None:
        self.site = site
        self.number = number
        self.file = site.home / "jobs" / f"{number}.json"
        self.jobs = json.loads(self.file.read_text())
        self.asked = json.loads(self.file.with_suffix(".asked").read_text())
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.ends: dict[str, float] = {}
        self.kill_at: dict[str, tuple[float, str]] = {}
        self.warned: set[str] = set()

    def watch(self) -> None:
        while any(job["state"] not in ENDED for job in self.jobs.values()):
            if (self.site.home / "stop").exists():
                for name in [*self.running]:
                    self.kill(name)
                break
            self.site = Site(self.site.home)
            for request in sorted((self.site.home / "requests").glob(f"{self.number}*")):
                name, _, what = request.name.rpartition(".")
                if name in self.jobs:
                    request.unlink()
                    self.happens(name, what)
            self.look()
            waiting = [n for n, job in self.jobs.items() if job["state"] == "PENDING"]
            for name in waiting[: max(0, self.asked["at_once"] - len(self.running))]:
                self.start(name)
            write(self.file, self.jobs)
            time.sleep(0.02)
        write(self.file, self.jobs)
        self.file.with_suffix(".watched").unlink()

    def happens(self, name: str, what: str) -> None:
        job = self.jobs[name]
        if name not in self.running:
            if what == "cancel" and job["state"] == "PENDING":
                self.end(name, "CANCELLED")
            return
        if what == "cancel":
            self.signal(name, signal.SIGTERM)
            self.kill_at[name] = (time.time() + self.site.config["kill_wait"], "CANCELLED")
        elif what == "preempt":  # no grace: a site without GraceTime
            self.signal(name, signal.SIGTERM)
            self.kill(name)
            self.end(name, "PREEMPTED", again=True)
        elif what == "time_up":  # 2 s from now, and the signal comes now
            self.ends[name] = time.time() + 2.0
            self.send_signal(name)
        elif what == "requeue":
            self.kill_at[name] = (time.time() + 0.3, "requeue")
        elif what == "node_fail":
            self.kill(name)
            self.end(name, "NODE_FAIL", again=True)
        elif what == "node_lost":  # and JobRequeue=0
            self.kill(name)
            self.end(name, "NODE_FAIL")
        else:
            self.kill(name)
            self.end(name, {"fail": "FAILED", "oom": "OUT_OF_MEMORY"}[what])

    def start(self, name: str) -> None:
        config, job = self.site.config, self.jobs[name]
        if config["reason"] or job.get("begin", 0) > time.time():
            job["reason"] = config["reason"] or "BeginTime"
            return
        if config["hidden"]:  # slurmd cannot open the file for output
            self.end(name, "FAILED")
            return
        array, _, element = name.partition("_")
        env = {
            **os.environ,
            "STAND_IN_JOB": name,
            "SLURM_JOB_ID": str(9000 + int(element)) if element else array,
            "SLURM_NTASKS": "1",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURM_JOB_NODELIST": "node-1",
            "SLURM_RESTART_COUNT": str(job["restarts"]),
        }
        if element:
            env |= {"SLURM_ARRAY_JOB_ID": array, "SLURM_ARRAY_TASK_ID": element}
        script = self.file.with_suffix(".sh")
        with (
            Path(named(self.asked["output"], env)).open("ab") as out,
            Path(named(self.asked["error"], env)).open("ab") as err,
        ):
            self.running[name] = subprocess.Popen(
                ["bash", str(script)], env=env, stdout=out, stderr=err, start_new_session=True
            )
        self.ends[name] = time.time() + 60.0 * float(self.asked["time"])
        self.warned.discard(name)
        job |= {"state": "RUNNING", "reason": "None"}

    def look(self) -> None:
        for name, process in [*self.running.items()]:
            due, word = self.kill_at.get(name, (float("inf"), ""))
            before = float(self.asked["signal"].partition("@")[2])
            early = self.ends[name] - before
            if process.poll() is not None:
                code = process.returncode
                state = word or ("COMPLETED" if code == 0 else "FAILED")
                self.end(name, "requeue" if word == "requeue" else state, word == "requeue")
            elif time.time() > due or time.time() > self.ends[name]:
                self.kill(name)
                self.end(name, word or "TIMEOUT", word == "requeue")
            elif name not in self.warned and time.time() > early:
                self.send_signal(name)

    def end(self, name: str, state: str, again: bool = False) -> None:
        self.running.pop(name, None)
        self.kill_at.pop(name, None)
        job = self.jobs[name]
        if again and "requeue" in self.asked:
            job |= {"state": "PENDING", "reason": "BeginTime", "begin": time.time() + 0.3}
            job["restarts"] += 1
        else:
            job |= {"state": state, "reason": "None", "ended": time.time()}

    def signal(self, name: str, number: int) -> None:
        """To the step, not to the script: so it is without `B:`."""
        with suppress(OSError, ValueError):
            os.kill(int((self.site.home / "jobs" / f"{name}.step").read_text()), number)

    def send_signal(self, name: str) -> None:
        """What `--signal` asks for."""
        self.warned.add(name)
        self.signal(name, getattr(signal, f"SIG{self.asked['signal'].partition('@')[0]}"))

    def kill(self, name: str) -> None:
        process = self.running[name]
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def main(home: str, command: str, *args: str) -> int:
    site = Site(Path(home))
    if command == "watch":
        Watcher(site, args[0]).watch()
        return 0
    with (site.home / "calls").open("a") as calls:
        calls.write(f"{command}\n")
    run = {
        "sbatch": sbatch, "srun": srun, "squeue": squeue,
        "sacct": sacct, "scontrol": scontrol, "scancel": scancel,
    }[command]  # fmt: skip
    return run(site, list(args))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
