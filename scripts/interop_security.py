"""Usage: scripts/interop_security.py SERVER CERTS [ARGUMENT...] -- every login with nats-py; see scripts/interop.

CERTS is a folder that scripts/certs has made.
"""
import asyncio
import logging
import os
import ssl
import sys
import tempfile

import nats
import nkeys
from nats.errors import NoServersError

from interop import serve

# The hash of `s3cret`, cost 4.
HASH = "$2b$04$abcdefghijklmnopqrstuuLZYjhNQAOdpbzt4WxWlUHjv1wsyH5DG"

VIOLATION = "nats: 'Authorization Violation'"


async def use(client):
    """What clients do: a subscription, a message, a request."""
    sub = await client.subscribe("use.*")
    await client.publish("use.it", b"hello")
    assert (await sub.next_msg(5)).data == b"hello"

    async def answer(msg):
        await msg.respond(b"answer")

    await client.subscribe("use.a.service", cb=answer)
    assert (await client.request("use.a.service", b"", timeout=5)).data == b"answer"
    await client.drain()


class Server:
    """A running server, and what comes of connecting to it."""

    def __init__(self, url):
        self.url = url
        self.count = 0

    async def let_in(self, **options):
        """Connects, and is let in."""
        await use(await nats.connect(self.url, allow_reconnect=False, **options))
        self.count += 1

    async def refused(self, *texts, **options):
        """Connects, and is refused with an error that has one of these texts."""
        errors = []

        async def note(error):
            errors.append(f"{type(error).__name__} {error}")

        try:
            client = await nats.connect(self.url, allow_reconnect=False, max_reconnect_attempts=0, connect_timeout=5,
                                        error_cb=note, **options)
        except NoServersError:
            pass  # The reason went to the callback.
        except Exception as error:
            errors.append(f"{type(error).__name__} {error}")
        else:
            await client.close()
            raise AssertionError(f"let in with {options}")
        assert any(text.lower() in error.lower() for text in texts for error in errors), (texts, errors)
        self.count += 1


def tls(certs, ca="ca", name=None):
    """A context that trusts an authority and shows a certificate."""
    context = ssl.create_default_context(cafile=os.path.join(certs, ca + ".pem"))
    if name:
        context.load_cert_chain(os.path.join(certs, name + "-cert.pem"), os.path.join(certs, name + "-key.pem"))
    return context


async def by_password(server):
    """One user with a password."""
    await server.let_in(user="derek", password="porkchop")
    await server.refused(VIOLATION, user="derek", password="wrong")
    await server.refused(VIOLATION, user="nobody", password="porkchop")
    await server.refused(VIOLATION, token="porkchop")
    await server.refused(VIOLATION)


async def by_hash(server):
    """A list of users, one of them with a hash."""
    await server.let_in(user="h", password="s3cret")
    await server.let_in(user="u", password="p")
    await server.refused(VIOLATION, user="h", password=HASH)
    await server.refused(VIOLATION, user="h", password="p")


async def by_token(server):
    """A token."""
    await server.let_in(token="T0k3n")
    await server.refused(VIOLATION, token="T0k3N")
    await server.refused(VIOLATION, user="T0k3n", password="")


async def by_nkey(server):
    """A user with an nkey, and somebody else."""
    await server.let_in(nkeys_seed_str=SEED)
    await server.refused(VIOLATION, nkeys_seed_str=OTHER_SEED)
    await server.refused(VIOLATION, user="u", password="p")


async def over_tls(server):
    """TLS, and a password."""
    await server.let_in(tls=tls(CERTS), user="u", password="p")
    await server.refused(VIOLATION, tls=tls(CERTS), user="u", password="x")
    await server.refused("certificate verify failed", tls=tls(CERTS, "otherca"), user="u", password="p")


async def tls_first(server):
    """TLS before INFO."""
    await server.let_in(tls=tls(CERTS), tls_handshake_first=True)


# How the end of a connection shows that the server did not like the certificate: an alert, or just an end.
NO_CERTIFICATE = ("alert", "eof", "reset", "closed", "empty response", "unexpected", "pipe")


async def with_certificate(server):
    """TLS, and a certificate of the client."""
    await server.let_in(tls=tls(CERTS, name="client"))
    await server.refused(*NO_CERTIFICATE, tls=tls(CERTS))
    await server.refused(*NO_CERTIFICATE, tls=tls(CERTS, name="stranger"))


async def by_certificate(server):
    """The certificate is the login."""
    await server.let_in(tls=tls(CERTS, name="client"))
    await server.refused(*NO_CERTIFICATE, tls=tls(CERTS, name="stranger"))


def new_seed():
    """A seed of a new user, and the public key."""
    seed = nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)
    pair = nkeys.from_seed(bytearray(seed))
    return seed.decode(), pair.public_key.decode()


CERTS = sys.argv[2] if len(sys.argv) > 2 else ""
SEED, PUBLIC = new_seed()
OTHER_SEED, _ = new_seed()
TLS = 'tls { cert_file: "%s/ecserver-cert.pem", key_file: "%s/ecserver-key.pem", ca_file: "%s/ca.pem", timeout: 5, %%s }\n' % (
    CERTS, CERTS, CERTS)
CASES = [
    (by_password, "authorization { user: derek, password: porkchop }"),
    (by_hash, 'authorization { users = [{user: h, password: "%s"}, {user: u, password: p}] }' % HASH),
    (by_token, "authorization { token: T0k3n }"),
    (by_nkey, "authorization { users = [{nkey: %s}] }" % PUBLIC),
    (over_tls, TLS % "" + "authorization { user: u, password: p }"),
    (tls_first, TLS % "handshake_first: true"),
    (with_certificate, TLS % "verify: true"),
    (by_certificate, TLS % "verify_and_map: true" + 'authorization { users = [{user: "alice@example.com"}] }'),
]


def main():
    # It warns of every end of a connection with TLS.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    count = 0
    for case, conf in CASES:
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(conf)
            file.flush()
            with serve(sys.argv[1], "-c", file.name, *sys.argv[3:]) as address:
                server = Server("nats://" + address)
                asyncio.run(asyncio.wait_for(case(server), 60))
                count += server.count
    print("interop: nats-py", nats.__version__ if hasattr(nats, "__version__") else "", *sys.argv[3:], count, "logins ok")


main()
