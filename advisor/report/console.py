"""The recommendation in the terminal, or in a pipe."""

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advisor.records import Ranked, Recommendation
from advisor.report import ABSENT, answer, apart, next_commands, number, remarks, state_and_why

STYLES = {"recommended": "bold green", "tied": "bold", "infeasible": "red", "failed": "red", "not tried": "dim"}


def print_recommendation(rec: Recommendation, console: Console, run: Path) -> None:
    """Print the ranking, the choice with its reasons, the documents' advice and the next commands.

    Args:
        rec: The answer.
        console: Where to; its width and colours are kept. Names from the user's data are never read as markup.
        run: The run folder, for the commands.
    """
    ranked = (*rec.ranking, *(b for b in rec.baselines if b.family not in {one.family for one in rec.ranking}))
    shown, untried = apart(ranked)
    console.print(_ranking(rec, shown))
    _line(console, Text(f"{rec.quality.metric}: on {rec.quality.split}, with its 95 % interval", style="dim"))
    for words in untried:
        _line(console, Text(words, style="dim"))
    if any(one.baseline for one in ranked):
        _line(console, Text("* baseline", style="dim"))
    _line(console, Text.assemble("Use ", (rec.name, "bold green"), f": {answer(rec)}"))
    for remark in remarks(rec):
        _line(console, Text(remark))
    _part(console, "Why", [Text(reason) for reason in rec.reasons])
    _part(console, "The documents", [_advice(one.key, one.document, one.says, one.evidence) for one in rec.advice])
    _part(console, "Next", [])
    for command in next_commands(rec, run):
        console.print(Text(f"  {command}"), soft_wrap=True)


def _ranking(rec: Recommendation, ranked: Sequence[Ranked]) -> Table:
    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1, 0, 0), collapse_padding=True)
    longest = max((len(_name(one)) for one in ranked), default=0)
    table.add_column("Family", min_width=min(longest, 24), overflow="fold")
    table.add_column(Text(rec.quality.metric), no_wrap=True)
    for head in (f"{rec.latency_stat}\nms", "memory\nMiB", "size\nMiB", "training\ns"):
        table.add_column(Text(head), justify="right", no_wrap=True)
    table.add_column("Why", ratio=1, overflow="fold")
    for one in ranked:
        numbers = (one.latency_ms, one.memory_mib, one.size_mib, one.train_s)
        cells = (_name(one), _interval(one), *(number(n) for n in numbers), "".join(state_and_why(one)))
        table.add_row(*(Text(cell) for cell in cells), style=STYLES.get(one.state, ""))
    return table


def _name(one: Ranked) -> str:
    return f"{one.family}*" if one.baseline else one.family


def _interval(one: Ranked) -> str:
    """Return value and interval, short enough for one line of a table."""
    q = one.quality
    if q is None:
        return ABSENT
    return number(q.value) if q.low is None else f"{number(q.value)} [{number(q.low)}, {number(q.high)}]"


def _line(console: Console, text: Text) -> None:
    console.print(text, highlight=False)


def _part(console: Console, head: str, lines: list[Text]) -> None:
    """Print a heading and its indented lines; a heading without lines only where the caller prints them."""
    console.print()
    _line(console, Text(head, style="bold"))
    for line in lines:
        for row in line.wrap(console, max(console.width - 4, 20)):
            row.rstrip()
            _line(console, Text("  ") + row)


def _advice(key: str, document: str, says: str, evidence: str) -> Text:
    style = {"agrees": "green", "disagrees": "red"}.get(evidence, "dim")
    return Text.assemble((f"{evidence}", style), f"  {key} ({document}): {says}")
