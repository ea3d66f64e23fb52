"""The lab finds every claim, measures each on its own, saves what it finds, and tells what it could not measure."""

import json
import re
import subprocess
import sys

import pytest
import torch

from advisor import lab
from advisor.errors import InputError
from advisor.lab import Chart, Conditions, Finding, Line
from advisor.lab.judging import growth, judge, told

QUICK = Conditions(quick=True)


def finding(key: str, **changed: object) -> Finding:
    chart = Chart(title="t", x_label="x", y_label="y", lines=(Line(name="a", x=(1.0, 2.0), y=(1.0, 4.0)),))
    facts: dict[str, object] = {"document": "D4", "says": "It grows.", "how": "Once.", "result": "It grew by 4."}
    facts |= {"verdict": "holds here", "charts": (chart,), "numbers": {"power": 2.0}}
    return Finding.model_validate(facts | {"key": key} | changed)


@pytest.fixture
def two_claims(monkeypatch):
    def broken(at: Conditions) -> Finding:
        """CL1: it breaks."""
        raise RuntimeError("no such kernel\nand more")

    def threads(at: Conditions) -> Finding:
        """CL2: it counts threads and draws a number."""
        return finding("CL2", numbers={"threads": torch.get_num_threads(), "drawn": float(torch.rand(()))})

    found = {"CL1": broken, "CL2": threads}
    monkeypatch.setattr(lab, "claims", lambda: found)
    return found


def test_every_claim_of_the_documents_is_found_in_order_and_has_its_page():
    assert list(lab.claims()) == [f"CL{i}" for i in range(1, 14)]
    for key in lab.claims():
        assert re.match(rf"{key}: .+\.$", lab.about(key).splitlines()[0])
        assert re.search(r"\bD[0-4]\b", lab.about(key))


def test_every_page_says_where_its_claim_holds_and_how_the_verdict_follows():
    for key in lab.claims():
        (rule,) = (part for part in lab.about(key).split("\n\n") if part.startswith("Holds where"))
        words = " ".join(rule.split())
        assert "All parts: holds here; none: does not hold; some: depends" in words
        assert "efuted" not in lab.about(key)


def test_keys_are_taken_in_any_case_and_order_and_once():
    assert lab.asked(["cl12", "CL2", "Cl2"]) == ("CL2", "CL12")
    assert lab.asked([]) == tuple(lab.claims())


def test_an_unknown_key_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="CL99") as caught:
        lab.asked(["CL99"])
    assert "CL9" in caught.value.hint


def test_a_claim_that_fails_is_told_and_the_others_go_on(two_claims, tmp_path):
    said: list[str] = []
    found = lab.run_lab([], QUICK, said.append, tmp_path / "new")
    assert [one.key for one in found] == ["CL2"]
    assert any("CL1: could not be measured here: RuntimeError: no such kernel" in line for line in said)
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["CL2.json"]
    assert Finding.model_validate_json((tmp_path / "new" / "CL2.json").read_bytes()) == found[0]


def test_where_no_claim_can_be_measured_the_user_gets_the_first_reason(two_claims, tmp_path):
    with pytest.raises(InputError, match=r"none of the claims .*CL1.*RuntimeError: no such kernel") as caught:
        lab.run_lab(["CL1"], QUICK, print, tmp_path)
    assert "--device" in caught.value.hint and not list(tmp_path.iterdir())


def test_findings_of_several_runs_under_equal_conditions_are_gathered(two_claims, tmp_path):
    two_claims["CL1"] = lambda at: finding("CL1")
    (second,) = lab.run_lab(["CL2"], QUICK, print, tmp_path)
    (first,) = lab.run_lab(["CL1"], QUICK, print, tmp_path)
    assert first.under == second.under == QUICK
    assert lab.gathered(tmp_path, QUICK) == (first, second) and lab.unlike(tmp_path, QUICK) == ()


def test_findings_of_other_or_unknown_conditions_are_left_out_by_name(two_claims, tmp_path):
    lab.run_lab(["CL2"], Conditions(quick=True, seed=1), print, tmp_path)
    for text in ("not a finding", finding("CL1").model_dump_json(), finding("CL2", under=QUICK).model_dump_json()):
        (tmp_path / "CL1.json").write_text(text)
        assert lab.gathered(tmp_path, QUICK) == () and lab.unlike(tmp_path, QUICK) == ("CL1", "CL2")
    assert lab.gathered(tmp_path / "none", QUICK) == ()


def test_threads_and_seed_are_those_of_the_conditions_and_are_put_back(two_claims, tmp_path):
    before, state = torch.get_num_threads(), torch.get_rng_state()
    runs = [lab.run_lab(["CL2"], Conditions(threads=2, seed=s), print, tmp_path)[0] for s in (0, 0, 1)]
    assert torch.get_num_threads() == before and torch.equal(torch.get_rng_state(), state)
    assert all(run.numbers["threads"] == 2 for run in runs)
    assert runs[0].numbers == runs[1].numbers != runs[2].numbers


def test_a_device_that_is_not_there_is_the_users_error(tmp_path):
    with pytest.raises(InputError, match="abacus"):
        lab.run_lab(["CL1"], Conditions(device="abacus"), print, tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_lines_hold_key_verdict_claim_and_result():
    shown = lab.lines([finding("CL1"), finding("CL12", verdict="depends")])
    assert shown[0] == "CL1   holds here     It grows. (D4)" and shown[3].strip() == "It grew by 4."
    assert "depends" in shown[2] and lab.lines([]) == []


def test_a_claim_holds_with_all_its_parts_fails_with_none_and_else_depends():
    assert judge({"a": True, "b": True}) == "holds here"
    assert judge({"a": False, "b": False}) == "does not hold"
    assert judge({"a": True, "b": False}) == "depends"
    with pytest.raises(ValueError, match="without parts"):
        judge({})


def test_the_parts_are_told():
    assert told({"a": True, "b": False}) == "Not so here: b. So here: a."
    assert told({"a": True}) == "Every part of the claim is so here."
    assert told({"a": False}) == "No part of the claim is so here."


def test_growth_is_the_power_of_the_longer_half():
    assert growth([1, 2, 4, 8, 16, 32], [9, 9, 9, 64, 256, 1024]) == pytest.approx(2)
    with pytest.raises(ValueError, match="two lengths"):
        growth([8], [1.0])


def test_the_list_of_claims_can_be_imported_without_torch():
    code = "import sys, advisor.lab; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


@pytest.mark.slow
def test_the_quick_lab_measures_the_claims_about_speed_training_and_memory(tmp_path):
    keys = ["CL1", "CL2", "CL3", "CL8", "CL9", "CL10", "CL11", "CL12", "CL13"]
    found = lab.run_lab(keys, QUICK, print, tmp_path)
    assert [one.key for one in found] == keys
    for one in found:
        assert one.numbers and one.charts and all(line.x for chart in one.charts for line in chart.lines)
        assert json.loads((tmp_path / f"{one.key}.json").read_text())["verdict"] == one.verdict
