"""The documents are checked against the house, both ways: commands, settings, links, targets."""

import re
from pathlib import Path

import pytest
import typer.main

from clash_pipeline.cli.main import app
from clash_pipeline.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "doc").glob("*.md"))]


def commands() -> set[str]:
    """Every command that exists, as its words: `market candles`."""
    top = typer.main.get_command(app).commands
    return {
        " ".join(filter(None, (name, sub)))
        for name, command in top.items()
        for sub in (getattr(command, "commands", None) or [""])
    }


def code(text: str) -> str:
    """What a document writes as code: fenced blocks and inline spans."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_a_document_names_exists(document):
    known = commands()
    for words in re.findall(r"\bclash ((?:[a-z][a-z-]+ ?){1,2})", code(document.read_text("utf-8"))):
        first, *rest = words.split()
        assert any(command == first or command.startswith(first + " ") for command in known), words
        if rest and f"{first} {rest[0]}" not in known:
            assert first in known, f"clash {words} is not a command"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_setting_a_document_names_exists(document):
    named = set(re.findall(r"\bCLASH_([A-Z][A-Z_]+)\b", document.read_text("utf-8")))
    settings = {name.upper() for name in Settings.model_fields} | {"RECORDINGS", "SOAK", "FAULT"}
    assert named <= settings


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document):
    for target in re.findall(r"\]\((?!http)([^)#]+)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


def test_every_make_target_of_the_readme_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)\b", (ROOT / "README.md").read_text("utf-8"))) <= targets


def test_every_command_explains_itself():
    top = typer.main.get_command(app).commands
    found = [*top.items(), *(pair for command in top.values() for pair in getattr(command, "commands", {}).items())]
    assert [name for name, command in found if not (command.help or "").strip()] == []
