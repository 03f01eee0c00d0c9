"""A recording as a HAR file, and back: the same rows, decoded by the same decoders."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

import tes_nb as tes
from tes_nb.errors import ExportError, SessionError
from tes_nb.model import Opcode

OLD = Path(__file__).parents[1] / "data" / "old"


@pytest.fixture(params=["tes", "nowgoal"])
def recording(request, tmp_path):
    shutil.copy(OLD / f"{request.param}.tes", tmp_path)
    with tes.open(tmp_path / f"{request.param}.tes") as opened:
        yield opened


def test_there_and_back_the_rows_are_the_same(recording, tmp_path):
    count = recording.to_har(tmp_path / "wire.har")
    with tes.open(tmp_path / "wire.har") as back:
        assert back.info().messages >= count > 20
        compared = 0
        for feed in recording.feeds.values():
            if feed.stream.endpoint.port == "none" and not feed.stream.endpoint.path:
                continue  # the kernel's own: on no wire
            other = next(one for one in back.feeds.values() if one.stream.name == feed.stream.name)
            for table in feed.tables:
                ours, theirs = (one.frame(table).reset_index() for one in (feed, other))
                ours["time"] = ours["time"].dt.floor("us")  # a HAR file has microseconds
                same = [name for name in ours.columns if name not in ("conn", "seq", "source")]
                pd.testing.assert_frame_equal(ours[same], theirs[same])
                compared += len(ours)
        assert compared > 20


def test_the_kernel_s_own_stream_was_on_no_wire(recording, tmp_path):
    recording.to_har(tmp_path / "wire.har")
    entries = json.loads((tmp_path / "wire.har").read_text())["log"]["entries"]
    assert all(entry["request"]["url"].startswith("ws") for entry in entries)
    assert not any("kernel" in entry["request"]["url"] for entry in entries)


def test_credentials_stay_behind(recording, tmp_path):
    recording.to_har(tmp_path / "wire.har")
    text = (tmp_path / "wire.har").read_text()
    assert "eyJhbGciOi" not in text, "how a JWT begins"
    assert "Bearer" not in text


def test_from_a_shell(recording, tmp_path):
    command = [
        sys.executable,
        "-m",
        "tes_nb",
        "export",
        str(recording.path),
        str(tmp_path / "wire.har"),
        "--har",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "messages are in" in done.stdout
    assert json.loads((tmp_path / "wire.har").read_text())["log"]["creator"]["name"] == "tes_nb"


def test_where_it_cannot_be_written_is_a_sentence(recording, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError):
        recording.to_har(tmp_path / "file" / "wire.har")


def test_a_live_session_says_that_it_takes_a_recording(session, tmp_path):
    with pytest.raises(SessionError, match=r"wire.har needs a recording.*rec = s\.record\(\)"):
        session.to_har(tmp_path / "wire.har")
    with session.record(tmp_path / "live.tes") as recording:
        recording.wait(messages=5, timeout=20)
        count = recording.to_har(tmp_path / "wire.har")
    with tes.open(tmp_path / "wire.har") as back:
        assert back.info().messages == count > 0


def test_binary_messages_come_back_byte_for_byte(tmp_path):
    shutil.copy(OLD / "nowgoal.tes", tmp_path)
    with tes.open(tmp_path / "nowgoal.tes") as recording:
        recording.to_har(tmp_path / "wire.har")
        sent = [each for each in recording._file.messages() if each.opcode != Opcode.EVENT]
    with tes.open(tmp_path / "wire.har") as back:
        found = list(back._file.messages())
    assert sum(each.opcode == Opcode.BINARY for each in sent) > 20
    parts = [(each.opcode, each.direction, each.payload, each.t_wall_ns // 1000) for each in sent]
    assert sorted(parts) == sorted(
        (each.opcode, each.direction, each.payload, each.t_wall_ns // 1000) for each in found
    )
