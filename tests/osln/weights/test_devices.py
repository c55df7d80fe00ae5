import pytest

from osln.weights.devices import devices


def test_devices_put_the_preferred_one_first_and_refuse_an_absent_one(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert devices() == ("cuda", "cuda:0", "cuda:1", "cpu")
    assert devices("cpu") == ("cpu", "cuda", "cuda:0", "cuda:1")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match="'cuda' is not available: this computer has cpu"):
        devices("cuda")
