"""Usage: scripts/interop.py SERVER [ARGUMENT...] -- an application's day with nats-py; see scripts/interop."""
import asyncio
import contextlib
import re
import subprocess
import sys
import threading

import nats
from nats.errors import NoRespondersError


async def application(url):
    """Publish and subscribe, wildcards, queue groups, headers, requests, auto-unsubscribe, drain."""
    errors = []

    async def note(error):
        errors.append(error)

    a = await nats.connect(url, error_cb=note, name="interop a")
    b = await nats.connect(url, error_cb=note, name="interop b", no_echo=True)
    got = {"plain": [], "wild": [], "queue": 0}

    async def plain(msg):
        got["plain"].append(msg.data)

    async def wild(msg):
        got["wild"].append((msg.subject, (msg.headers or {}).get("Kind")))

    async def queue(msg):
        got["queue"] += 1

    await a.subscribe("day.plain", cb=plain)
    await a.subscribe("day.*.>", cb=wild)
    for client in (a, b):
        await client.subscribe("day.work", queue="workers", cb=queue)
    limited = await a.subscribe("day.limited", cb=plain)
    await limited.unsubscribe(limit=2)
    await a.flush()
    await b.flush()
    for n in range(1000):
        await b.publish("day.plain", b"%d" % n)
    await b.publish("day.wild.x.y", b"w", headers={"Kind": "tested"})
    await b.publish("day.plain", b"big" * 100_000)
    for _ in range(100):
        await a.publish("day.work", b"job")
    for n in range(5):
        await b.publish("day.limited", b"limited %d" % n)
    await b.flush()
    await a.flush()
    for _ in range(200):
        if len(got["plain"]) >= 1003 and got["wild"] and got["queue"] >= 100:
            break
        await asyncio.sleep(0.02)
    in_order = [b"%d" % n for n in range(1000)] + [b"big" * 100_000]
    assert [m for m in got["plain"] if not m.startswith(b"limited")] == in_order, "plain messages differ"
    assert got["plain"].count(b"limited 0") == 1 and b"limited 2" not in got["plain"], "limit of 2 not kept"
    assert got["wild"] == [("day.wild.x.y", "tested")], got["wild"]
    assert got["queue"] == 100, got["queue"]

    async def answer(msg):
        await msg.respond(b"answer to " + msg.data)

    await a.subscribe("day.service", cb=answer)
    await a.flush()
    reply = await b.request("day.service", b"question", timeout=2)
    assert reply.data == b"answer to question", reply.data
    try:
        await b.request("day.nobody", b"", timeout=2)
        raise AssertionError("a request to nobody was answered")
    except NoRespondersError:
        pass
    await a.drain()
    await b.drain()
    assert not errors, errors


@contextlib.contextmanager
def serve(*command):
    """A server while it runs; gives its address. It has to end well."""
    server = subprocess.Popen([command[0], "-a", "127.0.0.1", "-p", "-1", *command[1:]],
                              stderr=subprocess.PIPE, text=True)
    lines = []
    try:
        for line in server.stderr:
            lines.append(line)
            found = re.search(r"Listening for client connections on (\S+)", line)
            if found:
                break
        else:
            raise SystemExit("the server did not start:\n" + "".join(lines))
        # Whoever does not read what it writes would stop it.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield found.group(1)
    finally:
        server.terminate()
        code = server.wait(5)
    assert code == 0, "the server did not end well"


def main():
    with serve(*sys.argv[1:]) as address:
        asyncio.run(asyncio.wait_for(application("nats://" + address), 30))
    print("interop: nats-py", nats.__version__ if hasattr(nats, "__version__") else "", *sys.argv[2:], "ok")


if __name__ == "__main__":
    main()
