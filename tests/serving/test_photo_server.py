"""The server over HTTP: answers, refusals, one photo at a time, and its end."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.serving.photos import PALETTE, ask, brightest, brightest_model, parts, photo, served, unpacked
from usrn_keras.errors import ServerError
from usrn_keras.serving.photo_server import PhotoServer
from usrn_keras.serving.upload_limits import UploadLimits

BLACK = cv2.imencode(".png", np.zeros((200, 300)))[1].tobytes()


@pytest.fixture(scope="module")
def server():
    with served(limits=UploadLimits(megabytes=0.1, megapixels=0.02)) as server:
        yield server


def test_a_photo_gives_classes_confidence_and_the_mask(server):
    image, content = photo()
    answer = ask(server, "POST", "/segment?name=a%20b.png", content)
    assert answer.status == 200
    found = parts(answer)
    ids, confidence = brightest(image)
    np.testing.assert_array_equal(unpacked(found["ids"], ids.shape), ids)
    np.testing.assert_array_equal(unpacked(found["confidence"], ids.shape), np.rint(255 * confidence))
    facts = json.loads(found["facts"])
    assert (facts["name"], facts["width"], facts["height"]) == ("a b.png", 9, 6)
    shares = {row["name"]: row["share"] for row in facts["classes"]}
    assert shares == {name: (ids == i).mean() for i, name in enumerate(["red", "green", "blue"])}
    assert [row["share"] for row in facts["classes"]] == sorted(shares.values(), reverse=True)
    shown = cv2.imdecode(np.frombuffer(found["photo"], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == image.shape


def test_the_page_is_whole_and_loads_nothing_else(server):
    answer = ask(server, "GET", "/")
    text = answer.content.decode()
    assert answer.status == 200 and text.startswith("<!doctype html>") and text.rstrip().endswith("</html>")
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert text.replace("http://www.w3.org/2000/svg", "").count("://") == 0
    assert ask(server, "HEAD", "/").content == b""


def test_facts_about_the_model(server):
    facts = ask(server, "GET", "/model").json
    assert facts["classes"] == ["red", "green", "blue", "grey"] and facts["palette"] == PALETTE.tolist()
    assert (facts["bytes"], facts["pixels"]) == (100_000, 20_000)


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        (b"no photo at all", 415, "wood.jpg cannot be read as an image"),
        (b"\0\0\0\x1cftypheic" + bytes(200), 415, "in the format HEIC, which is not read"),
        (photo(suffix=".jpg")[1][:-90], 400, "it is truncated"),
        (
            cv2.imencode(".png", np.zeros((200, 300)))[1].tobytes(),
            413,
            "300 x 200 pixels, 0.1 megapixels; the limit is 0.02 megapixels",
        ),
        (bytes(200_000), 413, "0.2 MB; the limit is 0.1 MB"),
        (b"", 400, "wood.jpg is empty"),
    ],
)
def test_photos_that_are_refused(server, content, status, sentence):
    answer = ask(server, "POST", "/segment?name=wood.jpg", content, Content_Length=str(len(content)))
    assert answer.status == status and sentence in answer.json["error"] and answer.json["hint"]


def test_a_few_bytes_that_declare_many_pixels_are_refused_undecoded(server):
    huge = bytearray(photo()[1])
    huge[16:24] = (2**16).to_bytes(4, "big") * 2  # width and height in the header of a PNG
    assert ask(server, "POST", "/segment", bytes(huge)).status == 413


@pytest.mark.parametrize("path", ["/", "/model", "/segment"])
@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "localhost.example.org:80", ""])
def test_other_host_names_are_refused(server, path, host):
    method = "POST" if path == "/segment" else "GET"
    answer = ask(server, method, path, photo()[1] if method == "POST" else b"", Host=host)
    assert answer.status == 403 and "127.0.0.1 or localhost" in answer.json["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://example.org"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_other_sites_send_no_photos(server, headers):
    answer = ask(server, "POST", "/segment", photo()[1], **headers)
    assert answer.status == 403 and "another site" in answer.json["error"]


def test_the_page_itself_and_a_tunnel_send_photos(server):
    own = server.url.rstrip("/")
    assert ask(server, "POST", "/segment", photo()[1], Origin=own, Sec_Fetch_Site="same-origin").status == 200
    tunnel = {"Host": "localhost:9000", "Origin": "http://localhost:9000"}
    assert ask(server, "POST", "/segment", photo()[1], **tunnel).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/../secret", 404), ("POST", "/", 404), ("GET", "/segment", 404), ("DELETE", "/", 501)],
)
def test_other_requests_are_refused_with_a_sentence(server, method, path, status):
    answer = ask(server, method, path)
    assert answer.status == status and answer.json["error"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("", 411),
        ("Content-Length: -1", 400),
        ("Content-Length: ten", 400),
        ("Transfer-Encoding: chunked", 411),
    ],
)
def test_sizes_that_are_not_said(server, headers, status):
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=30) as connection:
        lines = ["POST /segment HTTP/1.1", "Host: localhost", *filter(None, [headers]), "", ""]
        connection.sendall("\r\n".join(lines).encode())
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == status and b"error" in answer.read()


def test_one_connection_serves_several_requests(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    with contextlib.closing(connection):
        for method, path, body in [("POST", "/segment", photo()[1]), ("GET", "/model", None)] * 2:
            connection.request(method, path, body)
            answer = connection.getresponse()
            assert answer.read() and answer.status == 200


def test_photos_are_predicted_one_at_a_time_and_few_wait():
    """Eight wait behind the first; the next one is refused at once."""
    running, most, gate, answered = [], [], threading.Event(), []

    def slow(image):
        running.append(1)
        most.append(len(running))
        assert gate.wait(30)
        running.pop()
        return brightest(image)

    with served(brightest_model(slow)) as server:
        threads = [
            threading.Thread(target=lambda: answered.append(ask(server, "POST", "/segment", photo()[1])))
            for _ in range(10)
        ]
        for thread in threads:
            thread.start()
        while not answered:
            time.sleep(0.01)
        gate.set()
        for thread in threads:
            thread.join()
    assert sorted(answer.status for answer in answered) == [200] * 9 + [503]
    assert max(most) == 1 and len(most) == 9
    assert "waiting already" in answered[0].json["error"]


def test_a_photo_that_nobody_waits_for_is_not_predicted():
    predicted, gate, lines = [], threading.Event(), []

    def slow(image):
        predicted.append(image.shape)
        assert gate.wait(30)
        return brightest(image)

    with served(brightest_model(slow), log=lines.append) as server:
        first = threading.Thread(target=ask, args=(server, "POST", "/segment", photo()[1]))
        first.start()
        while not predicted:
            time.sleep(0.01)
        left = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        left.request("POST", "/segment", photo(4, 4)[1])
        while server._photos.empty():
            time.sleep(0.01)
        left.close()
        gate.set()
        first.join()
        assert ask(server, "POST", "/segment", photo(5, 5)[1]).status == 200
    assert predicted == [(6, 9, 3), (5, 5, 3)]
    assert [line.partition(",")[0] for line in lines] == ["photo: 9 x 6 pixels", "photo: 5 x 5 pixels"]


def test_an_interrupt_ends_the_server_and_answers_what_waits():
    def interrupted(image):
        raise KeyboardInterrupt

    server = PhotoServer(port=0)
    answers = []
    browser = threading.Thread(target=lambda: answers.append(ask(server, "POST", "/segment", photo()[1])))
    browser.start()
    with pytest.raises(KeyboardInterrupt):
        server.serve(brightest_model(interrupted))
    browser.join()
    assert answers[0].status == 503 and answers[0].json["error"] == "the server stops"


def test_errors_of_the_model_are_answers_and_the_server_lives_on():
    errors, lines = [MemoryError("too large"), ValueError("a bug")], []

    def broken(image):
        raise errors.pop(0)

    with served(brightest_model(broken), log=lines.append) as server:
        memory, bug = (ask(server, "POST", "/segment?name=a.png", photo()[1]) for _ in range(2))
    assert memory.status == 507 and "memory of this machine" in memory.json["error"]
    assert bug.status == 500 and bug.json["error"] == "internal error: ValueError: a bug"
    assert "Traceback" in lines[-1] and "raise errors.pop(0)" in lines[-1]


def test_nothing_is_written(server, tmp_path, monkeypatch):
    def refused(*arguments, **options):
        raise AssertionError("a file was opened")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile._TemporaryFileWrapper", refused)
    monkeypatch.setattr("builtins.open", refused)
    answer = ask(server, "POST", "/segment?name=..%2F..%2Fevil.png", photo()[1])
    monkeypatch.undo()
    assert answer.status == 200 and json.loads(parts(answer)["facts"])["name"] == "evil.png"
    assert list(tmp_path.iterdir()) == []


def test_the_mask_is_a_palette_png(server, tmp_path):
    image, content = photo()
    (tmp_path / "mask.png").write_bytes(parts(ask(server, "POST", "/segment", content))["mask"])
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == "P"
        np.testing.assert_array_equal(np.asarray(mask), image.argmax(-1))
        np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), PALETTE[image.argmax(-1)])


def test_a_port_in_use(server):
    with pytest.raises(ServerError, match=f"port {server.server_port} of 127.0.0.1 is in use") as raised:
        PhotoServer(port=server.server_port)
    assert "--port 0" in raised.value.hint


def test_only_this_machine_reaches_it(server):
    assert server.server_address[0] == "127.0.0.1" and server.url == f"http://127.0.0.1:{server.server_port}/"


def test_after_the_end_the_port_is_free_and_open_connections_are_refused():
    with served() as server:
        port = server.server_port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", "/model")
        connection.getresponse().read()
    with contextlib.closing(connection):
        connection.request("POST", "/segment", photo()[1])
        answer = connection.getresponse()
        assert answer.status == 503 and b"the server stops" in answer.read()
    PhotoServer(port=port).server_close()
