"""HAR files of browsers and proxies: read, imported as sessions, and written."""
