"""Put Active Directory or Apple Open Directory behind a mail server."""

__version__ = "0.1.0"
