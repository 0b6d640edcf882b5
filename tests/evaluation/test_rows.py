"""Rows survive a kill."""

from langchain_qstar.evaluation.rows import add_rows, read_rows


def test_rows_are_read_in_the_order_in_which_they_were_added(tmp_path):
    path = tmp_path / "deep" / "rows.jsonl"
    assert read_rows(path) == []
    add_rows(path, [{"id": 1, "text": "−2\u2028ü"}])
    add_rows(path, [{"id": 2}, {"id": 3}])
    assert read_rows(path) == [{"id": 1, "text": "−2\u2028ü"}, {"id": 2}, {"id": 3}]


def test_a_torn_last_line_is_dropped_and_the_next_row_begins_on_its_own(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": 1}\n{"id": 2, "te')
    assert read_rows(path) == [{"id": 1}]
    add_rows(path, [{"id": 2}])
    assert path.read_bytes() == b'{"id": 1}\n{"id": 2}\n'


def test_a_line_that_lost_only_its_end_is_torn_too(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"id": 1}\n{"id": 2}')
    assert read_rows(path) == [{"id": 1}]
