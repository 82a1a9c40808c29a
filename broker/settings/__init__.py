"""What the operator decided: read once, checked as a whole, frozen."""

from broker.settings.load import from_mapping, load
from broker.settings.models import Settings

__all__ = ["Settings", "from_mapping", "load"]
