"""Call-session broker: looks a caller up in the CRMs and writes the answer into the live call."""
