"""Calibrations are kept a device, torch version and thread count; a target file that is not one is said to be none."""

import pytest

from advisor import calibrations
from advisor.errors import InputError
from profiles.calibration import Calibration, Shape, calibrate, write
from profiles.crossover import Crossovers

SHAPE = Shape(width=16, depth=1, batch=2)


@pytest.fixture(scope="module")
def small() -> Calibration:
    return calibrate(seconds=20, families=("gru", "conv"), lengths=(16, 32, 64), shape=SHAPE)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVISOR_CACHE", str(tmp_path / "cache"))


def test_what_is_stored_is_found_again(small):
    assert calibrations.cached(small.device) is None
    stored = calibrations.store(small)
    assert stored.replaced and stored.path.parent == calibrations.folder() and str(stored.path) in stored.says
    assert calibrations.cached(small.device) == small


@pytest.mark.parametrize("change", [{"name": "another"}, {"torch": "9.9"}, {"kind": "cuda"}, {"cores": 999}])
def test_another_device_torch_or_number_of_cores_has_a_file_of_its_own(small, change):
    calibrations.store(small)
    assert calibrations.cached(small.device.model_copy(update=change)) is None


def test_another_thread_count_has_a_file_of_its_own(small):
    calibrations.store(small)
    assert calibrations.cached(small.device, 4) is None


def test_a_cached_file_that_cannot_be_read_counts_as_none(small):
    calibrations.store(small).path.write_text("{")
    assert calibrations.cached(small.device) is None


def with_noise(small: Calibration, too_noisy: bool, **changes: object) -> Calibration:
    noise = small.noise.model_copy(update={"too_noisy": too_noisy})
    return small.model_copy(update={"noise": noise, "date": "2026-01-02", **changes})


def test_a_noisy_calibration_does_not_replace_a_quiet_one_and_says_so(small):
    quiet, noisy = with_noise(small, False), with_noise(small, True, date="2026-03-04")
    calibrations.store(quiet)
    stored = calibrations.store(noisy)
    assert not stored.replaced and "not kept, too noisy" in stored.says and "2026-01-02" in stored.says
    assert calibrations.cached(small.device) == quiet


@pytest.mark.parametrize(("earlier", "later"), [(True, True), (True, False), (False, False)])
def test_otherwise_the_later_calibration_replaces_the_earlier(small, earlier, later):
    calibrations.store(with_noise(small, earlier))
    new = with_noise(small, later, date="2026-03-04")
    assert calibrations.store(new).replaced and calibrations.cached(small.device) == new


def test_whether_a_device_is_calibrated_is_said_in_a_line(small):
    assert calibrations.said_of(small.device) == "not calibrated: advisor device --calibrate takes two minutes"
    calibrations.store(with_noise(small, True))
    assert "calibrated 2026-01-02, too noisy" in calibrations.said_of(small.device)
    calibrations.store(with_noise(small, False))
    assert calibrations.said_of(small.device).startswith(
        "calibrated 2026-01-02: No crossover: it needs the Transformer"
    )
    found = Crossovers(short_below=80, longest=4096, device="toaster", says="On a toaster, 80.")
    calibrations.store(with_noise(small, False, crossovers=found))
    assert calibrations.said_of(small.device) == "calibrated 2026-01-02: On a toaster, 80."


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    assert calibrations.folder() == tmp_path / "cache" / "calibrations"
    monkeypatch.delenv("ADVISOR_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert calibrations.folder() == tmp_path / "xdg" / "advisor" / "calibrations"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert calibrations.folder() == tmp_path / ".cache" / "advisor" / "calibrations"


def test_a_target_file_is_read(small, tmp_path):
    write(small, tmp_path / "raspberry.json")
    assert calibrations.load_target(tmp_path / "raspberry.json") == small


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "there is no target device file"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"[]", "not a calibration of this version"),
        (b'{"schema_version": 2}', "not a calibration of this version"),
    ],
)
def test_a_target_file_that_is_none_is_refused_with_a_cure(tmp_path, content, says):
    file = tmp_path / "raspberry.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(InputError, match=says) as refused:
        calibrations.load_target(file)
    assert "advisor device --calibrate" in refused.value.hint and "raspberry.json" in refused.value.message


def test_a_missing_calibration_of_this_device_is_made_for_the_families_asked(small, tmp_path, monkeypatch):
    monkeypatch.setattr(calibrations, "QUICK_LENGTHS", (16, 32))
    write(small, tmp_path / "raspberry.json")
    told: list[str] = []
    found = calibrations.target_of(tmp_path / "raspberry.json", "cpu", ("gru", "cross_fusion"), say=told.append)
    assert set(found.here.inference) == {"gru", "conv"} and found.here.shape == SHAPE
    assert "no calibration of this device is cached" in told[0]
    assert calibrations.cached(small.device) is None


@pytest.mark.parametrize(("asked", "given"), [(1.5, 10.0), (20.0, 20.0), (500.0, 30.0)])
def test_a_quick_calibration_has_ten_to_thirty_seconds(small, tmp_path, monkeypatch, asked, given):
    spent: list[float] = []

    def record(device: str, seconds: float, **settings: object) -> Calibration:
        spent.append(seconds)
        return small

    monkeypatch.setattr(calibrations, "calibrate", record)
    write(small, tmp_path / "raspberry.json")
    calibrations.target_of(tmp_path / "raspberry.json", "cpu", ("gru",), seconds=asked)
    assert spent == [given]


def test_a_cached_calibration_of_the_same_sizes_is_used(small, tmp_path):
    write(small, tmp_path / "raspberry.json")
    calibrations.store(small)
    assert calibrations.target_of(tmp_path / "raspberry.json", "cpu", ("gru",)).here == small
