"""The models that have a name, as plain data. Reading it costs nothing: ``ls models`` and ``--help`` do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelEntry:
    """One line of ``segrobust ls models``.

    Attributes:
        name: what to type.
        family: architecture.
        parameters: number of weights; 0 = not known before it is loaded.
        capabilities: what it can do: ``gradient``, ``points``, ``boxes``, ``everything``.
        licence: of the weights.
        source: where the weights come from, in words.
        loader: ``module:function`` in this package (or a plug-in's), called with (name, options).
        state: how far it is tested here: ``trained`` (and scored), ``parity`` (agrees with the authors' code on
            given weights), ``random`` (runs on random weights of full size), ``plug-in``.
        extra: the optional dependency it needs, e.g. ``kornia``; empty = none.
    """

    name: str
    family: str
    parameters: int
    capabilities: tuple[str, ...]
    licence: str
    source: str
    loader: str
    state: str
    extra: str = ""


_ALL = ("gradient", "points", "boxes", "everything")
_SHIPPED = "shipped with segrobust"
_BESIDE = "in the repository"
_HUB = "Hugging Face"
_FILE = "download (segrobust models download)"


def _embedded(name: str, family: str, parameters: int, source: str) -> ModelEntry:
    return ModelEntry(name, family, parameters, _ALL, "research use", source, "loading:load_embedded", "trained")


def _hub(name: str, family: str, parameters: int, licence: str, state: str = "random") -> ModelEntry:
    return ModelEntry(name, family, parameters, _ALL, licence, _HUB, "loading:load_hub", state)


def _sam2(size: str, parameters: int) -> tuple[ModelEntry, ModelEntry]:
    return (
        _hub(f"facebook/sam2-hiera-{size}", "SAM 2", parameters, "Apache-2.0"),
        _hub(f"facebook/sam2.1-hiera-{size}", "SAM 2.1", parameters, "Apache-2.0"),
    )


def _efficient_sam(name: str, parameters: int, state: str) -> ModelEntry:
    loader = "efficient_sam:load_efficient_sam"
    return ModelEntry(name, "EfficientSAM", parameters, _ALL, "Apache-2.0", _FILE, loader, state)


def _fast_sam(name: str, parameters: int, source: str) -> ModelEntry:
    loader = "fast_sam_loading:load_fast_sam"
    return ModelEntry(name, "FastSAM", parameters, _ALL, "AGPL-3.0", source, loader, "random", "fastsam")


ENTRIES: tuple[ModelEntry, ...] = (
    _embedded("nano", "nano (SAM decoder)", 6_526_480, _SHIPPED),
    _embedded("nano-vit", "SAM", 6_897_528, _BESIDE),
    _embedded("nano-hiera", "SAM 2", 6_244_961, _BESIDE),
    _embedded("nano-conv", "nano-conv (everything first)", 6_405_421, _SHIPPED),
    _embedded("nano-robust", "nano (SAM decoder)", 6_526_480, _BESIDE),
    _hub("facebook/sam-vit-base", "SAM", 93_735_472, "Apache-2.0", "parity"),
    _hub("facebook/sam-vit-large", "SAM", 312_342_832, "Apache-2.0", "parity"),
    _hub("facebook/sam-vit-huge", "SAM", 641_090_608, "Apache-2.0", "parity"),
    ModelEntry("sam_vit_b", "SAM", 93_735_472, _ALL, "Apache-2.0", _FILE, "official:load_sam", "parity"),
    ModelEntry("sam_vit_l", "SAM", 312_342_832, _ALL, "Apache-2.0", _FILE, "official:load_sam", "parity"),
    ModelEntry("sam_vit_h", "SAM", 641_090_608, _ALL, "Apache-2.0", _FILE, "official:load_sam", "parity"),
    _hub("syscv-community/sam-hq-vit-base", "SAM-HQ", 94_806_832, "Apache-2.0", "parity"),
    _hub("syscv-community/sam-hq-vit-large", "SAM-HQ", 313_676_336, "Apache-2.0", "parity"),
    _hub("syscv-community/sam-hq-vit-huge", "SAM-HQ", 642_686_256, "Apache-2.0", "parity"),
    *_sam2("tiny", 31_440_721),
    *_sam2("small", 38_538_577),
    *_sam2("base-plus", 73_328_401),
    *_sam2("large", 216_924_865),
    _hub("facebook/sam3", "SAM 3 (tracker head)", 458_260_369, "SAM License"),
    ModelEntry(
        "mobile_sam",
        "MobileSAM",
        10_130_092,
        _ALL,
        "Apache-2.0",
        _FILE,
        "mobile_sam:load_mobile_sam",
        "parity",
        "kornia",
    ),
    _efficient_sam("efficient_sam_vitt", 10_223_204, "parity"),
    _efficient_sam("efficient_sam_vits", 26_413_028, "random"),
    _fast_sam("FastSAM-s", 11_790_483, _FILE),
    _fast_sam("FastSAM-x", 71_751_811, _FILE),
    _fast_sam("FastSAM-s@photo", 11_790_483, "that of FastSAM-s; photos keep their size"),
    _fast_sam("FastSAM-x@photo", 71_751_811, "that of FastSAM-x; photos keep their size"),
)
