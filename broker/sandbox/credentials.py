"""The sandbox's fixed credentials: no secrets, they stand in docs/sandbox.md."""

from __future__ import annotations

PLATFORM_TOKEN = "sandbox-token"  # noqa: S105 - printed by `broker sandbox`
"""A bearer token of the platform that never expires."""
CRM_TOKEN = "sandbox-crm-token"  # noqa: S105 - as above
"""The sample CRM's bearer token."""

USERNAME = "manager@example.com"
PASSWORD = "sandbox-password"  # noqa: S105 - as above
PUBLIC_CLIENT = "manager"
"""The client id that the platform's password grant asks for; it has no secret."""

WEBHOOK_SECRET = "whsec_c2FuZGJveCB3ZWJob29rIHNlY3JldCwgd29ydGhsZXM="  # noqa: S105 - as above
"""What the sandbox's webhook receiver checks signatures with."""

TWILIO_ACCOUNT = "AC" + "5a" * 16
TWILIO_TOKEN = "sandbox-twilio-token"  # noqa: S105 - as above
"""What the sandbox's Twilio takes."""
TWILIO_KEY = "SK" + "5a" * 16
"""An API key of the kind standard, with TWILIO_TOKEN as its secret."""

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - as above
