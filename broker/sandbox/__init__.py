"""A stateful stand-in of everything around the broker: phone platform, CRM, mail, order page."""
