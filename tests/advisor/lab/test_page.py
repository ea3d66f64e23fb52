"""The page of the lab shows every finding, reads no network, and cannot be broken by what a finding holds."""

import math
import re
from xml.etree import ElementTree

import pytest

from advisor import lab
from advisor.lab import Chart, Conditions, Finding, Line
from advisor.lab.page import page, write_page
from advisor.report.charts import draw, looks_of
from profiles.device import DeviceProfile

NASTY = '<script>alert("1")</script>&\x00'
DEVICE = DeviceProfile(
    kind="cpu",
    name="A processor",
    cores=2,
    threads=1,
    memory_mib=24_000,
    memory_available_mib=20_000,
    torch="2.13.0",
    matmul_gflops=90,
    copy_gib_s=9,
)


def line(name: str = "GRU", y: tuple[float, ...] = (1.0, 2.0, 4.0)) -> Line:
    return Line(name=name, x=(64.0, 128.0, 256.0), y=y)


def chart(*lines: Line, **changed: object) -> Chart:
    facts: dict[str, object] = {"title": "One row", "x_label": "length, steps", "y_label": "ms"}
    return Chart.model_validate(facts | {"lines": lines or (line(), line("LSTM", (3.0, 2.0, 1.0)))} | changed)


def finding(key: str, **changed: object) -> Finding:
    facts: dict[str, object] = {"document": "D4", "says": f"{key} says.", "how": "Once.", "result": f"{key} result."}
    facts |= {"verdict": "holds here", "charts": (chart(), chart(title="Two")), "numbers": {"power": 1.25}}
    return Finding.model_validate(facts | {"key": key} | changed)


def shown(*findings: Finding) -> str:
    return page(findings, DEVICE, Conditions(quick=True), "2026-11-21")


def test_every_finding_is_in_the_table_and_has_its_section_and_pictures():
    verdicts = ("holds here", "does not hold", "depends")
    findings = [finding(key, verdict=verdicts[i % 3]) for i, key in enumerate(lab.claims())]
    html = shown(*findings)
    assert html.count("<svg") == 2 * len(findings)
    for one in findings:
        assert html.count(one.result) == 2 and f'<section id="{one.key}"' in html and f'href="#{one.key}"' in html
        assert html.count(one.says) == 2
    for said in ("A processor", "2.13.0", "2026-11-21", "quick", *verdicts):
        assert said in html
    assert "Without a finding" not in html


def test_claims_without_a_finding_are_named():
    assert re.search(r"Without a finding here: CL1, CL2, CL4,", shown(finding("CL3")))
    assert "No claim was measured" in shown()


def test_findings_of_other_conditions_beside_the_page_are_named_and_not_shown(tmp_path):
    (tmp_path / "CL2.json").write_text(finding("CL2", under=Conditions(seed=7)).model_dump_json())
    (tmp_path / "CL3.json").write_text(finding("CL3", under=Conditions()).model_dump_json())
    shared = lab.gathered(tmp_path, Conditions())
    write_page(tmp_path / "index.html", shared, DEVICE, Conditions(), "today")
    html = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "CL3 result." in html and "CL2 result." not in html
    assert "is of other conditions or cannot be read: CL2." in html
    assert "Without a finding here: CL1, CL4," in html


def test_what_a_finding_holds_is_escaped():
    nasty = finding(
        "CL1",
        says=NASTY,
        how=NASTY,
        result=NASTY,
        document=NASTY,
        numbers={NASTY: 1.0},
        charts=(chart(line(NASTY), title=NASTY),),
    )
    html = shown(nasty)
    assert "<script" not in html and "\x00" not in html and "&lt;script&gt;" in html


def test_the_page_reads_nothing_from_the_network():
    assert not re.search(r"https?://|src=|@import|url\(", shown(finding("CL1")))


def test_a_picture_is_well_formed_and_names_its_lines():
    one = chart()
    root = ElementTree.fromstring(draw(one, looks_of([one])).svg)
    words = [element.text for element in root.iter() if element.tag == "text"]
    assert {"GRU", "LSTM", "length, steps (log scale)", "ms (log scale)"} <= set(words)


def test_lines_of_one_claim_look_different_and_keep_their_look():
    names = [f"line {i}" for i in range(12)]
    looks = looks_of([chart(*(line(name) for name in names)), chart(line("line 3"))])
    assert list(looks) == names and len(set(looks.values())) == 12


@pytest.mark.parametrize(("log", "lost"), [(True, 2), (False, 1)])
def test_points_that_an_axis_cannot_show_are_counted(log, lost):
    one = chart(line("a", (0.0, 2.0, math.nan)), log_y=log)
    picture = draw(one, looks_of([one]))
    assert (
        picture.notes == (f"Not drawn, for want of a finite value above 0: {lost} points.",) if log else picture.notes
    )
    assert str(lost) in picture.notes[0]


def test_a_chart_without_any_point_says_so():
    one = chart(line("a", (0.0, 0.0, 0.0)))
    assert "no point can be drawn" in draw(one, looks_of([one])).svg


def test_the_page_is_written_whole(tmp_path):
    write_page(tmp_path / "deep" / "lab.html", [finding("CL1")], DEVICE, Conditions(), "today")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["lab.html"]
    assert (tmp_path / "deep" / "lab.html").read_text(encoding="utf-8").endswith("</html>\n")
