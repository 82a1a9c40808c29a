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

WHATSAPP_NUMBER = "100000000000001"
"""The id of the telephone number that the sandbox's WhatsApp sends from."""
WHATSAPP_ACCOUNT = "100000000000002"
WHATSAPP_TOKEN = "sandbox-whatsapp-token"  # noqa: S105 - as above
WHATSAPP_APP_SECRET = "sandbox-app-secret"  # noqa: S105 - as above
"""Signs WhatsApp's callbacks."""
WHATSAPP_VERIFY_TOKEN = "sandbox-verify-token"  # noqa: S105 - as above
"""What it repeats when a callback address is set up."""

FCM_PROJECT = "sandbox"
FCM_EMAIL = "push@sandbox.example.com"
"""Of the service account whose key file the sandbox hands out."""

ADERESO_PHONE = "491713920000"
"""The number that is connected to the sandbox's Adereso Desk."""
ADERESO_TOKEN = "sandbox-adereso-token"  # noqa: S105 - as above

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - as above
