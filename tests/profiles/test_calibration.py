"""A small calibration is real; what fails, does not fit or has no time is recorded; and it runs with torch alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from hybrids.families import FAMILIES
from profiles import calibration, clock, passes, rounds
from profiles.calibration import Calibration, Shape, calibrate, main, noise_of, words, write
from profiles.curves import curve
from profiles.device import DeviceError

ROOT = Path(__file__).parents[2]
LENGTHS = (16, 32, 64)
SMALL = Shape(width=16, depth=1, batch=2)
FORBIDDEN = ("sklearn", "scipy", "optuna", "pandas", "onnx", "onnxruntime", "rich", "click", "advisor")
BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {forbidden!r}:
            raise ImportError("blocked: " + name)
sys.meta_path.insert(0, Blocker())
sys.argv = ["profiles.calibration", "-o", {out!r}, "--families", "gru,transformer,conv", "--seconds", "0.5"]
import runpy
runpy.run_module("profiles.calibration", run_name="__main__")
"""


@pytest.fixture(scope="module")
def small() -> Calibration:
    return calibrate(seconds=20, families=("gru", "transformer"), lengths=LENGTHS, shape=SMALL)


@pytest.fixture
def known_device(small, monkeypatch):
    """Spare the time to measure the device itself again."""
    monkeypatch.setattr(calibration, "measure_device", lambda device: small.device)


def test_two_families_and_three_lengths_are_measured(small):
    assert set(small.training) == set(small.inference) == set(small.memory) == {"gru", "transformer"}
    assert small.training["gru"].lengths == LENGTHS == small.inference["transformer"].lengths
    assert min(small.training["gru"].values) > 0
    assert small.clock == "process" and small.threads == 1 and small.noise.rounds >= 3
    assert small.crossovers is not None and small.crossovers.longest == 64
    assert {pair.quantity for pair in small.pairs} == {"training", "inference"}
    assert small.failed == small.ended == small.no_time == {} and small.missing_operators == ()


@pytest.mark.usefixtures("known_device")
def test_peak_memory_is_that_of_the_tensors_and_the_same_each_time(small):
    again = calibrate(seconds=20, families=("gru", "transformer"), lengths=LENGTHS, shape=SMALL)
    assert again.memory == small.memory
    tokens = 64 * SMALL.batch * SMALL.width * 4 / 2**20
    assert small.memory["gru"].at(64) > tokens


def test_it_survives_json_and_is_written_whole(small, tmp_path):
    write(small, tmp_path / "deep" / "device.json")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["device.json"]
    assert Calibration.model_validate_json((tmp_path / "deep" / "device.json").read_text()) == small


def test_it_leaves_threads_and_random_numbers_as_they_were():
    before = torch.get_num_threads()
    torch.manual_seed(5)
    first = torch.rand(1)
    torch.manual_seed(5)
    calibrate(seconds=5, families=("conv",), lengths=(8,), shape=SMALL, threads=2)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.rand(1), first)


@pytest.mark.usefixtures("known_device")
def test_with_more_threads_the_wall_clock_counts():
    assert calibrate(seconds=5, families=("conv",), lengths=(8,), shape=SMALL, threads=2).clock == "wall"


def test_the_words_name_every_family_the_crossovers_and_the_noise(small):
    text = "\n".join(words(small))
    assert all(name in text for name in small.training)
    assert "512" in text and "1024" in text and small.noise.says in text and small.crossovers.says in text


class Lacking(passes.Stack):
    """Cannot run at all, or not above 16 steps for want of memory."""

    def __init__(self, family, *settings):
        super().__init__(family, *settings)
        self.family = family

    def training(self, length):
        """Fail as the family does."""
        if self.family == "ssm":
            raise NotImplementedError("The operator 'aten::cumsum' is not implemented for the NPU.\nSee elsewhere.")
        if self.family == "gru" and length > 16:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3 GiB.")
        return super().training(length)


