"""`mcnet web`: a page and a JSON API that make films by the package's own API.

Importing it loads no torch: the server is there at once, and loads it while the visitor looks at the page.
"""

from mcnet_cli.web.options import described
from mcnet_cli.web.server import serve
from mcnet_cli.web.settings import Limits, WebRequest

__all__ = ["Limits", "WebRequest", "described", "serve"]
