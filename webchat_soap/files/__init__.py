"""Files on their way in (guard, download, spool, proof) and where they are kept."""
