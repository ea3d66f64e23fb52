"""The README is run, not trusted: its blocks, top to bottom, in one folder that holds only the examples."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(*languages: str) -> list[tuple[str, str]]:
    """Return (language, text) of each fenced block in one of `languages`, in order."""
    return re.findall(rf"^```({'|'.join(languages)})\n(.*?)^```", README, re.S | re.M)


def steps(console: str) -> list[tuple[str, str]]:
    """Return (command, output shown) of each line that starts with `$ `."""
    return [(command, shown) for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", console, re.M)]


def prints(shown: str, printed: str) -> bool:
    """Return whether `printed` is what the block shows; a line `...` stands for any number of lines."""
    parts = [".*" if line == "..." else re.escape(line) + r"\n" for line in shown.splitlines()]
    return re.fullmatch("".join(parts), printed, re.S) is not None


def spoken() -> list[list[str]]:
    """Return the words of every `advisor` command in the README, shown with `$ ` or without."""
    lines = [line.removeprefix("$ ") for _, text in blocks("console", "sh") for line in text.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("advisor ")]


@pytest.fixture(scope="module")
def verbs() -> dict[str, dict[str, click.Parameter]]:
    """Return every verb of the command line with its parameters by the words that name them."""
    from advisor.cli import main

    context = click.Context(main)
    commands = {name: main.get_command(context, name) for name in main.list_commands(context)}
    return {
        name: {word: p for p in command.get_params(click.Context(command)) for word in (*p.opts, *p.secondary_opts)}
        for name, command in commands.items()
        if command is not None and not command.hidden
    }


def test_a_line_of_dots_stands_for_any_lines_and_nothing_else_does():
    assert prints("a\n...\nz\n", "a\nz\n")
    assert prints("a\n...\nz\n", "a\nb\nc\nz\n")
    assert not prints("a\nz\n", "a\nb\nz\n")
    assert not prints("a.c\n", "abc\n")


def test_the_readme_has_a_quick_start():
    assert len([command for _, text in blocks("console") for command, _ in steps(text)]) >= 5


def test_the_readme_lists_the_families_and_the_layers_that_there_are():
    from hybrids import mixers
    from hybrids.families import FAMILIES

    rows = dict(re.findall(r"^\| `([a-z_]+)` \| ([^|]+?)(?: \(needs [^|]+\))? \| [^|]*\| [^|]*\|$", README, re.M))
    assert rows == {name: row.words for name, row in FAMILIES.items()}
    table = README.split("| layer in a layout |")[1].split("\n\n")[0]
    first_cells = " ".join(line.split("|")[1] for line in table.splitlines()[2:])
    assert set(re.findall(r"`([a-z0-9_]+)`", first_cells)) == set(mixers.names())


def test_every_command_in_the_readme_is_one_the_command_line_has(verbs):
    for verb, *words in spoken():
        assert verb in verbs, f"advisor {verb}"
        for word, value in zip(words, [*words[1:], ""][: len(words)], strict=True):
            if word.startswith("-"):
                assert word in verbs[verb], f"advisor {verb} {word}"
                kind = verbs[verb][word].type
                assert not isinstance(kind, click.Choice) or value in kind.choices, f"advisor {verb} {word} {value}"


def test_every_verb_is_in_the_readme(verbs):
    assert set(verbs) <= {words[0] for words in spoken()}


def test_every_option_the_readme_names_exists(verbs):
    known = {word for words in verbs.values() for word in words}
    assert set(re.findall(r"`(--[a-z0-9-]+)", README)) <= known


def test_every_file_and_make_target_the_readme_names_exists():
    for link in re.findall(r"\]\(([^):#]+)\)", README):
        assert (ROOT / link).exists(), link
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert set(re.findall(r"^make ([a-z-]+)", README, re.M)) <= set(targets)


@pytest.mark.slow
def test_the_quick_start_runs_and_prints_what_it_says(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for language, text in blocks("console", "python"):
        runs = [("-c", text, "")] if language == "python" else [("-m", *step) for step in steps(text)]
        for how, what, shown in runs:
            words = [what] if how == "-c" else shlex.split(what)
            done = subprocess.run(
                [sys.executable, how, *words],
                cwd=tmp_path,
                env=env,
                capture_output=True,
                text=True,
                timeout=900,
                check=False,
            )
            assert done.returncode == 0, f"{what}\n{done.stdout}{done.stderr}"
            assert not shown or prints(shown, done.stdout), f"{what}\n{done.stdout}"
