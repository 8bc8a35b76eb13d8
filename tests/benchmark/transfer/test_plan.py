from pathlib import Path
from typing import Any

import pytest

from segrobust.benchmark.settings import Settings, parse_settings
from segrobust.benchmark.transfer.plan import TransferPlan, dump_plan, file_names, read_plan
from segrobust.errors import UsageError

SMALL: dict[str, Any] = {"photos": ["a.png"], "surrogates": ["nano"], "targets": ["nano", "nano-vit"]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"surogates": ["x"]}, "here: unknown key 'surogates'; did you mean 'surrogates'?"),
        ({"prompts": {"mask": 1}}, "here: unknown key 'prompts.mask'; did you mean 'masks'?"),
        ({"model": "nano"}, "here: unknown key 'model'"),
        ({"surrogates": []}, "here: surrogates: "),
        ({"targets": "nano"}, "here: targets: Input should be a valid tuple, got 'nano'"),
        ({"prompts_from": "nano-vit"}, "prompts_from must be one of the surrogates (nano), got 'nano-vit'"),
        ({"load": {"nano-vit": {"dtyp": "float16"}}}, "unknown key 'load.nano-vit.dtyp'; did you mean 'dtype'?"),
        ({"load": {"sam": {}}}, "load names 'sam', which is not a surrogate or target (nano, nano-vit)"),
        ({"eps": 8}, "did you mean 8/255?"),
        ({"parameters": {"step": 1}}, "attack 'rga' has no parameter 'step'; did you mean 'steps'?"),
    ],
)
def test_a_wrong_setting_is_named_on_one_line(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_settings(TransferPlan, SMALL | settings, "here")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_file_may_lack_the_photos_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("surrogates: [nano]\ntargets: [nano-vit]\nprompts: {masks: 3}\n")
    assert read_plan(file, ["here"]).photos == ("here",)
    with pytest.raises(UsageError, match="names no photos; give a folder of them with --data"):
        read_plan(file)
    file.write_text("surrogates: [nano]\nphotos: [there]\n")
    with pytest.raises(UsageError, match="targets: Field required"):
        read_plan(file, ["here"])
    file.write_text("surrogates: [nano]\ntargets: [nano]\nphotos: [there]\n")
    assert read_plan(file).photos == ("there",)
    assert read_plan(file, ["here"]).photos == ("here",)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    settings = SMALL | {"surrogates": ["nano", "two"], "prompts_from": "two", "eps": "4px", "parameters": {"steps": 3}}
    settings["load"] = {"two": {"checkpoint": "w.pt", "autocast": None}}
    plan = parse_settings(TransferPlan, settings, "here")
    (tmp_path / "plan.yaml").write_text(dump_plan(plan))
    assert read_plan(tmp_path / "plan.yaml") == plan
    assert read_plan(tmp_path / "plan.yaml").changed("two") == settings["load"]["two"]


def test_models_are_named_once_and_the_prompts_come_from_the_first() -> None:
    settings = {"surrogates": ["b", "a", "b"], "targets": ["a", "c", "c"]}
    plan = parse_settings(TransferPlan, SMALL | settings, "here")
    assert (plan.surrogates, plan.targets, plan.models) == (("b", "a"), ("a", "c"), ("b", "a", "c"))
    assert plan.prompt_source == "b"


def test_every_setting_reaches_the_runs_on_the_surrogates() -> None:
    changed = {
        "attacks": ["rga-untargeted"], "parameters": {"steps": 3}, "protocol": "paper", "eps": "4/255", "seed": 5,
        "device": "cpu", "dtype": "bfloat16", "points_per_side": 7, "prompts": {"masks": 3},
    }  # fmt: skip
    plan = parse_settings(TransferPlan, SMALL | changed, "here")
    config = plan.run_config("nano")
    assert config.model == "nano"
    for key in Settings.model_fields:
        assert getattr(config, key) == getattr(plan, key)


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["nano", "facebook/sam-vit-base"], ["nano", "sam-vit-base"]),
        (["http://localhost:80/segment", "mine:segment"], ["segment", "mine_segment"]),
        (["encoder.onnx,decoder.onnx", "folder/", "/"], ["encoder.onnx_decoder.onnx", "folder", "_"]),
    ],
)
def test_a_model_is_called_like_the_last_part_of_its_name(models: list[str], names: list[str]) -> None:
    assert list(file_names(models).values()) == names


def test_models_whose_names_end_alike_are_told_apart() -> None:
    names = file_names(["x/nano", "y/Nano", "z"])
    assert len({name.casefold() for name in names.values()}) == 3
    assert names["z"] == "z"
    assert names["x/nano"] == file_names(["y/Nano", "x/nano"])["x/nano"].replace("Nano", "nano")


def test_a_model_may_be_loaded_otherwise_than_the_rest() -> None:
    changed = {"nano": {"checkpoint": "w.safetensors"}, "nano-vit": {"autocast": None}}
    plan = parse_settings(TransferPlan, SMALL | {"autocast": "bfloat16", "load": changed}, "here")
    assert plan.changed("nano-vit") == {"autocast": None}
    config = plan.run_config("nano")
    assert (config.checkpoint, config.autocast) == ("w.safetensors", "bfloat16")
    assert plan.loading()["autocast"] == "bfloat16"
