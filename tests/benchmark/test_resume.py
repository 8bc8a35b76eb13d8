import json
from pathlib import Path

import pytest
from runs import Silent, configure, make_photo, numbers, pictures, records

import segrobust.benchmark.items
import segrobust.benchmark.run
from segrobust.benchmark.config import read_config
from segrobust.benchmark.run import run
from segrobust.errors import MissingError, UsageError
from segrobust.io.files import atomic_write_bytes


def test_the_configuration_runs_again_to_the_same_files(finished: Path, tmp_path: Path) -> None:
    run(read_config(finished / "config.yaml"), tmp_path / "again", Silent())
    assert pictures(tmp_path / "again") == pictures(finished)
    assert numbers(tmp_path / "again") == numbers(finished)


def test_a_photo_does_not_depend_on_the_others(finished: Path, tiny_model: Path, tmp_path: Path) -> None:
    photo = finished.parent / "b.png"
    run(configure(tiny_model, photo), tmp_path / "alone", Silent())
    alone, together = pictures(tmp_path / "alone"), pictures(finished)
    assert len(alone) == 7
    assert all(together[name] == data for name, data in alone.items())
    other = run(configure(tiny_model, photo, seed=1), tmp_path / "seed", Silent())
    assert other["seed"] == 1
    assert not any(together[name] == data for name, data in pictures(tmp_path / "seed").items() if "adv" in name)


