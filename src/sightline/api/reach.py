"""From where a server can be reached, under which names, and what it needs for that.

On loopback it needs nothing. Where other people come, there must be users, since the link is one person's; and what they send
must be encrypted: by this server, or by a proxy on its machine.
"""

import msgspec

from sightline.api.hosts import DEFAULT_PORTS, LOOPBACK_NAMES, Hosts
from sightline.core.errors import InvalidInput
from sightline.serving.http.connections.rules import ConnectionLimits
from sightline.serving.http.named_hosts import is_address, spell_host
from sightline.serving.process.listening import is_loopback

OF_ONE_ADDRESS = 128  # connections: of the browsers of a team that share one, six each and their streams
LONGEST_BODY = 1 << 50  # of uploads, which go to the disk: `BodyLimit` bounds the rest
EVERYWHERE = frozenset(("0.0.0.0", "::", ""))


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """How a server is reached.

    Attributes:
        host: the address to listen on.
        has_tls: the server encrypts.
        behind_proxy: a proxy on its machine encrypts, and is all that reaches it.
        names: further names of it, as `spell_host` writes them.
        machine: the machine's own name.
    """

    host: str = "127.0.0.1"
    has_tls: bool = False
    behind_proxy: bool = False
    names: tuple[str, ...] = ()
    machine: str = "localhost"

    def check(self, has_users: bool) -> None:
        """Whether it may be reached so. Raises: InvalidInput."""
        if self.behind_proxy and self.has_tls:
            raise InvalidInput("expected `behind_proxy`, where a proxy encrypts, or `tls_certificate`, got both; leave one out")
        if self.behind_proxy and not self.names:
            raise InvalidInput("expected `server_name` beside `behind_proxy`: the name under which browsers ask the proxy")
        if not has_users and (self.behind_proxy or self.is_remote):
            raise InvalidInput(
                f"expected users, where others come in at {self.host}, got none; make one first: sightline users add NAME "
                "--role admin; for yourself alone keep to this machine, from elsewhere by: ssh -L 8000:127.0.0.1:8000 HOST"
            )
        if self.is_remote and not self.has_tls and not self.behind_proxy:
            raise InvalidInput(
                f"expected `tls_certificate` for {self.host}, which other machines reach: passwords must not cross the network "
                "in the open; or let a proxy on this machine encrypt: `behind_proxy`"
            )

    @property
    def is_remote(self) -> bool:
        """Whether other machines reach the address."""
        return not is_loopback(self.host)

    @property
    def scheme(self) -> str:
        """That browsers use."""
        return "https" if self.has_tls or self.behind_proxy else "http"

    @property
    def limits(self) -> ConnectionLimits:
        """Of connections; those of a proxy and of this machine all have one address."""
        most = ConnectionLimits().max_connections
        of_one = OF_ONE_ADDRESS if self.is_remote and not self.behind_proxy else most
        return ConnectionLimits(max_connections_per_address=of_one, max_body_bytes=LONGEST_BODY)

    def make_hosts(self, port: int) -> Hosts:
        """What the Host header may hold. Args: port: where the server listens."""
        machine = spell_host(self.machine)
        own = {machine, machine.partition(".")[0]} if self.is_remote else {spell_host(self.host)}
        return Hosts(
            names=LOOPBACK_NAMES | own | set(self.names),
            port=None if self.behind_proxy else port,
            scheme=self.scheme,
            takes_addresses=self.is_remote,
        )

    def make_url(self, port: int) -> str:
        """The address that the link begins with. Args: port: where the server listens."""
        own = self.machine if self.host in EVERYWHERE else self.host
        name = self.names[0] if self.names else own
        shown = f"[{name}]" if is_address(name) and ":" in name else name
        is_default = self.behind_proxy or port == DEFAULT_PORTS[self.scheme]
        return f"{self.scheme}://{shown}" if is_default else f"{self.scheme}://{shown}:{port}"
