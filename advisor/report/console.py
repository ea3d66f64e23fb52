"""The recommendation in the terminal, or in a pipe."""

from pathlib import Path

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from advisor.records import Ranked, Recommendation
from advisor.report import answer, duration, interval, next_commands, number, remarks

STYLES = {"recommended": "bold green", "tied": "bold", "infeasible": "red", "failed": "red", "not tried": "dim"}


def print_recommendation(rec: Recommendation, console: Console, run: Path) -> None:
    """Print the ranking, the choice with its reasons, the documents' advice and the next commands.

    Args:
        rec: The answer.
        console: Where to; its width and colours are kept. Names from the user's data are never read as markup.
        run: The run folder, for the commands.
    """
    ranked = (*rec.ranking, *(b for b in rec.baselines if b.family not in {one.family for one in rec.ranking}))
    console.print(_ranking(rec, ranked))
    _line(console, Text.assemble("Use ", (rec.family, "bold green"), f": {answer(rec)}"))
    for remark in remarks(rec):
        _line(console, Text(remark))
    _part(console, "Why", [Text(reason) for reason in rec.reasons])
    _part(console, "The documents", [_advice(one.key, one.document, one.says, one.evidence) for one in rec.advice])
    _part(console, "Next", [])
    for command in next_commands(rec, run):
        console.print(Text(f"  {command}"), soft_wrap=True)


def _ranking(rec: Recommendation, ranked: tuple[Ranked, ...]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1))
    table.add_column("Family", min_width=10, overflow="fold")
    table.add_column(Text(f"{rec.quality.metric}, {rec.quality.split}"), min_width=12, overflow="fold")
    for head in (f"{rec.latency_stat}\nms", "memory\nMiB", "size\nMiB", "trained"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    table.add_column("Why", ratio=1, overflow="fold")
    for one in ranked:
        cells = (number(one.latency_ms), number(one.memory_mib), number(one.size_mib), duration(one.train_s))
        name = f"{one.family} (baseline)" if one.baseline else one.family
        why = one.reason if one.state in one.reason else f"{one.state}: {one.reason}".removesuffix(": ")
        row = [Text(cell) for cell in (name, interval(one.quality), *cells, why)]
        table.add_row(*row, style=STYLES.get(one.state, ""))
    return table


def _line(console: Console, text: Text) -> None:
    console.print(text, highlight=False)


def _part(console: Console, head: str, lines: list[Text]) -> None:
    """Print a heading and its indented lines; a heading without lines only where the caller prints them."""
    console.print()
    _line(console, Text(head, style="bold"))
    for line in lines:
        console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)


def _advice(key: str, document: str, says: str, evidence: str) -> Text:
    style = {"agrees": "green", "disagrees": "red"}.get(evidence, "dim")
    return Text.assemble((f"{evidence}", style), f"  {key} ({document}): {says}")
