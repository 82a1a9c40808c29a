"""What tests allow the outbound client: this machine."""

from broker.http_client import Addresses

LOOPBACK = Addresses.parse(["127.0.0.0/8", "::1"])
