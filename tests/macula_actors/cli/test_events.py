import asyncio
import json
from contextlib import aclosing

import pytest

from macula_actors import Mode, Node, NodeConfig
from macula_actors.admin.client import AdminClient
from macula_actors.admin.protocol import AdminError
from supervisors.testing import wait_until
from tests.macula_actors.cli.test_commands import run

pytestmark = pytest.mark.real_clock


def node(data_dir):
    return Node(NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", data_dir=data_dir))


def subscriptions(node):
    return node.stats()["pubsub_handler"].subscriptions


async def subscribed(node, *args):
    """Run ``macula subscribe`` in a thread; return its task once it has subscribed."""
    running = asyncio.create_task(asyncio.to_thread(run, "subscribe", *args, "--data-dir", node.config.data_dir))
    await wait_until(lambda: subscriptions(node))
    return running


async def test_what_is_published_is_shown_one_event_a_line(tmp_path):
    async with node(tmp_path) as one:
        showing = await subscribed(one, "chat.*", "--count", 2)

        await one.publish("chat.room", "hello", qos=1)
        await one.publish("chat.room", {"text": "again"})

        shown = await showing
        who = str(one.node_id)[:12]
        assert shown.stdout == f"chat.room  hello  from {who}\nchat.room  {{'text': 'again'}}  from {who}\n"
        assert shown.stderr == "subscribed to chat.*\n"
        await wait_until(lambda: not subscriptions(one))


@pytest.mark.parametrize("command", [("publish", "a..b"), ("subscribe", "a..b"), ("publish", ""), ("call", "a b")])
async def test_a_topic_that_is_none_is_wrong_use(tmp_path, command):
    async with node(tmp_path):
        result = await asyncio.to_thread(run, *command, "--data-dir", tmp_path)

        assert (result.exit_code, result.stdout) == (2, "")
        assert result.stderr.startswith("macula: ")
        assert len(result.stderr.splitlines()) == 1


async def test_publish_publishes(tmp_path):
    async with node(tmp_path) as one:
        got = []
        await one.subscribe("a.b", got.append)

        how = ("publish", "a.b", '{"c": 1}', "--qos", 1, "--retain", "--data-dir", tmp_path)
        result = await asyncio.to_thread(run, *how)
        wrong = await asyncio.to_thread(run, "publish", "a.*", "--data-dir", tmp_path)

        assert (result.exit_code, result.stdout, [event.payload for event in got]) == (0, "", [{"c": 1}])
        assert (wrong.exit_code, "segment" in wrong.stderr) == (2, True)


async def test_programs_get_a_line_of_json_for_each_event(tmp_path):
    async with node(tmp_path) as one:
        showing = await subscribed(one, "a.b", "--count", 1, "--json")

        await one.publish("a.b", [1, 2])

        told = [json.loads(line) for line in (await showing).stdout.splitlines()]
        assert [(each["topic"], each["payload"], each["publisher"]) for each in told] == [
            ("a.b", [1, 2], one.node_id.hex())
        ]


async def test_who_hangs_up_is_subscribed_no_more(tmp_path):
    async with node(tmp_path) as one:
        async with (
            AdminClient(one.config.admin_socket) as client,
            aclosing(client.stream("subscribe", pattern="a.*")) as told,
        ):
            assert await anext(told) == {"subscribed": "a.*"}
            assert subscriptions(one) == 1

        await wait_until(lambda: not subscriptions(one))


async def test_a_pattern_that_is_none_is_told(tmp_path):
    async with node(tmp_path) as one, AdminClient(one.config.admin_socket) as client:
        with pytest.raises(AdminError, match="segment"):
            await anext(client.stream("subscribe", pattern="a..b"))
        assert (await client.ask("ping"))["node_id"] == one.node_id.hex()
