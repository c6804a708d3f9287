"""What SLURM says, in words for people: why it refuses a job, why a job waits. Imports nothing."""

from __future__ import annotations

from collections.abc import Mapping

from harness.text import for_terminal

ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
"""States of jobs that are no more. A job that SLURM puts back into the queue is PENDING."""

_REFUSED: Mapping[str, str] = {
    "invalid partition": "Name one that `sinfo` lists in `partition`",
    "Invalid account": "Name one that `sacctmgr show associations user=$USER` lists in `account`",
    "Invalid qos": "Name one of your account in `qos`",
    "Invalid feature": "Name features that `sinfo -o %f` lists in `constraint`",
    "Invalid generic resource": "Set `gpus` to what a node of the partition has, or to 0",
    "gres": "Set `gpus` to what a node of the partition has, or to 0",
    "node configuration": "Ask for less in `gpus`, `cpus` and `memory`, or name another partition",
    "CPU count": "Ask for less in `cpus`",
    "Memory specification": "Ask for less in `memory` (GB)",
    "time limit": "Ask for less in `minutes`: a job whose time is up goes on in another one",
    "job array": "Set `largest_array` to what the site allows",
}
"""What is written in an error of `sbatch`, and what to do about it; the first that fits counts."""

_TOO_MANY = ("MaxSubmit", "job submit limit", "MaxJobs", "QOSMaxSubmit", "AssocMaxSubmit")
_NOT_NOW = (
    "Unable to contact slurm",
    "Socket timed out",
    "temporarily unable",
    "Connection refused",
    "Connection timed out",
    "Zero Bytes were transmitted",
)

_WAITS: Mapping[str, str] = {
    "BadConstraints": "no node has what `constraint` and `sbatch` ask for",
    "InvalidAccount": "`account` is not allowed there",
    "InvalidQOS": "`qos` is not allowed there",
    "PartitionTimeLimit": "`minutes` is more than the partition allows",
    "PartitionNodeLimit": "the partition has no such node",
    "PartitionDown": "the partition is down",
    "DependencyNeverSatisfied": "what it depends on has failed",
    "JobHeldAdmin": "an administrator holds it",
    "JobHeldUser": "it is held: `scontrol release` lets it go",
    "AssocGrp": "your account has used up what it may",
    "AssocMax": "your account may not ask for as much",
    "QOSGrp": "the quality of service has used up what it may",
    "QOSMax": "the quality of service does not allow as much for one person",
    "ReqNodeNotAvail": "its nodes are away, perhaps for maintenance",
    "launch failed requeued held": "it could not be started, and is held",
}
"""Why a job waits, by how SLURM's reason begins, where it will not start soon by itself."""


def is_too_many(said: str) -> bool:
    """Whether SLURM refuses a job because there are too many of that person's."""
    return any(word in said for word in _TOO_MANY)


def is_for_now(said: str) -> bool:
    """Whether SLURM could not be reached, and may be later."""
    return any(word in said for word in _NOT_NOW)


def quoted(said: str) -> str:
    """What a command has said, on one line."""
    return for_terminal(" ".join(said.replace("sbatch: error: ", "").split()), 300)


def refusal(said: str) -> str:
    """The message where `sbatch` refuses jobs."""
    does = next((hint for word, hint in _REFUSED.items() if word.lower() in said.lower()), "")
    if is_too_many(said):
        does = "Wait until your other jobs have ended, or set fewer `workers`"
    does = does or "Change [executor] as it says"
    return (
        f"[executor] slurm: sbatch refuses the jobs: {quoted(said) or 'it says nothing'}. {does}, "
        "and run the same command again: what was computed is kept."
    )


def waits(reason: str) -> str:
    """Why a job will not start soon by itself; empty where it is only waiting for its turn."""
    return next((text for word, text in _WAITS.items() if reason.startswith(word)), "")
