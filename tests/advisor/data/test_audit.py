"""Audits: every planted fault is found and counted, and sound data are left in peace."""

import csv
from itertools import groupby

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from advisor.audit import Finding, audit, lines, together
from advisor.audit.equal import same_beginning, same_bytes, same_shape
from advisor.audit.finding import share
from advisor.data import Dataset, ReadOptions, folds_by_id, read, split_by_id
from advisor.errors import InputError


def labelled(series, labels, task="classify", groups=None):
    """Return a labelled set of (length, channels) arrays."""
    labels = np.asarray(labels)
    classes = tuple(f"c{k}" for k in range(int(labels.max()) + 1)) if task == "classify" else ()
    series = tuple(np.asarray(one, np.float32) for one in series)
    channels = tuple(f"dim_{c}" for c in range(series[0].shape[1]))
    ids = tuple(map(str, range(len(series))))
    return Dataset("d", task, ids, series, channels, labels=labels, classes=classes, groups=groups)


def forecasts(columns, start="2024-01-01"):
    """Return a set to forecast, one series a named column."""
    stamps = tuple(pd.date_range(start, periods=len(c), freq="h", unit="us") for c in columns.values())
    series = tuple(np.asarray(c, np.float32)[:, None] for c in columns.values())
    return Dataset("d", "forecast", tuple(columns), series, ("y",), stamps=stamps, freq="h")


def noise(rows, length=30, channels=1, seed=0):
    return list(np.random.default_rng(seed).normal(size=(rows, length, channels)))


def walk(length=400, seed=0):
    return np.random.default_rng(seed).normal(size=length).cumsum()


def codes(findings):
    return {one.code for one in findings}


def found(findings, code):
    return next(one for one in findings if one.code == code)


def as_ts(path, to):
    """Write a labelled long panel (series_id, t, channels ..., label) as a .ts file."""
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("series_id", "t", "label")]
    text = ["@problemName x", "@classLabel true", "@data"]
    for _, group in groupby(rows, key=lambda row: row["series_id"]):
        steps = list(group)
        text.append(":".join(",".join(s[name] for s in steps) for name in names) + ":" + steps[0]["label"])
    to.write_text("\n".join(text), encoding="utf-8")
    return to


def test_sound_sets_have_no_findings():
    assert audit(labelled(noise(200), np.arange(200) % 2)) == ()
    assert audit(labelled(noise(200), np.random.default_rng(1).normal(size=200), "regress")) == ()
    assert audit(forecasts({"a": walk(seed=1), "b": walk(seed=2)}), horizon=24) == ()


@pytest.mark.parametrize(
    "file",
    [
        "ucr_uea/JapaneseVowels/JapaneseVowels_TRAIN.ts",
        "ucr_uea/OSULeaf/OSULeaf_TRAIN.ts",
        "etth1/ETTh1.csv",
        "exchange_rate/exchange_rate.txt",
        "nab_nyc_taxi_machine_temp/nyc_taxi.csv",
        "timemmd_health_us/Health_US.csv",
        "classic_univariate/shampoo.csv",
    ],
)
def test_public_sets_raise_no_alarm(shared, file):
    assert audit(read(shared / file)) == ()


@pytest.mark.parametrize("name", ["GunPoint", "ItalyPowerDemand", "BasicMotions"])
def test_public_test_files_do_not_overlap_training(shared, name):
    train = read(shared / f"ucr_uea/{name}/{name}_TRAIN.ts")
    assert audit(train, read(shared / f"ucr_uea/{name}/{name}_TEST.ts", like=train)) == ()


def test_the_countries_without_deaths_are_copies_across_the_covid_files(shared):
    folder = shared / "covid3month_regression"
    train = read(folder / "Covid3Month_TRAIN.ts")
    test = read(folder / "Covid3Month_TEST.ts", like=train)
    one = found(audit(train, test), "test_series_in_training")
    same = {s.tobytes() for s in train.series}
    assert (one.counted, one.of) == (sum(s.tobytes() in same for s in test.series), 61)
    assert "Remove the 3 rows" in one.do


def test_m4_holds_near_copies_and_its_test_file_continues_it(shared):
    train = read(shared / "m4_hourly" / "Hourly-train.csv")
    findings = audit(train, read(shared / "m4_hourly" / "Hourly-test.csv", like=train), horizon=48)
    assert codes(findings) == {"series_moves_as_another"}
    x, y = (train.series[train.ids.index(name)][:, 0] for name in ("H39", "H30"))
    assert "H39 = H30" in findings[0].examples
    assert np.corrcoef(np.diff(x), np.diff(y))[0, 1] > 0.999


