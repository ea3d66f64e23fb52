"""A report says everything the run folder holds, nothing else, and cannot be broken by what it holds."""

import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from advisor.errors import InputError
from advisor.records import AdviceCheck, CurvePoint, Measured, Ranked, Recommendation, Request, Trial
from advisor.report import apart, chosen, dots, duration, front, number, read_records
from advisor.report.console import print_recommendation
from advisor.report.html import write_report
from advisor.report.pictures import Axis, learning_curves, quality_latency

FAMILIES = ("gru", "conv", "transformer", "ssm_attention")
NASTY = '<script>alert("1")</script>&\x00'


def measured(value: float = 0.9, higher: bool = True) -> Measured:
    return Measured(
        metric="accuracy" if higher else "rmse",
        value=value,
        low=value - 0.02,
        high=value + 0.02,
        split="test",
        higher_is_better=higher,
    )


def trial(number: int, family: str, **changed: object) -> Trial:
    facts: dict[str, object] = {"quality": 0.8 + number / 100, "latency_ms": 1.0 + number, "train_s": 3.0}
    facts |= {"memory_mib": 10.0, "size_mib": 0.5, "config": {"width": 8 + number}, "seed": 0, "state": "complete"}
    facts["curve"] = tuple(CurvePoint(step=i, seconds=i, train_loss=1 / i, quality=0.5 + i / 50) for i in range(1, 9))
    return Trial.model_validate(facts | {"number": number, "family": family} | changed)


def recommendation(trials: list[Trial], **changed: object) -> Recommendation:
    first = trials[0]
    families = dict.fromkeys(t.family for t in trials)
    facts: dict[str, object] = {
        "family": first.family,
        "baseline": False,
        "config": first.config,
        "quality": measured(),
        "latency_ms": 1.23456,
        "latency_stat": "p95",
        "memory_mib": 10.0,
        "size_mib": 0.5,
        "ranking": [
            Ranked(family=f, state="recommended" if f == first.family else "behind", reason="By 0.02.", trials=2)
            for f in families
        ],
        "tied_with": (),
        "baselines": [
            Ranked(family="majority", baseline=True, state="behind", reason="", validation=0.5, latency_ms=0.1)
        ],
        "advice": [AdviceCheck(key="LEN2", document="D1", says="Long.", evidence="disagrees", because="Short.")],
        "reasons": ["It is the best."],
        "request": Request(data="my data/train.csv", task="classify"),
        "versions": {"torch": "2.13"},
        "wall_s": 61.0,
    }
    return Recommendation.model_validate(facts | changed)


def folder(path: Path, rec: Recommendation, trials: list[Trial], **facts: str) -> Path:
    (path / "recommendation.json").write_text(rec.model_dump_json(), encoding="utf-8")
    (path / "trials.jsonl").write_text("".join(t.model_dump_json() + "\n" for t in trials), encoding="utf-8")
    for name, content in facts.items():
        (path / f"{name}.json").write_text(content, encoding="utf-8")
    return path


TRIALS = [trial(i, family) for i, family in enumerate(FAMILIES * 2)]


