"""What is required and what is not: nothing that must work imports torchvision, timm, ultralytics or kornia."""

import ast
import pkgutil
from pathlib import Path

from fakes import BROKEN_TORCHVISION, process, put_old_torchvision, put_package, python
from runs import FAST, make_photo

import segrobust

OPTIONAL = ("torchvision", "timm", "ultralytics", "kornia", "onnxruntime", "onnx")

BEHIND = {
    "kornia": {"segrobust.models.mobile_sam"},
    "ultralytics": {
        "segrobust.models.fast_sam", "segrobust.models.fast_sam_loading", "segrobust.models.ultralytics_parts"
    },
    "onnxruntime": {"segrobust.models.onnx_session"},
    "torchvision": {"segrobust.models.shield"},
}  # fmt: skip
"""Who may name a package that is not required: what stands behind an extra, and the shield."""

SOURCES = {
    name: Path(next(iter(segrobust.__path__))).joinpath(*name.split(".")[1:]).with_suffix(".py")
    for name in (m.name for m in pkgutil.walk_packages(segrobust.__path__, "segrobust.") if not m.ispkg)
}
CORE = sorted(set(SOURCES) - BEHIND["kornia"] - BEHIND["ultralytics"] - {"segrobust.__main__"})

ATTACK = """
    import numpy, torch, segrobust
    from segrobust.models.base import EverythingSettings
    torch.manual_seed(0)
    photo = segrobust.Image(numpy.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=numpy.uint8))
    every = EverythingSettings(points_per_side=2, predicted_iou_threshold=-1, stability_threshold=0)
    model = segrobust.load({model!r}, device="cpu")
    found = segrobust.segment_everything(model, photo, every)
    result = segrobust.attack(model, photo, "rga", steps=1, clean_masks=found)
    assert result.encoder_backward > 0
"""


def imports(path: Path) -> list[tuple[int, str, bool]]:
    """Line, module, and whether it is imported as soon as the file is."""
    tree, found = ast.parse(path.read_text("utf-8")), []
    at_once = {id(node) for statement in tree.body for node in _outside_functions(statement)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found += [(node.lineno, name, id(node) in at_once) for name in names]
    return found


def _outside_functions(node: ast.AST) -> list[ast.AST]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
        return []
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return []
    return [node, *(inner for child in ast.iter_child_nodes(node) for inner in _outside_functions(child))]


def test_the_sources_are_found() -> None:
    assert len(CORE) > 30
    assert {"segrobust.models.sam", "segrobust.attacks.loop", "segrobust.cli.main"} <= set(CORE)
    assert all(path.exists() for path in SOURCES.values())


def test_no_source_names_what_is_optional_but_what_is_there_for_it() -> None:
    named: dict[str, set[str]] = {}
    for name, path in SOURCES.items():
        for package in {module.partition(".")[0] for _, module, _ in imports(path)} & set(OPTIONAL):
            named.setdefault(package, set()).add(name)
    assert named["torchvision"] == BEHIND["torchvision"]
    for package, names in named.items():
        assert names <= BEHIND.get(package, set())


def test_who_imports_transformers_hides_a_broken_torchvision_first() -> None:
    needs = {name: {m for _, m, at_once in imports(path) if at_once and m in SOURCES} for name, path in SOURCES.items()}
    shielded = {name for name, path in SOURCES.items() if "\nhide_broken_torchvision()\n" in path.read_text("utf-8")}
    assert "segrobust.models.sam_parts" in shielded
    for name, path in SOURCES.items():
        lines = [(line, at_once) for line, module, at_once in imports(path) if module == "transformers"]
        for line, at_once in lines:
            before = path.read_text("utf-8").partition("\nhide_broken_torchvision()\n")[0].count("\n") + 1
            fine = before < line if at_once else bool(shielded & closure(name, needs))
            assert fine, f"{path}:{line} imports transformers without the shield"


def closure(name: str, needs: dict[str, set[str]]) -> set[str]:
    """A module and all of ours that are imported with it."""
    found, new = {name}, {name}
    while new:
        new = {needed for module in new for needed in needs[module]} - found
        found |= new
    return found


def test_nothing_optional_is_imported_where_it_is_installed(tmp_path: Path, root: Path) -> None:
    for name in OPTIONAL[1:]:  # if they were imported, nothing would fail
        put_package(tmp_path, name, "", "1.0")
    put_old_torchvision(tmp_path)
    loaded = python(
        f"""
        import importlib, sys
        for name in {CORE!r}:
            importlib.import_module(name)
        """,
        ATTACK.format(model="nano"),
        """
        print(*(name for name, module in sys.modules.items() if module is not None))
        """,
        path=tmp_path,
        cwd=root,
    ).split()
    assert "transformers.models.sam.modeling_sam" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in OPTIONAL}


def test_the_command_line_goes_on_with_a_broken_torchvision_and_says_so_once(tmp_path: Path, tiny_model: Path) -> None:
    put_old_torchvision(tmp_path / "path")
    listed = process("-m", "segrobust", "ls", "models", path=tmp_path / "path")
    assert (listed.returncode, listed.stderr) == (0, "")
    photo = make_photo(tmp_path / "a.png", 1, (30, 40))
    done = process(
        "-m", "segrobust", "attack", photo, "-m", tiny_model, *FAST, "-o", tmp_path / "out", path=tmp_path / "path"
    )
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("warning: torchvision 0.15.2, made for torch 2.0.1, does not work with torch 2")
    assert "(operator torchvision::nms does not exist)" in line
    assert line.endswith("to mend it: pip uninstall torchvision")


def test_hiding_suffices_for_all_of_sam_also_when_transformers_came_first(tmp_path: Path) -> None:
    # `import transformers` asks whether torchvision is installed and keeps the answer; no metadata makes no difference.
    out = python(
        """
        import transformers
        from transformers.utils.import_utils import is_torchvision_available
        print(is_torchvision_available())
        import segrobust.models.sam_parts
        from transformers import Sam2Model, Sam3Model, Sam3TrackerModel, SamHQModel
        print(is_torchvision_available())
        """,
        path=put_package(tmp_path, "torchvision", BROKEN_TORCHVISION),
    )
    assert out.split() == ["True", "False"]


def test_a_torchvision_that_works_is_left_alone(tmp_path: Path) -> None:
    out = python(
        """
        import sys, torchvision
        from segrobust.models.shield import hide_broken_torchvision
        hide_broken_torchvision()
        print(sys.modules["torchvision"].works)
        del sys.modules["torchvision"]
        hide_broken_torchvision()
        print(sys.modules["torchvision"].works)
        """,
        path=put_package(tmp_path, "torchvision", "works = True"),
    )
    assert out.split() == ["True", "True"]
