from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from orlop.errors import TimedOut
from orlop.lab import demo


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.end_headers()
        self.wfile.write(b"<main><p>From <strong>n1</strong>,\n which runs R&amp;D.</p></main>")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_page_is_fetched_and_its_sentence_read(port: int) -> None:
    assert demo.sentence(demo.fetch(port, timeout=5)) == "From n1, which runs R&D."


def test_an_answer_that_is_not_200_is_not_one(port: int) -> None:
    with pytest.raises(TimedOut, match=r"last: it answered 404"):
        demo.fetch(port, "/x", timeout=0.3)


def test_nobody_answers() -> None:
    with pytest.raises(TimedOut, match="did not answer within 0 s") as caught:
        demo.fetch(1, timeout=0.2)
    assert "journalctl" in caught.value.hint


@pytest.mark.parametrize(("page", "said"), [("", ""), ("plain\nmore", "plain"), ("<h1>x</h1>\ny", "x")])
def test_a_page_of_another_kind_gives_its_first_line(page: str, said: str) -> None:
    assert demo.sentence(page) == said


def test_the_units_say_where_image_and_page_come_from() -> None:
    text = demo.config().tmpfiles()
    assert "/etc/containers/systemd/demo.container" in text
    assert "/etc/systemd/system/run-media.mount" in text