BAD = {
    "08_irregular_frequency.csv": ("irregular_sampling", "warning", "100 of 240 rows (41.7 %)"),
    "13_series_shorter_than_horizon.csv": ("series_shorter_than_horizon", "warning", "1 of 3 series"),
    "23_constant_target.csv": ("constant_target", "error", "constant (42)"),
    "30_target_leak.csv": ("series_knows_the_future", "warning", "'helper' at step t is 'y' at step t + 1"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_file_gets_the_right_word_first(shared, name):
    code, severity, words = BAD[name]
    first = audit(read(shared / "bad" / name), horizon=14)[0]
    assert (first.code, first.severity) == (code, severity)
    assert words in first.says


def test_beside_a_named_target_a_copy_is_harmless_and_a_column_that_knows_the_future_is_not(shared):
    path = shared / "bad" / "30_target_leak.csv"
    assert found(audit(read(path)), "repeated_series").examples == ("copy_of_y = y",)
    (one,) = audit(read(path, ReadOptions(target=("y",))))
    assert (one.code, one.examples) == ("series_knows_the_future", ("helper[t] = y[t + 1]",))


def test_a_class_with_one_row_is_named(shared, tmp_path):
    data = read(as_ts(shared / "bad" / "12_class_with_one_sample.csv", tmp_path / "one.ts"))
    assert found(audit(data), "classes_with_one_row").examples == ("fall",)


def test_a_test_file_of_training_series_is_counted_in_full(shared, tmp_path):
    folder = shared / "bad" / "31_train_test_overlap"
    train = read(as_ts(folder / "train.csv", tmp_path / "train.ts"))
    test = read(as_ts(folder / "test.csv", tmp_path / "test.ts"), like=train)
    one = found(audit(train, test), "test_series_in_training")
    assert (one.counted, one.of) == (10, 10)
    assert "10 byte for byte" in one.says


def test_what_readers_refuse_is_left_to_them(shared, tmp_path):
    with pytest.raises(InputError, match="single class"):
        read(as_ts(shared / "bad" / "11_single_class.csv", tmp_path / "single.ts"))
    folder = shared / "bad" / "24_labels_only_in_test"
    train = read(as_ts(folder / "train.csv", tmp_path / "train.ts"))
    with pytest.raises(InputError, match="8 of 16 labels are not among the training classes"):
        read(as_ts(folder / "test.csv", tmp_path / "test.ts"), like=train)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30), st.integers(0, 99))
def test_copies_up_to_offset_scale_and_rounding_are_one_group(picks, seed):
    rng = np.random.default_rng(seed)
    base = noise(10, 40, 2)
    series = [
        (base[k] * rng.uniform(0.1, 10) + rng.normal() + rng.normal(size=(40, 2)) * 1e-6).astype(np.float32)
        for k in picks
    ]
    assert same_shape(series).tolist() == [picks.index(k) for k in picks]
    assert (same_bytes(series) >= same_shape(series)).all()


def test_lines_switches_and_constants_are_not_copies_of_each_other():
    t = np.arange(40.0, dtype=np.float32)[:, None]
    switch = (t > 20).astype(np.float32)
    series = [t, 3 * t + 1, switch, 5 * switch, np.zeros_like(t), np.ones_like(t), switch.copy()]
    assert same_shape(series).tolist() == [0, 1, 2, 3, 4, 5, 2]


def test_contradicting_labels_bound_the_accuracy():
    series = noise(10)
    data = labelled([*series, series[0], series[0], series[1]], [0] * 5 + [1] * 5 + [1, 1, 0])
    one = found(audit(data), "contradicting_labels")
    assert (one.counted, one.of) == (3, 13)  # rows 0, 10, 11 disagree; 1 and 12 agree
    assert "no model can put more than 92.3 %" in one.says  # one of 13 must be wrong


def test_contradicting_numbers_bound_the_rmse():
    series = noise(8)
    data = labelled([*series, series[0]], np.array([1.0, 2, 3, 4, 5, 6, 7, 8, 4]), "regress")
    assert "rmse below 0.707" in found(audit(data), "contradicting_labels").says  # sqrt(2 * 1.5^2 / 9)


def test_rows_that_belong_together_are_never_torn_apart():
    series = noise(60)
    copies = [*series, *(2 * one + 1 for one in series[:20])]
    groups = tuple(f"p{i // 3}" for i in range(80))
    data = labelled(copies, np.arange(80) % 2, groups=groups)
    group = together(data)
    for seed in range(5):
        train, held = split_by_id(data, 0.2, seed, group)
        fold = folds_by_id(data, 5, seed, group)
        assert 8 <= len(held) <= 20
        assert not {groups[i] for i in train} & {groups[i] for i in held}
        assert not set(group[train]) & set(group[held])
        assert all(len(set(fold[group == g])) == 1 for g in np.unique(group))
        assert set(fold) == set(range(5))
    assert {"repeated_series", "ids_with_several_series"} <= codes(audit(data))


