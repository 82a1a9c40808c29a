"""How a broker of the proof is set up: short leases and deadlines, everything on loopback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.chaos.history import CHAIN
from tests.chaos.stand_ins import ACCOUNT_OF, TEXT_TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping

KEY = "chaos-inbound-key-5f2c"
PLATFORM_TOKEN = "chaos-platform-token-8a41"
CRM_TOKEN = "chaos-crm-token-77d0"
HOOK_SECRET = "whsec_Y2hhb3Mgd2ViaG9vayBzZWNyZXQsIHdvcnRobGVzcw=="
PREFIX = "chaos"
LEASE_S = 0.5
LOOKUP_DEADLINE_S = 0.3
LATE_S = 2.0
Profile = Literal["fast", "durable"]

_CONFIG = """
[server]
port = {port}
public_url = "https://broker.example"
drain_delay_s = 0.2
shutdown_grace_s = 5

[server.clients.ivr]
key = "{key}"

[store]
url = "{store}"
prefix = "{prefix}"
profile = "{profile}"
lease_ms = {lease_ms}

[outbound]
allow_internal = ["127.0.0.1"]
breaker_probe_s = 0.5

[platform]
driver = "babelforce"
base_url = "http://127.0.0.1:{ivr}"
deadline_ms = 1500
session_key = "session_id"

[platform.auth]
kind = "token"
token = "{platform_token}"

[lookup]
deadline_ms = {deadline_ms}
late_ms = {late_ms}
useful_s = 30

[crm.shop]
adapter = "rest"

[crm.shop.options]
base_url = "http://127.0.0.1:{crm}"
phone_path = "/customers?phone={{e164}}"
reference_path = "/customers?reference={{reference}}"
results = "customers[*]"
premium = {{ field = "premium" }}

[crm.shop.options.auth]
kind = "bearer"
token = "{crm_token}"

[reference]
failures_per_called_per_10min = 100000

[variables]
customer_id = true

[tracking]
channel = "{channel}"
link = "direct"
url_template = "https://shop.example/t/{{track_id}}"

[smtp]
host = "127.0.0.1"
port = {smtp}
security = "none"
sender = "Shop <service@shop.example>"

[channels.hook]
driver = "webhook"
url = "http://127.0.0.1:{hook}/hook"
secret = "{hook_secret}"
timeout_ms = 2000
{texts}
[deflection]
channels = {chain}
keys = {{ "1" = "deflect" }}

[deflection.caps]
per_prefix_per_10min = 1000000
"""
_TEXTS = """
[channels.{name}]
driver = "twilio"
base_url = "http://127.0.0.1:{port}"
account_sid = "{account}"
auth_token = "{token}"
sender = "+4915799912345"
countries = ["DE"]
timeout_ms = 2000
"""


def configuration(
    port: int, ports: Mapping[str, int], *, store: str | None, profile: Profile, channel: str
) -> str:
    """Of a broker on `port`, with each dependency on its port; `channel` has the tracking."""
    texts = "".join(
        _TEXTS.format(name=name, account=account, token=TEXT_TOKEN, port=ports["sms"])
        for name, account in ACCOUNT_OF.items()
    )
    return _CONFIG.format(
        port=port,
        key=KEY,
        store=store or f"redis://127.0.0.1:{ports['redis']}/0",
        prefix=PREFIX,
        profile=profile,
        lease_ms=round(LEASE_S * 1000),
        platform_token=PLATFORM_TOKEN,
        deadline_ms=round(LOOKUP_DEADLINE_S * 1000),
        late_ms=round(LATE_S * 1000),
        crm_token=CRM_TOKEN,
        channel=channel,
        hook_secret=HOOK_SECRET,
        ivr=ports["ivr"],
        crm=ports["crm"],
        smtp=ports["smtp"],
        hook=ports["hook"],
        texts=texts,
        chain=list(CHAIN),
    )
