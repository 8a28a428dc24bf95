"""Where a training ran, noted whenever it is started."""

from __future__ import annotations

from nnunetv2_lwi.comparison import origin
from nnunetv2_lwi.comparison.origin import by_name, note_origin, read_origins


def test_a_training_that_is_resumed_elsewhere_names_both(make_design, make_places, monkeypatch):
    (place,) = make_places(make_design("random", counts=(2,), seeds=1).runs())
    place.folder.mkdir(parents=True)
    assert read_origins(place) == []
    note_origin(place, "cpu")
    note_origin(place, "cpu")
    (first,) = read_origins(place)
    assert first["device"].startswith("cpu (") and first["versions"]["nnunetv2"]
    monkeypatch.setattr(origin, "read_versions", lambda: {**first["versions"], "torch": "99"})
    note_origin(place, "cpu")
    values = by_name(read_origins(place))
    assert values["version.torch"] == [first["versions"]["torch"], "99"] and len(values["device"]) == 1
