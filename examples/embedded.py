"""A mesh node inside an asyncio program that has tasks of its own: an HTTP-like server that asks the mesh."""

import asyncio

from macula_actors import Mode, Node, NodeConfig


def reverse(text: str) -> str:
    """Return ``text`` backwards."""
    return text[::-1]


async def serve(node: Node) -> asyncio.Server:
    """Answer each line that comes over TCP with what the mesh says to it."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word = (await reader.readline()).decode().strip()
        writer.write((await node.call("text.reverse", word)).encode() + b"\n")
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


async def ask(port: int, word: str) -> str:
    """Ask the program, as any client would."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{word}\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    return answer


async def main() -> None:
    """Run the program, with its node and a provider, and ask it from outside."""
    async with Node(NodeConfig(mode=Mode.BOOTSTRAP, listen="127.0.0.1:0")) as provider:
        await provider.advertise("text.reverse", reverse)
        config = NodeConfig(mode=Mode.EDGE, listen="127.0.0.1:0", bootstrap=[str(provider.endpoint)])
        async with Node(config) as node, await serve(node) as server:
            port = server.sockets[0].getsockname()[1]
            print(await asyncio.gather(*(ask(port, word) for word in ("mesh", "actor", "level"))))


if __name__ == "__main__":
    asyncio.run(main())
