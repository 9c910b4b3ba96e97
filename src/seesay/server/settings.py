"""What a server may be asked, by whom, and how much at once."""

from __future__ import annotations

from dataclasses import dataclass, field

from seesay.errors import UsageError
from seesay.images import Limits
from seesay.server.keys import Key
from seesay.settings import Settings, load_settings

LIMITS = Limits(pixels=2**26, bytes=2**25, redirects=0, seconds=10)
"""67 million pixels, 32 MiB; redirects would lead past the list of hosts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """A server's settings. Raises UsageError for those that no request could meet."""

    machine: Settings = field(default_factory=load_settings)
    """Model, precision, threads and the photo library, as every command has them."""
    models: tuple[str, ...] = ()
    """Models that may be asked for by name, the first where a request names none; () is the machine's one."""
    keys: tuple[Key, ...] = ()
    """Whoever has one of these may ask; () is everybody."""
    local: bool = True
    """Only this machine is served: requests to other host names are refused, as a page that rebinds its name sends."""
    queue: int = 64
    """Requests that are worked on or wait; one more is told to come back (429)."""
    batch: int = 8
    """Pictures that go through the model together."""
    wait: float = 0.004
    """Seconds that a picture waits for company, where others come at the same time."""
    seconds: float = 60.0
    """For a whole request: to arrive, to wait and to be answered; from then on for each piece of a stream."""
    body: int = 48 * 2**20
    """Bytes of a request: a picture within `limits` as base64, and its question."""
    held: int = 2**29
    """Bytes of all bodies that are there or arriving; beyond it callers are told to come back."""
    limits: Limits = LIMITS
    """Of one picture."""
    hosts: tuple[str, ...] = ()
    """Hosts that pictures may be fetched from, such as "example.com" or "*.example.com"; () is none."""
    private_hosts: bool = False
    """Those hosts may have addresses of this machine's own network."""
    remembered: int = 64
    """Pictures whose encoding is kept, the last ones asked about."""
    idle: float = 600.0
    """Seconds without a request after which models leave the memory, until the next one; 0 keeps them."""

    def __post_init__(self) -> None:
        if min(self.queue, self.batch, self.body, self.held) < 1 or min(self.wait, self.idle, self.remembered) < 0:
            raise UsageError(
                f"a queue of {self.queue}, batches of {self.batch}, bodies of {self.body} bytes, a wait of {self.wait} "
                f"s, models idle for {self.idle} s, {self.remembered} pictures remembered",
                "Give a queue, a batch and a body of at least 1, and nothing below 0.",
            )
        if not self.seconds > 0:
            raise UsageError(f"{self.seconds} seconds for a request", "Give it some time.")

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names as they are asked for."""
        return self.models or (self.machine.model,)
