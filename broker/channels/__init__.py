"""Ways to send a message: one file per channel, and the templates they share."""
