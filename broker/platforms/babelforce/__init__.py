"""babelforce: a call's session found and written by the REST API. Facts: docs/platforms."""

from broker.platforms.babelforce.driver import BabelforcePlatform
from broker.platforms.babelforce.options import BabelforceOptions

__all__ = ["BabelforceOptions", "BabelforcePlatform"]