def test_a_finished_run_is_not_done_again(tiny_model: Path, tmp_path: Path) -> None:
    config = configure(tiny_model, make_photo(tmp_path / "a.png"))
    first, second = Silent(), Silent()
    run(config, tmp_path / "out", first)
    before = (tmp_path / "out" / "samples.jsonl").read_bytes()
    run(config, tmp_path / "out", second)
    assert first.items == ["1/3 a clean", "2/3 a noise", "3/3 a rga"]
    assert second.items == []
    assert (tmp_path / "out" / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize("damage", ["cut line", "no last line", "no png", "no guide", "no prompts", "null bytes"])
def test_a_damaged_run_is_repaired(finished: Path, tiny_model: Path, tmp_path: Path, damage: str) -> None:
    out, photo = tmp_path / "out", finished.parent / "b.png"
    run(configure(tiny_model, photo), out, Silent())
    whole, values = pictures(out), numbers(out)
    lines = (out / "samples.jsonl").read_bytes().splitlines(keepends=True)
    if damage == "cut line":
        (out / "samples.jsonl").write_bytes(b"".join(lines)[:-40])
    elif damage == "no last line":
        (out / "samples.jsonl").write_bytes(b"".join(lines[:-1]))
    elif damage == "null bytes":
        (out / "samples.jsonl").write_bytes(lines[0] + b"\0" * 300)
    else:
        place = {"no png": "adv/b.noise.png", "no guide": "guide/b.png", "no prompts": "prompts/b.json"}[damage]
        (out / place).unlink()
    (out / "results.json").unlink()
    listener = Silent()
    run(configure(tiny_model, photo), out, listener)
    assert len(listener.items) == {"null bytes": 2, "no prompts": 3}.get(damage, 1)
    assert pictures(out) == whole
    assert numbers(out) == values


def test_leftovers_of_a_kill_are_removed(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    for place in (out, out / "adv"):
        with monkeypatch.context() as patch:
            patch.setattr(Path, "unlink", lambda *_, **__: None)  # as if killed in the middle of the write
            patch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                atomic_write_bytes(place / "x.png", b"half")
        assert list(place.glob(".*"))
        run(configure(tiny_model, make_photo(tmp_path / "a.png")), out, Silent())
        assert not list(out.rglob(".*"))


def test_a_changed_photo_is_done_again_in_all_rows(tiny_model: Path, tmp_path: Path) -> None:
    config = configure(tiny_model, make_photo(tmp_path / "a.png", 1))
    run(config, tmp_path / "out", Silent())
    run(configure(tiny_model, make_photo(tmp_path / "a.png", 2)), tmp_path / "out", Silent())
    run(config, tmp_path / "fresh", Silent())
    assert pictures(tmp_path / "out") == pictures(tmp_path / "fresh")


def test_another_configuration_is_refused_and_named(finished: Path) -> None:
    config = read_config(finished / "config.yaml")
    before = pictures(finished)
    other = config.model_copy(update={"seed": 3, "eps": "4/255"})
    with pytest.raises(UsageError, match=r"another run \(eps, seed: eps is '8/255' there, '4/255' here\)"):
        run(other, finished, Silent())
    assert pictures(finished) == before


def test_another_model_under_the_same_name_is_refused(tiny_model: Path, tmp_path: Path, golden: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes((tiny_model / name).read_bytes())
    config = configure(model, make_photo(tmp_path / "a.png"))
    run(config, tmp_path / "out", Silent())
    settings = json.loads((model / "config.json").read_text())
    settings["everything"]["points_per_side"] = 1
    (model / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UsageError, match=r"other circumstances \(everything"):
        run(config, tmp_path / "out", Silent())


def test_a_foreign_folder_is_refused_and_left_alone(tiny_model: Path, tmp_path: Path) -> None:
    photo = make_photo(tmp_path / "photos" / "a.png")
    with pytest.raises(UsageError, match="not empty"):
        run(configure(tiny_model, photo), photo.parent, Silent())
    assert list(photo.parent.iterdir()) == [photo]
    (tmp_path / "config.yaml").write_text("seed: 1\nlearning_rate: 2\n")
    with pytest.raises(UsageError, match="unknown key 'learning_rate'"):
        run(configure(tiny_model, photo), tmp_path, Silent())


@pytest.mark.parametrize("name", ["file", "file/under", "x" * 300])
def test_an_impossible_folder(tiny_model: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MissingError, match=r"^cannot make the output folder [^\n]*$"):
        run(configure(tiny_model, make_photo(tmp_path / "a.png")), tmp_path / name, Silent())
    assert (tmp_path / "file").read_text() == "mine"


def test_an_unexpected_failure_of_one_item_is_recorded(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = segrobust.benchmark.items.attack

    def broken(model, image, recipe, **rest):  # type: ignore[no-untyped-def]
        if recipe.name == "rga" and image.name == "a":
            raise RuntimeError("the encoder\nmelted")
        return genuine(model, image, recipe, **rest)

    photos = [make_photo(tmp_path / f"{stem}.png", seed) for seed, stem in enumerate("ab")]
    with monkeypatch.context() as patch:
        patch.setattr(segrobust.benchmark.items, "attack", broken)
        results = run(configure(tiny_model, *photos), tmp_path / "out", Silent())
    assert results["failures"] == [
        {"image": "a", "photo": "a.png", "attack": "rga", "error": "RuntimeError: the encoder melted"}
    ]
    assert [r["state"] for r in records(tmp_path / "out")] == ["done", "done", "failed", "done", "done", "done"]
    assert "Traceback" in (tmp_path / "out" / "log.txt").read_text()
    rga = results["rows"][2]
    assert (rga["photos"], rga["failed"], rga["clean_reference"]["photos"]) == (1, 1, 1)
    listener = Silent()
    assert run(configure(tiny_model, *photos), tmp_path / "out", listener)["failures"] == []
    assert listener.items == ["3/6 a rga"]  # a failure is tried again


def test_a_full_disk_ends_the_run_instead_of_blaming_the_photos(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MissingError("cannot write a.png: No space left on device")

    config = configure(tiny_model, make_photo(tmp_path / "a.png"))
    with monkeypatch.context() as patch:
        patch.setattr(segrobust.benchmark.items, "write_png", full)
        with pytest.raises(MissingError, match="No space left"):
            run(config, tmp_path / "out", Silent())
    assert [r["state"] for r in records(tmp_path / "out")] == ["done"]
    assert run(config, tmp_path / "out", Silent())["failures"] == []
