"""The device is measured, or its absence is said with the cure."""

import os
import time

import pytest
import torch

from profiles.device import DeviceError, DeviceProfile, available_cores, measure_device


def test_the_processor_is_measured_quickly():
    start = time.perf_counter()
    found = measure_device("cpu")
    assert time.perf_counter() - start < 5  # 0.3 s on an idle machine
    assert found.kind == "cpu" and found.name and found.cuda is None and found.torch == torch.__version__
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert 0 < found.memory_available_mib <= found.memory_mib
    assert found.matmul_gflops > 0.1 and found.copy_gib_s > 0.05
    assert DeviceProfile.model_validate_json(found.model_dump_json()) == found


def test_a_missing_gpu_is_an_error_with_a_cure(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="torch sees no CUDA GPU") as caught:
        measure_device("cuda")
    assert "--device cpu" in caught.value.hint


def test_a_gpu_number_too_high_is_an_error(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="sees 1 GPU"):
        measure_device("cuda:3")


@pytest.mark.parametrize("name", ["toaster", "meta", "cpu:x"])
def test_an_unknown_device_is_an_error(name):
    with pytest.raises(DeviceError, match="device") as caught:
        measure_device(name)
    assert caught.value.hint


def test_the_control_group_limits_the_cores(monkeypatch):
    monkeypatch.setattr("profiles.device._read", lambda path: "50000 100000\n" if path.endswith("cpu.max") else "")
    assert available_cores() == 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_is_measured():
    found = measure_device("cuda")
    assert found.kind == "cuda" and found.cuda and found.matmul_gflops > 100
