"""What stays light, what stays small, and which way imports point."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from shell import ROOT, ok, python

from cli.main import app

HEAVY = {
    "torch",
    "openvino",
    "transformers",
    "sentence_transformers",
    "tokenizers",
    "huggingface_hub",
    "ir_measures",
    "hnswlib",
    "pyarrow",
    "lancedb",
    "httpx2",
}
MODULES = sorted(path for folder in ("core", "cli") for path in (ROOT / folder).rglob("*.py"))
PARTS = {"sources", "chunkers", "encoders", "lexical", "vectors", "fusion", "rerankers", "index", "foreign"}

RUN = """
import json, sys
from cli.main import app
try:
    app(sys.argv[1:], prog_name="samespace")
except SystemExit as end:
    assert not end.code, end.code
sys.stdout.flush()
print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded(*words: object) -> set[str]:
    """The top modules in memory when a command has ended in a process of its own."""
    done = python(RUN, *words)
    assert done.code == 0, done.err
    return set(json.loads(done.out.splitlines()[-1]))


def commands() -> list[str]:
    import typer.main

    root = typer.main.get_command(app)
    return sorted(root.commands)  # type: ignore[attr-defined]


class TestImports:
    def test_help_needs_no_numpy(self) -> None:
        assert not loaded("--help") & (HEAVY | {"numpy", "yaml"})

    def test_help_of_every_command(self) -> None:
        """In one process: what one of them loads would be there in the end."""
        code = f"""
import sys
from typer.testing import CliRunner
from cli.main import app
for name in {commands()!r}:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0 and "Usage: samespace" in result.output.replace("root", "samespace"), name
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
        done = python(code)
        assert done.code == 0, done.err
        assert not set(done.out.split()) & (HEAVY | {"numpy"})

    def test_info(self, built_index: Path) -> None:
        assert not loaded("info", built_index) & (HEAVY | {"numpy"})
        assert not loaded("info", built_index, "--json") & (HEAVY | {"numpy"})

    def test_gc(self, built_index: Path) -> None:
        assert not loaded("gc", built_index, "--dry-run") & (HEAVY | {"numpy"})

    @pytest.mark.parametrize(
        "words",
        [
            ["search", "{index}", "银行 bank", "--mode", "lexical"],
            ["check", "{index}"],
            ["stats", "{index}"],
            ["models"],
        ],
        ids=lambda w: w[0],
    )
    def test_no_command_without_vectors_loads_a_model_library(self, built_index: Path, words: list[str]) -> None:
        assert not loaded(*(word.format(index=built_index) for word in words)) & HEAVY

    def test_the_probe_sees_what_is_loaded(self, built_index: Path) -> None:
        """Otherwise the tests above could not fail."""
        assert "numpy" in loaded("search", built_index, "bank")

    def test_a_query_by_meaning_loads_neither_torch_nor_openvino(self, sample: Path) -> None:
        modules = loaded("search", sample / "sample.index", "where do otters dig", "--explain")
        assert "tokenizers" in modules
        assert not modules & {"torch", "transformers", "sentence_transformers", "openvino", "huggingface_hub"}

    def test_lexical_search_of_an_index_whose_model_is_heavy(self, sample: Path) -> None:
        assert not loaded("search", sample / "sample.index", "otters", "--mode", "lexical") & HEAVY
        assert "sqlite3" not in loaded("info", sample / "sample.index")
        assert ok("info", sample / "sample.index").out.count("minilm") == 1


def imports(path: Path) -> Iterator[str]:
    """Every module of ours that a file imports anywhere, those for type checking alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_checking = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in for_checking:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")


def below(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


class TestLayers:
    def test_the_core_knows_nothing_of_the_command_line(self) -> None:
        wrong = [
            (name_of(path), module)
            for path in MODULES
            if below(name_of(path), "core")
            for module in imports(path)
            if below(module, "cli", "typer", "rich", "click")
        ]
        assert wrong == []

    def test_the_words_know_nothing_above(self) -> None:
        allowed = {"types": (), "errors": ("core.types",), "registry": ("core.errors",), "version": (), "progress": ()}
        for name, known in allowed.items():
            ours = {module for module in imports(ROOT / "core" / f"{name}.py") if below(module, "core", "cli")}
            assert all(below(module, *known) for module in ours), (name, ours)

    def test_parts_know_neither_the_ways_nor_the_catalogue(self) -> None:
        above = ("core.pipeline", "core.config", "core.evaluate", "core.check", "core.describe", "core.similar")
        wrong = {
            (name_of(path), module)
            for path in MODULES
            if name_of(path).split(".")[1:2] and name_of(path).split(".")[1] in PARTS
            for module in imports(path)
            if below(module, *above)
        }
        assert wrong == set()

    def test_the_space_does_not_know_the_ways(self) -> None:
        for path in (ROOT / "core" / "space").glob("*.py"):
            assert not [module for module in imports(path) if below(module, "core.pipeline", "core.config")]

    def test_the_reader_of_imports_sees_them(self, tmp_path: Path) -> None:
        file = tmp_path / "x.py"
        file.write_text(
            "import a.b\nfrom c import d\nif TYPE_CHECKING:\n    import e\ndef f():\n    from g.h import i\n"
        )
        assert set(imports(file)) == {"a.b", "c", "c.d", "g.h", "g.h.i"}


class TestSize:
    @pytest.mark.parametrize("path", MODULES, ids=name_of)
    def test_files_and_functions_stay_small(self, path: Path) -> None:
        text = path.read_text(encoding="utf-8")
        assert text.count("\n") <= 400
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno + 1 <= 60, node.name

    def test_nothing_below_the_command_line_prints(self) -> None:
        for path in MODULES:
            if below(name_of(path), "core"):
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    called = isinstance(node, ast.Call) and ast.unparse(node.func)
                    assert called not in ("print", "sys.stdout.write", "sys.stderr.write"), name_of(path)
