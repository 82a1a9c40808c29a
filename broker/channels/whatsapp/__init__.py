"""WhatsApp through Meta's Cloud API: the channel `whatsapp`."""

from broker.channels.whatsapp.channel import WhatsAppChannel, WhatsAppOptions

__all__ = ["WhatsAppChannel", "WhatsAppOptions"]