@pytest.mark.usefixtures("known_device")
def test_a_missing_operator_and_a_lack_of_memory_are_recorded_and_the_others_go_on(monkeypatch):
    monkeypatch.setattr(rounds, "Stack", Lacking)
    found = calibrate(seconds=20, families=("ssm", "gru", "conv"), lengths=(16, 32), shape=SMALL)
    assert found.failed == {
        "ssm": "NotImplementedError: The operator 'aten::cumsum' is not implemented for the NPU. at 16 steps"
    }
    assert found.ended == {"gru": "out of memory at 32 steps"}
    assert found.training["gru"].lengths == (16,) and found.training["conv"].lengths == (16, 32)
    text = "\n".join(words(found))
    assert "ssm: cannot run here" in text and "gru ended early: out of memory" in text and "No crossover" in text


class Unprofiled(passes.Stack):
    """Its memory cannot be measured."""

    def peak_mib(self, length):
        """Fail."""
        raise RuntimeError("no profiler here")


@pytest.mark.usefixtures("known_device")
def test_where_memory_cannot_be_measured_the_times_still_are(monkeypatch):
    monkeypatch.setattr(rounds, "Stack", Unprofiled)
    told: list[str] = []
    found = calibrate(seconds=20, families=("conv",), lengths=(16, 32), shape=SMALL, say=told.append)
    assert found.training["conv"].lengths == (16, 32) and found.memory == found.ended == {}
    assert "conv: memory is not measured, RuntimeError: no profiler here" in told[0]
    assert "conv" in "\n".join(words(found))


@pytest.mark.usefixtures("known_device")
def test_a_length_that_would_not_fit_into_the_memory_is_not_tried(monkeypatch):
    monkeypatch.setattr(rounds, "available_bytes", lambda device: 200_000)
    found = calibrate(seconds=20, families=("gru", "conv"), lengths=(16, 256), shape=SMALL)
    assert set(found.ended) == {"gru", "conv"} and all("MiB may be taken" in why for why in found.ended.values())


@pytest.mark.usefixtures("known_device")
def test_a_length_that_there_is_no_time_for_is_named(monkeypatch):
    monkeypatch.setattr(rounds, "available_bytes", lambda device: None)
    found = calibrate(seconds=1.0, families=("conv", "gru"), lengths=(16, 32768))
    assert found.no_time == {"conv": 32768, "gru": 32768}
    assert "No time was left for 32768 steps: conv, gru." in words(found)


@pytest.mark.parametrize(
    "asked", [{"families": ("encoder_decoder",)}, {"families": ("x",)}, {"lengths": (32, 16)}, {"lengths": (0, 4)}]
)
def test_what_cannot_be_calibrated_is_refused(asked):
    with pytest.raises(ValueError, match="cannot calibrate"):
        calibrate(seconds=1, **asked)


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError):
        calibrate("toaster")


def test_times_that_repeat_make_certain_crossovers_and_times_that_do_not_are_said_to_be_too_noisy():
    lengths = (16, 64, 256, 1024)
    steep = {
        "gru": curve(lengths, [float(n) for n in lengths]),
        "transformer": curve(lengths, [180 + 0.4 * n for n in lengths]),
    }
    quiet = noise_of(steep, [0.01, 0.02, 0.01], [1.0], 5)
    assert not quiet.too_noisy and quiet.repeat_percent == pytest.approx(1.0) and quiet.crossover_factor < 1.1
    loud = noise_of(steep, [0.3, 0.2, 0.2], [2.0], 5)
    assert loud.too_noisy and "too noisy" in loud.says and "other programs ran" in loud.says
    assert noise_of(steep, [], [], 1).too_noisy


def test_without_a_crossover_the_noise_moves_none():
    lengths = (16, 64, 256, 1024)
    apart = {"gru": curve(lengths, [float(n) for n in lengths])}
    assert "crossover" not in noise_of(apart, [0.01, 0.02], [1.0], 5).says
    apart["transformer"] = curve(lengths, [9.0 * n for n in lengths])
    assert noise_of(apart, [0.01, 0.02], [1.0], 5).says.endswith("; that moves no crossover.")


