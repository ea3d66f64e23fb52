"""The findings of the lab as one HTML file: no network, no script, charts drawn inline."""

from collections.abc import Sequence
from pathlib import Path

from advisor.lab import about, claims, unlike
from advisor.lab.claim import Conditions, Finding
from advisor.report import clean, duration, number
from advisor.report.charts import draw, looks_of
from advisor.report.parts import figure, pairs, table
from advisor.runs import write_text
from profiles.device import DeviceProfile

COLOUR = {"holds here": "agrees", "does not hold": "disagrees", "depends": ""}
"""CSS class of a verdict."""
STYLE = Path(__file__).parent.parent / "report" / "style.css"


def write_page(
    path: Path, findings: Sequence[Finding], device: DeviceProfile, conditions: Conditions, date: str
) -> None:
    """Write `page` to a file, all of it or nothing; it names the findings of other conditions that lie beside it."""
    write_text(path, page(findings, device, conditions, date, unlike(path.parent, conditions)))


def page(
    findings: Sequence[Finding],
    device: DeviceProfile,
    conditions: Conditions,
    date: str,
    left_out: Sequence[str] = (),
) -> str:
    """Return the findings as one HTML document: a table of verdicts, then each claim with its charts and figures.

    Args:
        findings: In the order of the page.
        device: On which they were measured.
        conditions: Under which they were measured.
        date: Day on which the page is written, as it shall be read.
        left_out: Claims with a saved finding that is not shown, because it was measured under other conditions.
    """
    title = f"What the documents claim, measured on {device.name}"
    missing = [key for key in claims() if key not in {finding.key for finding in findings} | set(left_out)]
    rest = "".join(
        f'<p class="soft">{said}: {clean(", ".join(keys))}.</p>'
        for said, keys in (
            ("Without a finding here", missing),
            ("Left out, their saved finding is of other conditions or cannot be read", left_out),
        )
        if keys
    )
    sections = "".join(_section(finding) for finding in findings)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{clean(title)}</title><style>{STYLE.read_text(encoding='utf-8')}</style></head>\n"
        f"<body><main><h1>{clean(title)}</h1>{_conditions(findings, device, conditions, date)}"
        f"<section><h2>Verdicts</h2>{_verdicts(findings)}{rest}</section>{sections}</main></body></html>\n"
    )


def _conditions(findings: Sequence[Finding], device: DeviceProfile, conditions: Conditions, date: str) -> str:
    facts: dict[str, object] = {
        "page written": date,
        "device": f"{conditions.device}: {device.name}",
        "cores": device.cores,
        "memory": f"{number(device.memory_mib)} MiB",
        "torch": f"{device.torch}{f', CUDA {device.cuda}' if device.cuda else ''}",
        "threads": conditions.threads,
        "thoroughness": "quick: fewer lengths, seeds and rounds" if conditions.quick else "full",
        "seed": str(conditions.seed),
        "time used": duration(sum(finding.seconds for finding in findings)),
    }
    return pairs(facts.items(), "the device and the conditions of the run")


def _verdict(finding: Finding) -> str:
    return f'<span class="{COLOUR[finding.verdict]}">{finding.verdict}</span>'


def _verdicts(findings: Sequence[Finding]) -> str:
    heads = [("Claim", "name"), ("Document", ""), ("It says", "why"), ("Verdict", ""), ("Result", "why")]
    rows = []
    for one in findings:
        link = f'<a href="#{clean(one.key)}">{clean(one.key)}</a>'
        rows.append(
            ("", [link, clean(one.document), clean(one.says), _verdict(one), clean(one.result, 2000)]),
        )
    return table(heads, rows, "CL1.json to CL13.json") if rows else "<p>No claim was measured.</p>"


def _section(one: Finding) -> str:
    looks = looks_of(one.charts)
    pictures = "".join(figure(draw(chart, looks), f"<b>{clean(chart.title)}.</b>") for chart in one.charts)
    paragraphs = about(one.key).split("\n\n")[1:]
    explained = "".join(f"<p>{clean(' '.join(paragraph.split()), 4000)}</p>" for paragraph in paragraphs)
    figures = pairs(one.numbers.items(), f"{one.key}.json")
    return (
        f'<section id="{clean(one.key)}"><h2>{clean(one.key)}: {_verdict(one)}</h2>'
        f'<div class="answer"><p>{clean(one.says, 1000)} <small>({clean(one.document)})</small></p></div>'
        f"<p><b>Result.</b> {clean(one.result, 4000)}</p>"
        f"<p><b>Measured.</b> {clean(one.how, 4000)} It took {clean(duration(one.seconds))}.</p>{pictures}"
        f"<details><summary>What the document says, how it is measured, where it holds</summary>{explained}"
        f"</details><details><summary>The figures behind it</summary>{figures}</details></section>"
    )
