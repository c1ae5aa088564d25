import json
import types

import pytest

from tfdl.export import writing

CALLS = {
    "savedmodel": ("savedmodel", "none"),
    "tflite": ("tflite", "float16"),
    "onnx": ("onnx", "none"),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_format_has_its_writer(tmp_path, monkeypatch, name):
    called = {}

    def record(base, infer, **arguments):
        called[name] = (base, infer, arguments)
        return base / "written"

    monkeypatch.setattr(getattr(writing, name), "write", record)
    (tmp_path / "eval").mkdir()
    (tmp_path / "config.json").write_text('{"model": "lenet5"}')
    (tmp_path / "eval" / "metrics.json").write_text('{"accuracy": 0.75}')
    export_format, quantization = CALLS[name]
    options = types.SimpleNamespace(
        run=tmp_path,
        base=tmp_path / "all",
        format=export_format,
        quantization=quantization,
    )
    path = writing.write(
        options,
        "network",
        reference="evaluated",
        build=None,
        labels=("a", "b"),
        examples={"serve_tensor": {"images": 1}},
        calibration=2,
        measure=3,
    )
    base, infer, arguments = called[name]
    assert infer == "network"
    assert base == tmp_path / "all" / tmp_path.name
    assert path == base / "written"
    assert arguments["measure"] == 3
    if name == "savedmodel":
        assert arguments["reference"] == "evaluated"
        assert arguments["assets"] == {"labels.txt": "a\nb\n"}
        assert json.loads(arguments["extras"]["config.json"]) == {"model": "lenet5"}
        assert "| accuracy | 0.75 |" in arguments["extras"]["model_card.md"]
    else:
        assert arguments["examples"] == {"images": 1}
        assert arguments.get("quantization", "none") == quantization