class Tags(HTMLParser):
    """Collects tags, their attributes, and what is left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag and what it loads or points at."""
        self.tags.add(tag)
        self.links += [name for name, _ in attrs if name in ("src", "href", "srcset", "xlink:href", "data")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost tag, which must be this one."""
        assert self.open.pop() == tag


def pictures(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(found) for found in re.findall(r"<svg.*?</svg>", page, re.S)]


def test_every_family_every_rule_and_every_reason_is_on_the_page(tmp_path):
    page = write_report(folder(tmp_path, recommendation(TRIALS), TRIALS)).read_text(encoding="utf-8")
    for said in (*FAMILIES, "majority", "LEN2", "disagrees", "It is the best.", "1.23 ms", "torch", "1 min 1 s"):
        assert said in page
    assert len(pictures(page)) == 2


def test_families_that_were_not_tried_are_one_sentence_a_reason():
    def row(family: str, state: str, reason: str) -> Ranked:
        return Ranked(family=family, state=state, reason=reason)

    late = "no time was left"
    shown, untried = apart([row("a", "tied", "x"), row("b", "not tried", late), row("c", "not tried", late)])
    assert [one.family for one in shown] == ["a"]
    assert untried == ["Not tried: b, c. Reason: no time was left."]


def test_the_page_is_small_balanced_and_asks_the_network_for_nothing(tmp_path):
    out = write_report(folder(tmp_path, recommendation(TRIALS), TRIALS))
    page = out.read_text(encoding="utf-8")
    assert Tags(page).open == [] and Tags(page).links == []
    assert not re.search(r"https?://|@import|url\(", page)
    assert out.stat().st_size < 300_000


def test_a_thousand_trials_keep_the_page_small_and_say_what_is_not_drawn(tmp_path):
    trials = [trial(i, FAMILIES[i % 4], quality=0.5 + i / 4000, reason="r" * 900) for i in range(1000)]
    out = write_report(folder(tmp_path, recommendation(trials), trials))
    assert out.stat().st_size < 300_000
    assert "Drawn: the best 300 of 1001." in out.read_text(encoding="utf-8")
    assert "800 more in trials.jsonl" in out.read_text(encoding="utf-8")


def test_markup_in_names_is_shown_and_never_run(tmp_path):
    trials = [trial(0, NASTY, reason=NASTY), trial(1, "gru")]
    rec = recommendation(trials, reasons=[NASTY], versions={NASTY: NASTY}, config={NASTY: NASTY})
    rec = rec.model_copy(update={"request": Request(data=NASTY, task="classify", target=(NASTY,))})
    facts = '{"classes": ["<script>", "b"], "<b>": {"<i>": [{"<u>": "</table>"}]}}'
    page = write_report(folder(tmp_path, rec, trials, data_profile=facts, advice=facts)).read_text(encoding="utf-8")
    assert not Tags(page).tags & {"script", "i", "u"} and Tags(page).open == []
    assert "&lt;script&gt;" in page and "\x00" not in page
    pictures(page)


@pytest.mark.parametrize("state", ["complete", "infeasible", "failed", "pruned"])
@pytest.mark.parametrize("count", [1, 5])
def test_any_state_alone_can_be_reported(tmp_path, state, count):
    unjudged = state in ("infeasible", "failed")
    trials = [trial(i, "gru", state=state, quality=None if unjudged else 0.9, curve=()) for i in range(count)]
    page = write_report(folder(tmp_path, recommendation(trials), trials, budget='{"max_latency_ms": 0.5}'))
    drawn, *_ = pictures(page.read_text(encoding="utf-8"))
    crosses = [
        mark for mark in drawn.iter("path") if "cross" in mark.get("class", "") and mark.find("title") is not None
    ]
    assert len(crosses) == (count if state == "infeasible" else 0)


def test_no_trials_at_all_still_make_a_page(tmp_path):
    page = write_report(folder(tmp_path, recommendation(TRIALS, baselines=[]), [])).read_text(encoding="utf-8")
    assert "none is ringed" in page and "No learning curve was saved" in page


def test_each_trial_has_a_mark_with_its_numbers_and_the_limit_is_a_line():
    drawn = ElementTree.fromstring(quality_latency(recommendation(TRIALS), TRIALS, limit_ms=4.0).svg)
    titles = [title.text or "" for title in drawn.iter("title")]
    for t in TRIALS:
        assert sum(f"trial {t.number}:" in said and number(t.quality) in said for said in titles) == 1
    assert any("majority, baseline" in said for said in titles)
    classes = [mark.get("class") for mark in drawn.iter()]
    assert classes.count("ring") == 1 and classes.count("limit") == 1
    assert any(text.text == "limit 4 ms" for text in drawn.iter("text"))


@given(
    values=st.lists(
        st.tuples(st.floats(1e-6, 1e9), st.floats(1e-4, 1e6), st.sampled_from(["complete", "pruned", "infeasible"])),
        min_size=1,
        max_size=12,
    ),
    higher=st.booleans(),
)
def test_every_mark_and_label_lies_inside_the_drawing(values, higher):
    trials = [trial(i, f"f{i}", quality=q, latency_ms=ms, state=state) for i, (q, ms, state) in enumerate(values)]
    rec = recommendation(trials, quality=measured(higher=higher))
    curves = learning_curves(rec, trials)
    for picture in (quality_latency(rec, trials, 5.0), *((curves,) if curves else ())):
        drawn = ElementTree.fromstring(picture.svg)
        _, _, width, height = map(float, (drawn.get("viewBox") or "").split())
        for mark in drawn.iter():
            x, y = float(mark.get("x", mark.get("cx", 0))), float(mark.get("y", mark.get("cy", 0)))
            assert 0 <= x <= width and 0 <= y <= height


@given(a=st.floats(1e-6, 1e6), b=st.floats(1e-6, 1e6), log=st.booleans())
def test_an_axis_keeps_order_and_its_ticks_lie_inside(a, b, log):
    axis = Axis.over([a, b], 0, 100, log)
    assert (axis.at(a) <= axis.at(b)) == (a <= b) or axis.at(a) == pytest.approx(axis.at(b))
    assert 0 <= axis.at(a) <= 100
    ticks = axis.ticks()
    assert len(ticks) <= 9 and ticks == sorted(ticks)
    assert all(-1e-6 <= axis.at(tick) <= 100 + 1e-6 for tick in ticks)


def test_the_front_is_what_no_other_beats_in_both():
    trials = [
        trial(i, "gru", latency_ms=ms, quality=q) for i, (ms, q) in enumerate([(1, 0.5), (2, 0.4), (3, 0.8), (3, 0.7)])
    ]
    shown = dots(recommendation(trials, baselines=[]), trials)
    assert front(shown, higher=True) == [(1, 0.5), (3, 0.8)]
    assert front(shown, higher=False) == [(1, 0.5), (2, 0.4)]


def test_the_ringed_trial_is_the_one_with_the_recommended_configuration():
    twins = [trial(0, "gru", quality=0.7), trial(1, "gru", quality=0.9)]
    assert chosen(recommendation(twins), twins) == twins[0]
    assert chosen(recommendation(twins, config={"width": 99}), twins) == twins[1]


def test_a_failed_write_leaves_the_old_report_and_no_scraps(tmp_path, monkeypatch):
    run = folder(tmp_path, recommendation(TRIALS), TRIALS)
    write_report(run).write_text("old", encoding="utf-8")
    before = sorted(p.name for p in run.iterdir())

    def refuse(source: Path, target: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        write_report(run)
    assert (run / "report.html").read_text() == "old" and sorted(p.name for p in run.iterdir()) == before


def test_torn_lines_and_broken_facts_are_counted(tmp_path):
    run = folder(tmp_path, recommendation(TRIALS), TRIALS, budget="{", device_profile="[1, 2]")
    with (run / "trials.jsonl").open("a") as file:
        file.write('{"number": 9, "fam')
    page = write_report(run).read_text(encoding="utf-8")
    assert "1 line(s) of trials.jsonl could not be read" in page and "budget.json is not JSON" in page


def test_of_a_trial_that_a_resumed_run_judged_anew_the_last_verdict_is_shown(tmp_path):
    first = trial(1, FAMILIES[1], state="failed", quality=None, reason="memory ran out")
    run = folder(tmp_path, recommendation(TRIALS), [TRIALS[0], first, *TRIALS[1:]])
    assert read_records(run).trials == TRIALS


@pytest.mark.parametrize("broken", ["recommendation.json", "trials.jsonl"])
def test_a_folder_that_is_no_run_is_named_with_its_cure(tmp_path, broken):
    run = folder(tmp_path, recommendation(TRIALS), TRIALS)
    (run / broken).unlink()
    with pytest.raises(InputError, match=broken) as caught:
        write_report(run)
    assert "advisor" in caught.value.hint


def test_a_recommendation_of_another_shape_names_the_field(tmp_path):
    run = folder(tmp_path, recommendation(TRIALS), TRIALS)
    (run / "recommendation.json").write_text('{"family": "gru"}')
    with pytest.raises(InputError, match="recommendation: baseline: Field required"):
        write_report(run)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        *[(0.91234, "0.912"), (12345.6, "12,300"), (999.6, "1,000"), (100.0, "100"), (1096, "1,096"), (0.0, "0")],
        *[(None, "–"), (float("nan"), "not finite"), (-0.5, "-0.500"), (1e-7, "1.00e-07")],
    ],
)
def test_numbers_are_said_with_three_digits_and_counts_in_full(value, said):
    assert number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.5, "0.500 s"), (61, "1 min 1 s"), (3660, "1 h 1 min"), (59.99, "1 min 0 s")]
)
def test_durations_are_said_in_the_unit_a_person_would_choose(seconds, said):
    assert duration(seconds) == said


def printed(rec: Recommendation, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_recommendation(rec, console, Path("my run"))
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 100, 120])
def test_the_terminal_gets_all_of_it_within_its_width(width):
    rec = recommendation(TRIALS, tied_with=("conv",), ranking=[*recommendation(TRIALS).ranking])
    out = printed(rec, width)
    for said in (
        *FAMILIES,
        "majority*",
        "LEN2",
        "It is the best.",
        "A tie with these data: conv; the reasons say with whom.",
    ):
        assert said in out
    assert all(len(line) <= width for line in out.split("Next")[0].splitlines())
    assert "\x1b" not in out


def test_the_next_commands_can_be_pasted_and_are_never_folded():
    out = printed(recommendation(TRIALS), width=40)
    assert "  advisor predict 'my run' 'my data/train.csv' -o predictions.csv\n" in out
    assert "  advisor export 'my run' --format onnx -o model.onnx\n" in out


def test_brackets_and_colons_in_names_are_not_read_as_markup():
    trials = [trial(0, "[red]gru[/red]"), trial(1, ":smile:")]
    out = printed(recommendation(trials, reasons=["[bold]x :smile:"]), width=120)
    assert "Use [red]gru[/red]" in out and "[bold]x :smile:" in out


def test_a_baseline_that_wins_is_said_and_ringed():
    winner = Ranked(family="linear", baseline=True, state="recommended", reason="", validation=0.95, latency_ms=0.1)
    rec = recommendation(TRIALS, family="linear", baseline=True, baselines=[winner])
    assert "A simple baseline is the answer" in printed(rec, 100)
    assert 'class="ring"' in quality_latency(rec, TRIALS, None).svg


def test_a_report_is_written_without_torch():
    code = "import sys, advisor.report.html, advisor.report.console; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
