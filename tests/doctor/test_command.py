from __future__ import annotations

import json

import pytest

from langchain_qstar.cli import main
from langchain_qstar.doctor import report


@pytest.mark.nano
def test_the_report_goes_to_standard_output(capsys):
    assert main(["doctor", "--seconds", "0"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("langchain-qstar ")
    assert "throughput   not measured" in out
    assert err == ""


def test_as_json_it_is_one_object(capsys):
    main(["doctor", "--seconds", "0", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["machine"]["cores"] >= 1
    assert {"devices", "extras", "llama_cpp", "advice", "healthy"} <= found.keys()


def test_a_machine_that_lacks_something_ends_with_2(capsys, monkeypatch):
    monkeypatch.setattr(report, "extras", tuple)
    assert main(["doctor", "--seconds", "0"]) == 2
    assert capsys.readouterr().out


def test_seconds_that_are_no_number_are_bad_usage(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["doctor", "--seconds", "many"])
    assert ended.value.code == 2
