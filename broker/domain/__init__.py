"""What a call is and how it is decided: frozen values and pure functions, no clock, no I/O."""
