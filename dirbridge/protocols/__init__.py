"""Wire codecs: bytes in, events out. There is no networking code in here."""
