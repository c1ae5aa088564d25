from tfdl.export import card


def test_a_card_lists_classes_flags_and_metrics():
    config = {"model": "lenet5", "data": {"source": "mnist"}, "class_names": ["a", "b"]}
    text = card.text("digits", config=config, metrics={"accuracy": 0.9}, labels="ab")
    lines = text.splitlines()
    assert lines[0] == "# digits"
    assert "2 classes: a, b" in lines
    for row in ("| model | lenet5 |", "| data.source | mnist |", "| accuracy | 0.9 |"):
        assert row in lines
    assert "class_names" not in text


def test_many_classes_are_cut_and_missing_metrics_said():
    labels = [f"c{number}" for number in range(21)]
    text = card.text("model", config={}, metrics={}, labels=labels)
    assert "21 classes: c0, " in text
    assert "c19, ..." in text
    assert "it was not evaluated" in text
