"""Blocks that tell people: each kind against a receiver on this machine, and nothing secret in what is said of them."""

import asyncio
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from flows.telling import send_test, unfit_blocks
from tasks.contracts.params import OperateParams

SECRET = "s3cr3t-of-the-block"  # noqa: S105  (made up)


# apprise asks for a module of the standard library that goes in Python 3.13
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps what is posted; answers `status`."""

    got: list[tuple[str, dict]]
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.got.append((self.path, json.loads(body)))
        self.send_response(self.status)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")  # as Slack does

    def log_message(self, *_: object) -> None:
        pass


class Post(socketserver.StreamRequestHandler):
    """As much of SMTP (RFC 5321) as a client needs to hand over a message."""

    got: list[str]

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        while line := self.rfile.readline():
            word = line.split()[0].upper()
            if word == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.got.append(b"".join(iter(self.rfile.readline, b".\r\n")).decode())
            self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 fine\r\n")


@pytest.fixture
def receiver() -> Iterator[SimpleNamespace]:
    kind = type("MyReceiver", (Receiver,), {"got": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(got=kind.got, kind=kind, url=f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.fixture
def post() -> Iterator[SimpleNamespace]:
    kind = type("MyPost", (Post,), {"got": []})
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), kind) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(got=kind.got, port=server.server_address[1])
        server.shutdown()


def told(block, monkeypatch) -> str:
    """What `graft notify` says of a block that the server would give."""
    from prefect.blocks.core import Block

    async def load(*_: object, **__: object):
        return block

    monkeypatch.setattr(Block, "aload", load)
    return asyncio.run(send_test(None, "kind/name", "graft: a test", "nothing is wrong"))


def webhook(url: str):
    from prefect.blocks.notifications import CustomWebhookNotificationBlock

    data = {"text": "{{subject}}: {{body}}", "token": "{{token}}"}
    return CustomWebhookNotificationBlock(
        name="pager", url=f"{url}/hook/{{{{token}}}}", json_data=data, secrets={"token": SECRET}
    )


def test_a_webhook_of_ones_own(receiver, monkeypatch):
    assert told(webhook(receiver.url), monkeypatch) == ""
    said = {"text": "graft: a test: nothing is wrong", "token": SECRET}
    assert receiver.got == [(f"/hook/{SECRET}", said)]


def test_slack(receiver, monkeypatch):
    from apprise.plugins.slack import NotifySlack
    from prefect.blocks.notifications import SlackWebhook

    monkeypatch.setattr(NotifySlack, "webhook_url", f"{receiver.url}/services")
    address = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"
    assert told(SlackWebhook(url=address), monkeypatch) == ""
    ((path, message),) = receiver.got
    assert path == "/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"
    assert "nothing is wrong" in json.dumps(message)
    receiver.kind.status = 403
    why = told(SlackWebhook(url=address), monkeypatch)
    assert "403" in why
    assert "abcdefghijklmnopqrstuvwx" not in why


def test_mail_by_sendgrid(receiver, monkeypatch):
    from apprise.plugins.sendgrid import NotifySendGrid
    from prefect.blocks.notifications import SendgridEmail

    monkeypatch.setattr(NotifySendGrid, "notify_url", f"{receiver.url}/v3/mail/send")
    block = SendgridEmail(api_key=SECRET, sender_email="graft@example.org", to_emails=["ada@example.org"])
    assert told(block, monkeypatch) == ""
    ((path, mail),) = receiver.got
    assert path == "/v3/mail/send"
    assert mail["personalizations"][0]["to"] == [{"email": "ada@example.org"}]
    assert mail["subject"] == "graft: a test"


def test_mail_by_a_server_of_ones_own(post, monkeypatch):
    from prefect.blocks.notifications import SlackWebhook  # hands what is no address of Slack's to apprise as it is

    url = f"mailto://127.0.0.1:{post.port}/?from=graft@example.org&to=ada@example.org&mode=insecure"
    assert told(SlackWebhook(url=url), monkeypatch) == ""
    (mail,) = post.got
    assert "Subject: graft: a test" in mail
    assert "nothing is wrong" in mail


def test_what_was_not_taken_is_said_without_the_secret(receiver, monkeypatch):
    receiver.kind.status = 403
    assert told(webhook(receiver.url), monkeypatch) == "the answer was 403 Forbidden"
    why = told(webhook("http://127.0.0.1:1"), monkeypatch)
    assert why.startswith("ConnectError")
    assert SECRET not in why


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://127.0.0.1:port", "ftp://[::1"])
@pytest.mark.parametrize("private", [True, False])
def test_an_address_that_is_refused_is_said_without_the_secret(monkeypatch, url, private):
    block = webhook(url)
    block.allow_private_urls = private
    why = told(block, monkeypatch)
    assert why.startswith("the address is refused: " if not private else ("ConnectError", "the address is refused: "))
    assert SECRET not in why


def test_a_secret_with_a_quote_is_masked_where_it_is_quoted(monkeypatch):
    block = webhook("http://127.0.0.1:1")
    block.allow_private_urls = False
    odd = 'it\'s \\ "odd"'
    block.secrets.get_secret_value()["token"] = odd
    why = told(block, monkeypatch)
    assert why.startswith("the address is refused: ")
    assert "odd" not in why


def test_a_block_that_tells_nobody_is_refused(monkeypatch):
    from prefect.blocks.system import Secret

    assert told(Secret(value=SECRET), monkeypatch) == "it is no notification block"


class Server:
    """The part of Prefect's client that names blocks."""

    capabilities: tuple[str, ...] = ("notify",)

    async def read_block_document_by_name(self, own: str, kind: str, **_: object):
        from prefect.exceptions import ObjectNotFound

        if (kind, own) == ("slack-webhook", "ops"):
            return SimpleNamespace(id="1", block_schema=SimpleNamespace(capabilities=self.capabilities))
        raise ObjectNotFound(LookupError(own))

    async def read_block_types(self):
        return [SimpleNamespace(slug=slug) for slug in ("slack-webhook", "custom-webhook", "secret")]

    async def read_block_documents_by_type(self, *_: object, **__: object):
        return [SimpleNamespace(name="ops")]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("slack/ops", "slack/ops: the server knows no blocks of the type slack; did you mean slack-webhook?"),
        ("slack-webhook/obs", "the server has no such block (of this type it has ops); make it on the server's page"),
    ],
)
def test_a_block_that_is_not_there_is_one_line_with_what_to_do(name, line):
    (said,) = asyncio.run(unfit_blocks(Server(), OperateParams(notify=(name,))))
    assert line in said
    assert asyncio.run(unfit_blocks(Server(), OperateParams(notify=("slack-webhook/ops",)))) == []


def test_a_block_of_another_kind_is_one_line_too():
    server = Server()
    server.capabilities = ()
    (said,) = asyncio.run(unfit_blocks(server, OperateParams(notify=("slack-webhook/ops",))))
    assert said == ("operate.notify: slack-webhook/ops is no notification block; name one of those under Notifications")
