"""Photos that change, break or are lost, memory and disks that are full, and what the next run makes of it."""

import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
from plan_runs import make_home, outcome, rows_of, run_again, run_home

from segrobust.benchmark.plans import bench, making, scoring
from segrobust.benchmark.plans.store import Store
from segrobust.errors import MissingError


def test_a_lost_photo_of_an_attack_is_made_again(copy: Path) -> None:
    before = outcome(copy / "out")
    lost = next((copy / "out" / "objects").rglob("*.png"))
    lost.unlink()
    assert len(run_again(copy)) in (1, 2)  # a guide map is made with its attack, and not asked for again
    if lost.exists():
        assert outcome(copy / "out") == before


def test_a_changed_photo_is_done_again_and_the_others_are_not(patched: None, tmp_path: Path) -> None:
    home = make_home(tmp_path, 2)
    run_home(home)
    pixels = 255 - np.array(PIL.Image.open(home / "photos" / "p1.png"))
    PIL.Image.fromarray(pixels).save(home / "photos" / "p1.png")
    again = run_home(home)
    assert again
    assert all(what.startswith("p1") for what in again)
    run_home(home, out="whole")
    assert (home / "out" / "results.json").read_bytes() == (home / "whole" / "results.json").read_bytes()


def test_a_broken_photo_is_failed_rows_and_the_rest_goes_on(patched: None, tmp_path: Path) -> None:
    home = make_home(tmp_path, 2)
    (home / "photos" / "p0.png").write_bytes(b"no photo")
    (home / "photos" / "p1.json").write_text("{}")
    run_home(home)
    found = rows_of(home / "out")
    failed = [row for row in found if not row.done]
    assert {(row.image, row.protocol) for row in failed} == {
        ("p0", "annotation"), ("p0", "clean"), ("p0", "everything"), ("p1", "annotation")
    }  # fmt: skip
    assert len(found) == 2 * 2 * 15 * 3
    assert all("p0.png" in str(row.error) for row in failed if row.image == "p0")
    make_home(tmp_path, 2)
    assert run_home(home)
    assert all(row.done for row in rows_of(home / "out"))


def test_out_of_memory_halves_the_batch_then_is_a_failure(
    patched: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, tried, freed = make_home(tmp_path, 1), [], []
    attack, score = making.attack, scoring.compare

    def greedy(*given: Any, encoder_batch: int | None, **rest: Any) -> Any:
        tried.append(encoder_batch)
        if given[2].name == "rga-untargeted" and (given[2].steps == 2 or encoder_batch is None):
            raise torch.OutOfMemoryError("CUDA out of memory")
        return attack(*given, encoder_batch=encoder_batch, **rest)

    def full(model: Any, *given: Any, everything: Any) -> Any:
        if everything.points_per_batch > 16:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return score(model, *given, everything=everything)

    monkeypatch.setattr(making, "attack", greedy)
    monkeypatch.setattr(scoring, "compare", full)
    monkeypatch.setattr(bench, "free_memory", lambda: freed.append(len(tried)))  # a collection takes long here
    run_home(home)
    assert Counter(tried) == Counter([None] * 8 + [4, 2, 1] * 2 + [4] * 2)  # two attacks, each oblivious and adaptive
    again = [number for number, batch in enumerate(tried) if batch]
    assert set(again) <= set(freed), "memory is freed before each further try"
    found = rows_of(home / "out")
    assert {row.attack for row in found if not row.done} == {"away[steps=2]"}
    assert all("out of memory" in str(row.error) for row in found if not row.done)
    notes = {row.attack: row.made["notes"] for row in found if row.done and row.made}
    assert notes["away[steps=3]"] == ["out of memory: tried again with a batch of 4"]


def test_a_full_disk_ends_the_run_and_the_next_one_finishes_it(
    patched: None, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_home(tmp_path)
    put_all = Store.put_all

    def fills(self: Store, records: Any) -> None:
        self._base.execute("PRAGMA max_page_count = 60")
        put_all(self, records)

    monkeypatch.setattr(Store, "put_all", fills)
    with pytest.raises(MissingError, match="database or disk is full; the same command continues"):
        run_home(other)
    monkeypatch.setattr(Store, "put_all", put_all)
    assert run_home(other)
    there, here = (json.loads((root / "out/results.json").read_text()) for root in (home, other))
    assert there["cells"] == here["cells"]


def test_a_run_killed_while_its_store_was_made_begins_again(home: Path, tmp_path: Path) -> None:
    make_home(tmp_path)
    out = tmp_path / "out"
    run_home(tmp_path, "whole")
    out.mkdir()
    shutil.copy(tmp_path / "whole" / "plan.yaml", out)
    base = sqlite3.connect(out / "store.sqlite")
    base.execute("PRAGMA journal_mode=WAL")  # and then the power went
    base.close()
    run_home(tmp_path)
    assert outcome(out) == outcome(tmp_path / "whole")
