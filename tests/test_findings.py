import pytest

from tfdl import errors, findings


def finding(verdict, *, name="loss", is_about_data=False):
    return findings.Finding(name, verdict, "2.3", is_about_data)


def test_nothing_is_raised_for_passes_and_warnings():
    findings.refuse_failures([finding("pass"), finding("warn")])


@pytest.mark.parametrize(
    ("is_about_data", "kind"), [(True, errors.DataError), (False, errors.UsageError)]
)
def test_the_first_failure_decides_the_error(is_about_data, kind):
    found = [finding("pass"), finding("fail", is_about_data=is_about_data)]
    found.append(finding("fail", name="rate"))
    with pytest.raises(kind, match="2 of 3 checks failed: loss, rate") as raised:
        findings.refuse_failures(found)
    assert "start with loss: 2.3" in raised.value.remedy


def test_a_finding_reads_as_one_line():
    assert str(finding("warn")) == "warn  loss: 2.3"
