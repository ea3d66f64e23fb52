"""The parts that pages are made of: tables, figures and lists of facts, as HTML."""

from collections.abc import Iterable, Sequence
from typing import Any

from advisor.report import ABSENT, clean, number
from advisor.report.pictures import Picture

MOST_ROWS, MOST_ITEMS = 200, 12


def table(heads: Sequence[tuple[str, str]], rows: Iterable[tuple[str, Sequence[str]]], source: str) -> str:
    """Return a table: heads (text, CSS class of the column), rows (CSS class, cells that are HTML already)."""
    top = "".join(f'<th scope="col" class="{kind}">{clean(name)}</th>' for name, kind in heads)
    body = []
    for row_kind, cells in rows:
        tags = [f'<td class="{kind}">{cell}</td>' for cell, (_, kind) in zip(cells, heads, strict=True)]
        tags[0] = f'<th scope="row" class="{heads[0][1]}">{cells[0]}</th>'
        body.append(f'<tr class="{row_kind}">{"".join(tags)}</tr>')
    return (
        f'<div class="wide"><table><caption>From {clean(source)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def figure(picture: Picture, said: str) -> str:
    """Return a picture over its caption: what was said of it, and what it leaves out."""
    notes = " ".join(clean(note) for note in picture.notes)
    return f'<figure><div class="wide">{picture.svg}</div><figcaption>{said} {notes}</figcaption></figure>'


def pairs(pairs: Iterable[tuple[str, object]], source: str) -> str:
    """Return a table of names and values."""
    every = [(clean(name.replace("_", " ")), clean(words_of(value), 1000)) for name, value in pairs]
    rows = "".join(f'<tr><th scope="row">{name}</th><td>{value}</td></tr>' for name, value in every[:MOST_ROWS])
    cut = f"<p>{len(every) - MOST_ROWS} more in {source}.</p>" if len(every) > MOST_ROWS else ""
    return f'<table class="facts"><caption>From {source}</caption><tbody>{rows}</tbody></table>{cut}'


def flat(value: dict[str, Any], above: str = "") -> Iterable[tuple[str, object]]:
    """Yield the leaves of nested JSON with their path."""
    for key, inner in value.items():
        if isinstance(inner, dict) and inner:
            yield from flat(inner, f"{above}{key}: ")
        else:
            yield f"{above}{key}", inner


def words_of(value: object) -> str:
    """Return a JSON value in words."""
    if value is None or value in ([], {}, ""):
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{key.replace('_', ' ')} {words_of(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        more = f" and {len(value) - MOST_ITEMS} more" if len(value) > MOST_ITEMS else ""
        between = "; " if any(isinstance(v, dict | list) or (isinstance(v, str) and " " in v) for v in value) else ", "
        return between.join(words_of(v).removesuffix(".") for v in value[:MOST_ITEMS]) + more
    return str(value)
