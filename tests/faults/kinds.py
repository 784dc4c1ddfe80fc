"""Every kind of trial by its name, and one trial of it: seeded, so that a fault is found again by its kind and seed."""

from __future__ import annotations

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import beside
import damage
import places
import trials
from lab import Fault, Scene
from trials import Trial

ALL = ("first", "second", "several")
THERE = ("second", "several")  # an index is there already


@dataclass(frozen=True)
class Kind:
    trial: Trial
    scenes: tuple[str, ...] = ALL


GROUPS: dict[str, dict[str, Kind]] = {
    "kills": {
        "kill -9 at a step": Kind(trials.killed_at_a_step),
        "kill -9 at a system call": Kind(trials.killed_at_a_call),
        "kill -9 by the clock": Kind(trials.killed_by_the_clock),
        "kill -9 again and again": Kind(trials.killed_again_and_again),
        "SIGTERM or SIGINT": Kind(trials.stopped),
    },
    "damages": {"damage": Kind(damage.damage, THERE)},
    "full disk": {"full disk": Kind(trials.full_disk)},
    "writer races": {
        "two writers at once": Kind(trials.raced),
        "a writer overtaken": Kind(trials.overtaken),
    },
    "reader checks": {
        "readers in a loop": Kind(beside.looped),
        "a reader at every moment": Kind(beside.between),
        "a reader held up": Kind(beside.held),
        "a reader overtaken": Kind(beside.reader_overtaken),
    },
    "power cuts": {"power cut": Kind(trials.cut_off)},
    "refusals": {
        "error at a step": Kind(trials.refused_at_a_step),
        "error at a system call": Kind(trials.refused_at_a_call),
    },
    "places": {
        "carried elsewhere": Kind(places.carry, THERE),
        "read-only": Kind(places.read_only, THERE),
        "a strange clock": Kind(places.strange_clock),
        "a stale LOCK": Kind(places.stale_lock, THERE),
        "files lying about": Kind(places.leftovers, THERE),
    },
}
KINDS = {name: kind for group in GROUPS.values() for name, kind in group.items()}


@dataclass(frozen=True)
class Outcome:
    """`word` says what was found; `column` is one of lab.COLUMNS when it was a fault, else empty."""

    kind: str
    seed: int
    scene: str
    word: str
    column: str = ""

    def __str__(self) -> str:
        return f"{self.kind}, seed {self.seed}, scene {self.scene!r}: {self.column} {self.word}"


def run(kind: str, seed: int, scenes: Mapping[str, Scene], folder: Path) -> Outcome:
    """One trial in a new folder below `folder`, which is gone afterwards. Raises nothing that the trial is about."""
    rng = random.Random(f"{kind} {seed}")
    scene = scenes[rng.choice(KINDS[kind].scenes)]
    place = folder / f"{seed}"
    try:
        return Outcome(kind, seed, scene.name, KINDS[kind].trial(rng, scene, place / "trial"))
    except Fault as fault:
        return Outcome(kind, seed, scene.name, fault.message, fault.column)
    except Exception as error:
        return Outcome(kind, seed, scene.name, repr(error), "crash")
    finally:
        shutil.rmtree(place, ignore_errors=True)