def test_crossovers_are_reliable_unless_it_was_too_noisy(small):
    quiet = small.model_copy(update={"noise": small.noise.model_copy(update={"too_noisy": False})})
    loud = small.model_copy(update={"noise": small.noise.model_copy(update={"too_noisy": True})})
    assert quiet.reliable_crossovers == small.crossovers is not None and loud.reliable_crossovers is None


def test_one_length_shows_no_error_no_guess_and_why_there_is_no_crossover(small):
    one = {name: curve((16,), (3.0,)) for name in ("gru", "transformer")}
    short = small.model_copy(update={"training": one, "inference": one, "memory": {}, "crossovers": None, "pairs": ()})
    lines = words(short)
    row = next(line for line in lines if line.startswith("gru"))
    assert "~" not in row and "%" not in row and row.count("-") == 9
    assert any("No crossover: it needs two lengths" in line for line in lines)


@pytest.mark.usefixtures("known_device")
def test_a_clock_that_stands_still_is_survived(monkeypatch):
    monkeypatch.setattr(clock.time, "process_time", lambda: 7.0)
    found = calibrate(seconds=20, families=("gru", "transformer"), lengths=(16, 32), shape=SMALL)
    assert found.training["gru"].values == (clock.LEAST_MS,) * 2


class Weightless(passes.Stack):
    """Its memory shows only at 64 steps, as where a pool grows in large pieces."""

    def peak_mib(self, length):
        """Return MiB."""
        return 4.0 if length == 64 else 0.0


@pytest.mark.usefixtures("known_device")
def test_a_peak_of_nothing_is_not_stored_but_said(monkeypatch):
    monkeypatch.setattr(rounds, "Stack", Weightless)
    told: list[str] = []
    found = calibrate(seconds=20, families=("conv",), lengths=(8, 16, 32, 64, 128), shape=SMALL, say=told.append)
    assert found.memory == {} and found.training["conv"].lengths == (8, 16, 32, 64, 128)
    assert sum("conv: memory is not measured" in line for line in told) == 3
    found = calibrate(seconds=20, families=("conv",), lengths=(16, 32, 64, 128, 256), shape=SMALL)
    assert found.memory["conv"].lengths == (64,)


@pytest.mark.parametrize(
    ("kind", "threads", "expected"), [("cpu", 1, "process"), ("cpu", 2, "wall"), ("cuda", 1, "wall")]
)
def test_the_processor_time_counts_only_on_a_cpu_with_one_thread(kind, threads, expected):
    assert clock.clock_for(torch.device(kind), threads) == expected


def test_out_of_memory_is_told_from_other_errors():
    assert passes.out_of_memory(RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 1 byte"))
    assert passes.out_of_memory(MemoryError()) and passes.out_of_memory(torch.OutOfMemoryError("no"))
    assert not passes.out_of_memory(RuntimeError("shapes differ"))


def test_the_stand_alone_command_needs_neither_the_advisor_nor_its_libraries(tmp_path):
    out = tmp_path / "raspberry.json"
    code = BLOCKED.format(forbidden=FORBIDDEN, out=str(out))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = Calibration.model_validate(json.loads(out.read_text()))
    assert set(found.training) == {"gru", "transformer", "conv"}
    assert done.stdout == "" and "steps" in done.stderr


def test_the_command_prints_json_and_refuses_an_unknown_family(capsys):
    assert main(["--families", "conv", "--seconds", "0.5"]) == 0
    assert set(Calibration.model_validate_json(capsys.readouterr().out).training) == {"conv"}
    with pytest.raises(SystemExit) as left:
        main(["--families", "toaster"])
    assert left.value.code == 2


@pytest.mark.slow
def test_every_stackable_family_is_calibrated_in_time():
    found = calibrate(seconds=30)
    assert set(found.training) == {name for name, row in FAMILIES.items() if row.variants}
    assert found.seconds < 45 and not found.failed