def test_cuts_of_one_recording_are_kept_together_and_said():
    cuts = [one[:length] for one in noise(20, 60, channels=2) for length in (17, 30, 60)]
    data = labelled(cuts, np.linspace(0, 1, 60), "regress")
    group = together(data)
    assert group.tolist() == [3 * (i // 3) for i in range(60)]
    train, held = split_by_id(data, 0.2, 0, group)
    assert not set(group[train]) & set(group[held])
    assert found(audit(data), "same_beginnings").counted == 40
    few = labelled(cuts[:27], np.linspace(0, 1, 27), "regress")
    assert together(few).tolist() == list(range(27))
    assert found(audit(few), "same_beginnings").severity == "warning"


def test_a_beginning_that_says_nothing_joins_nothing():
    flat = [np.concatenate([np.zeros((20, 1)), one]) for one in noise(12)]
    steps = [np.concatenate([np.arange(16)[:, None] % 7, one]) for one in noise(12)]
    short = [one[:15] for one in noise(1) * 12]
    for series in (flat, steps, short):
        assert same_beginning(series).tolist() == list(range(12))
    assert same_beginning([noise(1)[0]] * 3).tolist() == [0, 0, 0]
    assert "same_beginnings" not in codes(audit(labelled([noise(1)[0]] * 12, np.arange(12) % 2)))


def test_groups_of_one_row_change_no_split():
    data = labelled(noise(50), np.arange(50) % 3)
    alone = together(data)
    assert alone.tolist() == list(range(50))
    for plain, grouped in zip(split_by_id(data, 0.2, 7), split_by_id(data, 0.2, 7, alone), strict=True):
        assert np.array_equal(plain, grouped)
    assert np.array_equal(folds_by_id(data, 5, 7), folds_by_id(data, 5, 7, alone))


def test_copies_of_one_series_cannot_be_split():
    data = labelled([noise(1)[0]] * 9, np.arange(9) % 2)
    for split in (lambda g: split_by_id(data, 0.2, 0, g), lambda g: folds_by_id(data, 5, 0, g)):
        with pytest.raises(InputError, match="1 series that are not copies"):
            split(together(data))


def test_ids_in_both_files_are_counted_and_row_numbers_are_not_ids():
    train = labelled(noise(40), np.arange(40) % 2, groups=tuple(f"p{i}" for i in range(40)))
    test = labelled(noise(30, seed=1), np.arange(30) % 2, groups=tuple(f"p{i + 35}" for i in range(30)))
    one = found(audit(train, test), "id_in_both_files")
    assert (one.counted, one.of, one.examples[0]) == (5, 30, "p35")
    numbered = [labelled(noise(40, seed=s), np.arange(40) % 2, groups=tuple(map(str, range(40)))) for s in (0, 1)]
    assert "id_in_both_files" not in codes(audit(*numbered))


def test_repeated_ids_of_a_file_reach_the_audit(write):
    rows = [[f"p{i // 2}", str(i % 2), *map(str, one[:, 0])] for i, one in enumerate(noise(40, 10))]
    path = write("id,label," + ",".join(f"s{k}" for k in range(10)) + "\n" + "\n".join(map(",".join, rows)))
    data = read(path)
    assert data.groups[:3] == ("p0", "p0", "p1")
    assert found(audit(data), "ids_with_several_series").counted == 20


@pytest.mark.parametrize("task", ["classify", "regress"])
def test_a_label_among_the_steps_is_found_and_nothing_else(task):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3 if task == "classify" else rng.normal(size=60)
    series = noise(60)
    assert "label_in_series" not in codes(audit(labelled(series, labels, task)))
    planted = [np.concatenate([one, [[-2.5 * label + 7]]]) for one, label in zip(series, labels, strict=True)]
    one = found(audit(labelled(planted, labels, task)), "label_in_series")
    assert one.examples == ("step 31 of 31",)


def test_a_label_in_a_static_channel_of_series_of_many_lengths_is_found():
    labels = np.arange(40) % 2
    series = [np.c_[one[: 10 + i % 7], np.full(10 + i % 7, labels[i])] for i, one in enumerate(noise(40))]
    assert found(audit(labelled(series, labels)), "label_in_series").examples == ("channel dim_1 (static)",)


def test_classes_that_are_simply_easy_are_no_leak():
    t = np.linspace(0, 6, 50)[:, None]
    labels = np.arange(60) % 2
    series = [np.sin(t) * (1 + 2 * k) + 0.05 * one[:1] for one, k in zip(noise(60), labels, strict=True)]
    assert "label_in_series" not in codes(audit(labelled(series, labels)))


@given(st.integers(1, 150), st.floats(0.1, 10), st.integers(0, 99))
def test_a_shifted_column_is_found_with_its_shift_and_direction(ahead, scale, seed):
    whole = walk(400 + ahead, seed)
    data = forecasts({"y": whole[:400], "other": walk(seed=seed + 1000), "b": 3 - scale * whole[ahead:]})
    one = found(audit(data), "series_knows_the_future")
    assert one.examples == (f"b[t] = y[t + {ahead}]",)
    assert (one.counted, one.of) == (1, 3)


@pytest.mark.parametrize("ahead", [1, 3, 60])
def test_a_shifted_column_is_found_whatever_it_is_filled_up_with(ahead):
    y = walk(seed=5) - 20
    lead, lag = np.r_[y[ahead:], np.zeros(ahead)], np.r_[np.full(ahead, 999.0), y[:-ahead]]
    one = found(audit(forecasts({"y": y, "lead": lead})), "series_knows_the_future")
    assert one.examples == (f"lead[t] = y[t + {ahead}]",)
    late = found(audit(forecasts({"y": y, "lag": lag})), "series_knows_the_future")
    assert late.examples == (f"y[t] = lag[t + {ahead}]",)


def test_one_glitch_does_not_hide_a_copy_and_makes_none():
    y, other = walk(403, 1), walk(seed=2)
    y[200] += 500
    one = found(audit(forecasts({"y": y[:400], "lead": y[3:], "other": other})), "series_knows_the_future")
    assert one.examples == ("lead[t] = y[t + 3]",)
    other[200] += 500
    assert "series_moves_as_another" not in codes(audit(forecasts({"y": y[:400], "other": other})))


def test_series_that_cannot_be_compared_are_not_counted_as_compared():
    y, t = walk(403), np.arange(400)
    data = forecasts({"y": y[:400], "lead": y[3:], "jump": (t > 300) * 1.0, "sine": np.sin(t / 24 * 2 * np.pi)})
    one = found(audit(data), "series_knows_the_future")
    assert one.of == 2
    assert one.says.startswith("1 of 2 series compared (4 in all) tell another one ahead of time")


def test_trends_cycles_and_switches_are_not_taken_for_copies():
    t = np.arange(600)
    rng = np.random.default_rng(0)
    data = forecasts(
        {
            "trend": 0.5 * t + rng.normal(size=600) * 0.1,
            "steeper": 2.0 * t + rng.normal(size=600) * 0.1,
            "sine": np.sin(t / 24 * 2 * np.pi),
            "cosine": np.cos(t / 24 * 2 * np.pi),
            "weekend": (t % 168 > 120) * 1.0,
            "jump": (t > 300) * 1.0,
            "other jump": (t > 350) * 1.0,
        }
    )
    assert not codes(audit(data)) & {"series_knows_the_future", "series_moves_as_another"}


def test_a_test_file_that_overlaps_or_leaves_a_gap_is_told():
    y = walk(300)
    train = forecasts({"a": y[:200], "b": y[:200] ** 2})
    after = str(train.stamps[0][-1] + pd.Timedelta(hours=1))
    tail = {"a": y[200:], "b": y[200:] ** 2}
    assert not codes(audit(train, forecasts(tail, after))) & {"test_overlaps_training", "gap_before_test"}
    early = forecasts({"a": y[190:], "b": y[190:] ** 2}, str(train.stamps[0][190]))
    assert "share up to 10 steps" in found(audit(train, early), "test_overlaps_training").says
    late = forecasts({**tail, "c": y[:50]}, str(train.stamps[0][-1] + pd.Timedelta(hours=6)))
    assert "up to 5 steps after" in found(audit(train, late), "gap_before_test").says
    assert found(audit(train, late), "test_ids_without_training").examples == ("c",)
    before = forecasts(tail, "2020-01-01")
    assert found(audit(train, before), "test_before_training").counted == 2


def test_row_numbers_that_begin_again_overlap_only_where_the_values_do(write):
    y = walk(120)
    train = read(write("\n".join(["y", *map(str, y[:100])]), "train.csv"))
    tail = read(write("\n".join(["y", *map(str, y[80:100])]), "tail.csv"), like=train)
    future = read(write("\n".join(["y", *map(str, y[100:])]), "future.csv"), like=train)
    assert found(audit(train, tail), "test_overlaps_training").counted == 1
    assert audit(train, future) == ()


def test_jitter_and_gaps_are_measured_on_the_grid(write):
    times = list(pd.date_range("2024-01-01", periods=100, freq="h"))
    times = [t + pd.Timedelta(minutes=15 * (i == 10)) for i, t in enumerate(times) if i not in (20, 21, 22, 40)]
    data = read(write("time,y\n" + "\n".join(f"{t},{v}" for t, v in zip(times, walk(96), strict=True))))
    s = data.sampling
    assert (s.rows, s.steps, s.gaps, s.moved, s.met, s.longest_gap, s.shift) == (96, 100, 4, 1, 0, 3, 0.25)
    one = found(audit(data), "irregular_sampling")
    assert one.severity == "note"
    assert "1 of 96 rows (1.0 %) are off it, by up to 25 % of a step" in one.says
    assert "4 of 100 places (4.0 %) have no row, up to 3 running" in one.says


def test_constant_targets_are_errors_and_come_first():
    flat = forecasts({"a": np.full(50, 3.0), "b": np.full(50, 4.0)})
    assert audit(flat, horizon=30)[0].code == "constant_target"
    same = labelled(noise(20), np.full(20, 2.5), "regress")
    assert audit(same)[0].says == "There is nothing to learn: 20 of 20 labels are 2.5."
    few = labelled(noise(5), np.arange(5) % 2)
    assert (audit(few)[0].code, audit(few)[0].severity) == ("few_rows", "error")


def test_constant_series_and_channels_are_counted():
    series = [np.c_[one, np.ones(30)] for one in noise(200)]
    series[3] = np.ones((30, 2))
    findings = audit(labelled(series, np.arange(200) % 2))
    assert found(findings, "constant_series").examples == ("3",)
    assert found(findings, "constant_channels").examples == ("dim_1",)


def test_rare_classes_and_classes_that_the_test_lacks_are_named():
    labels = np.array([0] * 190 + [1] * 7 + [2] * 3)
    test = labelled(noise(40, seed=1), np.arange(40) % 2)
    findings = audit(labelled(noise(200), labels), test)
    assert found(findings, "unbalanced_classes").examples == ("c1: 7", "c2: 3")
    assert found(findings, "small_classes").examples == ("c2: 3",)
    assert found(findings, "classes_not_in_test").examples == ("c2",)


def test_codes_for_missing_values_are_told_from_extremes():
    y = walk(100)
    coded = y.copy()
    coded[[5, 50, 70]] = -999
    one = found(audit(forecasts({"a": y, "b": coded})), "codes_for_missing")
    assert (one.counted, one.of, one.examples) == (3, 200, ("b: -999 (3 times)",))
    assert "codes_for_missing" not in codes(audit(forecasts({"score": np.arange(100.0) % 100})))


def test_much_that_was_missing_is_a_warning(write):
    text = "time,y\n" + "\n".join(
        f"{d},{v if i % 3 else ''}"
        for i, (d, v) in enumerate(zip(pd.date_range("2024-01-01", periods=90), walk(90), strict=True))
    )
    assert found(audit(read(write(text))), "missing_values").severity == "warning"


@given(st.lists(st.integers(1, 5), min_size=2, max_size=40), st.integers(1, 3), st.integers(2, 5), st.integers(0, 99))
def test_any_small_set_can_be_audited(lengths, channels, values, seed):
    rng = np.random.default_rng(seed)
    series = [rng.integers(0, values, (n, channels)) for n in lengths]
    numbers = rng.integers(0, values, len(lengths))
    columns = {str(i): rng.integers(0, values, n * 30) for i, n in enumerate(lengths)}
    for data in (labelled(series, numbers), labelled(series, numbers * 1.0, "regress"), forecasts(columns)):
        for one in audit(data, data, horizon=3):
            assert 0 < one.counted <= one.of
            assert one.says.endswith(".")
            assert one.do.endswith(".")


def test_findings_survive_json_and_read_as_lines():
    one = audit(forecasts({"a": np.full(50, 3.0)}))[0]
    assert Finding.model_validate_json(one.model_dump_json()) == one
    assert lines([one]) == [
        "error: There is nothing to learn: 1 of 1 series are constant (3). Repeat the value, which is exact; no model "
        "is worth training. Check that this is the right target."
    ]
    assert [share(*pair) for pair in ((1, 3), (0, 9), (9, 9), (1, 99999), (99999, 100000))] == [
        "33.3 %", "0.0 %", "100 %", "below 0.1 %", "99.9 %",
    ]  # fmt: skip
