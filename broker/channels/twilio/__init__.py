"""Twilio: the channels `twilio` (SMS) and `twilio_whatsapp`, and its number lookup."""

from broker.channels.twilio.lookup import TwilioLookupOptions, TwilioNumberLookup
from broker.channels.twilio.sms import TwilioChannel, TwilioOptions
from broker.channels.twilio.whatsapp import TwilioWhatsAppChannel, TwilioWhatsAppOptions

__all__ = [
    "TwilioChannel",
    "TwilioLookupOptions",
    "TwilioNumberLookup",
    "TwilioOptions",
    "TwilioWhatsAppChannel",
    "TwilioWhatsAppOptions",
]
