"""A work list in a folder: several processes, on one machine or many, share it; what is done stays done.

Each training has a lock file. The operating system frees the lock of a process that ended, however it ended, so a lock
never goes stale; processes that share the folder need a file system with working locks (NFS 4 and local ones have them).
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from nnunetv2_lwi.comparison.results import is_done, read_result
from nnunetv2_lwi.comparison.workplace import Workplace
from nnunetv2_lwi.errors import UserError
from nnunetv2_lwi.one_writer import OneWriter, require_no_writer

SECONDS_BETWEEN_LOOKS = 5.0

Execute = Callable[[Workplace], None]


@dataclass
class WorkList:
    """Trainings in their order, each step 1 before what starts from it.

    Attributes:
        names: for people, by the training's key.
        execute: does one training and writes its ``result``. Whatever it raises ends that training and not the list:
            memory or a file that one training's scoring lacks are no reason not to do the others.
        say: prints a line.
    """

    places: Sequence[Workplace]
    names: Mapping[str, str]
    execute: Execute
    say: Callable[[str], None]
    failures: dict[str, str] = field(default_factory=dict)
    done_here: set[str] = field(default_factory=set)
    _told_of_locks: bool = False

    def run(self) -> None:
        """Do what is not done yet and wait for what other processes do.

        Raises:
            UserError: a training failed; the others were done nevertheless.
        """
        waits = False
        while self.unfinished():
            if self._do_one():
                waits = False
            elif left := self.unfinished():
                if not waits:
                    self.say(f"Waiting: other processes do what is left, {len(left)} trainings.")
                waits = True
                time.sleep(SECONDS_BETWEEN_LOOKS)
        if self.failures:
            listed = "; ".join(f"{name}: {reason}" for name, reason in self.failures.items())
            raise UserError(f"{len(self.failures)} trainings failed. Call the same command to try them again. {listed}")

    def unfinished(self) -> list[Workplace]:
        """What is neither done nor failed nor waits for what failed.

        What this process did stays done: another, whose test cases are others, may score it again and again.
        """
        return [place for place in self.places if not (self._done(place) or self._failed(place))]

    def _done(self, place: Workplace) -> bool:
        return place.training.key in self.done_here or is_done(place)

    def _failed(self, place: Workplace) -> bool:
        after = place.training.after
        keys = {place.training.key} | ({after.key} if after else set())
        return any(self.names[key] in self.failures for key in keys)

    def _do_one(self) -> bool:
        """Whether there was a training that nobody else does."""
        for place in self.unfinished():
            if not self._ready(place):
                continue
            place.folder.mkdir(parents=True, exist_ok=True)
            writer = OneWriter(place.folder, place.lock.name)
            try:
                self._tell_of_locks(writer.acquire())
            except UserError:
                continue
            try:
                if not is_done(place):
                    self._do(place)
                    return True
            finally:
                writer.release()
        return False

    def _tell_of_locks(self, there: bool) -> None:
        if not there and not self._told_of_locks:
            self.say("The file system has no locks: call this command in one process at a time.")
            self._told_of_locks = True

    def _ready(self, place: Workplace) -> bool:
        after = place.training.after
        return after is None or any(other.training.key == after.key and is_done(other) for other in self.places)

    def _do(self, place: Workplace) -> None:
        name = self.names[place.training.key]
        what = "scoring" if place.result.is_file() else f"{place.training.iterations} iterations"
        self.say(f"{self._state()} Now: {name}, {what}.")
        try:
            self.execute(place)
            if not is_done(place):
                raise UserError(f"some cases have no score (see {place.log})")
            self.done_here.add(place.training.key)
        except UserError as error:
            self._failed_for(name, error.reason)
        except Exception as error:
            with contextlib.suppress(OSError), place.log.open("a", encoding="utf-8") as log:
                log.write(traceback.format_exc())
            self._failed_for(name, f"{type(error).__name__}: {error} (all of it: {place.log})")

    def _failed_for(self, name: str, reason: str) -> None:
        self.failures[name] = reason
        self.say(f"FAILED: {name}: {reason}")

    def _state(self) -> str:
        left = self.unfinished()
        done = [place for place in self.places if is_done(place)]
        text = f"[{datetime.now():%Y-%m-%d %H:%M}] {len(done)} of {len(self.places)} trainings done, {len(left)} left"
        if not done:
            return f"{text}."
        seconds = (
            sum(place.training.iterations for place in left if not place.result.is_file())
            * seconds_an_iteration(done)
            / self._workers(left)
        )
        end = datetime.now() + timedelta(seconds=seconds)
        return f"{text}, ends about {end:%Y-%m-%d %H:%M}."

    def _workers(self, left: Sequence[Workplace]) -> int:
        """How many processes, this one among them, hold a lock now."""
        return 1 + sum(map(_held_by_another, left))


def seconds_an_iteration(done: Sequence[Workplace]) -> float:
    """Of finished trainings, whoever ran them, their scoring included."""
    results = list(filter(None, map(read_result, done)))
    seconds = sum(result["seconds"] + result.get("scoring_seconds", 0) for result in results)
    return float(seconds / sum(result["iterations"] for result in results))


def _held_by_another(place: Workplace) -> bool:
    try:
        require_no_writer(place.folder, place.lock.name)
    except UserError:
        return True
    return False
