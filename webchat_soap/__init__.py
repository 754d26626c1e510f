"""webchat_soap: a self-hosted SOAP service for webchat with file attachments."""
